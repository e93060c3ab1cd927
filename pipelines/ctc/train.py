"""Training of a network by CTC: no alignment is needed, the tokens of each utterance are enough.

A training that is stopped at any moment goes on from its last checkpoint and ends in the same weights.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, Protocol

import torch
from torch import Tensor

from pipelines import parallel
from pipelines.ahead import ahead
from pipelines.batches import length_batches
from pipelines.ctc import checkpoint
from pipelines.ctc.board import FOLDER, board
from pipelines.ctc.checkpoint import Look, Progress, Row, average
from pipelines.ctc.config import STEPS, AugmentConfig, TrainingConfig
from pipelines.ctc.items import Batch, Groups, Source
from pipelines.ctc.network import AT_ONCE, Network, score_batch
from pipelines.ctc.step import Stepper
from speechbench.errors import SpeechbenchError, name_some
from speechbench.features import FRAME_SHIFT
from speechbench.progress import say, time_left, track_audio
from speechbench.seeds import generator_of

RATES = {"e2e": "wer", "pipeline": "per"}  # of the errors that are counted
BUSY_SECONDS = 960.0  # of audio in a batch; with less a large GPU waits for the processor most of the time
PRIOR_UTTERANCES = 200  # of train, over which the tokens' priors are averaged


class Errors(Protocol):
    """Errors on dev, and of how many words or phonemes."""

    @property
    def errors(self) -> int:
        """Substitutions, insertions and deletions."""
        ...

    @property
    def words(self) -> int:
        """Of the references."""
        ...


@dataclass(frozen=True)
class Training:
    """How a network is trained, and how its epochs are judged."""

    config: TrainingConfig
    augment: AugmentConfig
    seed: int
    mode: Literal["e2e", "pipeline"]
    count: Callable[[Network], Errors]  # the errors of the network's own text of dev
    judge_heads: Callable[[Network], Row] = lambda _: {}  # the figures of its heads on dev

    def fit(self, network: Network, source: Source, log: Callable[[Row], None], kept: Path) -> None:
        """Train in place, and leave the network with the weights that made the fewest errors.

        Args:
            network: Changed; on the CPU again in the end.
            source: Of utterances with tokens that fit into their steps.
            log: Takes a row of metrics after each epoch; after a stop, those of the epochs before too.
            kept: The checkpoint's file: read if it is there, left for the caller to remove; figures for TensorBoard lie beside.

        Raises:
            SpeechbenchError: A loss that is not finite; a checkpoint that is of another training or not whole; a GPU with too
                little memory.
        """
        epochs = _Epochs(self, source)
        stepper = Stepper(network, self.config, self.augment, self.seed, sum(epochs.counts))
        epochs.advise(stepper.device)
        progress = Progress()
        if kept.is_file():
            progress, state = checkpoint.load(kept, self.mode)
            stepper.restore(state, progress.steps)
            say(f"goes on after step {progress.steps} of {stepper.steps}, in epoch {progress.epoch}")
        with board(kept.parent / FOLDER, self.config) as show:

            def tell(row: Row) -> None:
                log(row)
                show(row)

            for row in progress.rows:
                tell(row)
            try:
                _Fit(self, epochs, stepper, progress, tell, kept).run()
            except torch.OutOfMemoryError as error:
                raise SpeechbenchError(
                    f"the GPU's memory does not hold the network with batches of {epochs.seconds:g} s of audio; "
                    "lower training.batch_seconds, take a smaller encoder, or leave out longer utterances"
                ) from error
        network.cpu()
        self._choose(network, progress, log)

    def _choose(self, network: Network, progress: Progress, log: Callable[[Row], None]) -> None:
        best = progress.best[-1]
        if len(progress.best) > 1:
            network.load_state_dict(average([look.weights for look in sorted(progress.best, key=lambda look: look.epoch)]))
            found = self.look(network)
            log({"averaged": len(progress.best), **self.rate(found)})
            say(
                f"mean of {len(progress.best)} epochs' weights: {found.errors} errors on dev; "
                f"epoch {best.epoch}'s: {best.errors}"
            )
            if found.errors <= best.errors:
                network.eval()
                return
        network.load_state_dict(best.weights)
        network.eval()

    def look(self, network: Network) -> Errors:
        """The errors on dev, counted by the first process alone."""
        return parallel.agreed(self.count(network) if parallel.is_first() else None)  # type: ignore[return-value]

    def rate(self, found: Errors) -> Row:
        """Errors as a metric."""
        return {f"dev_greedy_{RATES[self.mode]}": found.errors / found.words if found.words else None}


class _Epochs:
    """Which utterances are in which batch of which epoch."""

    def __init__(self, training: Training, source: Source) -> None:
        self.training, self.source = training, source
        self.lengths = [item.frames for item in source.items]
        self.seconds = training.config.batch_of(FRAME_SHIFT * sum(self.lengths), len(self.lengths))  # in a batch
        self.counts = [len(self.batches(epoch)) for epoch in range(1, training.config.epochs + 1)]

    def batches(self, epoch: int) -> list[list[int]]:
        size = round(self.seconds / FRAME_SHIFT)
        return length_batches(self.lengths, size, generator_of(self.training.seed, "batches", epoch))

    def advise(self, device: torch.device) -> None:
        """Say so where larger batches would use a GPU better and leave enough steps."""
        wanted = min(BUSY_SECONDS, FRAME_SHIFT * sum(self.lengths) / STEPS)
        if (
            device.type == "cuda"
            and self.training.config.batch_seconds is None
            and wanted > self.seconds
            and parallel.is_first()
        ):
            say(f"batches of {self.seconds:.0f} s of audio keep a GPU waiting; training.batch_seconds={wanted:.0f} is faster")


@dataclass
class _Fit:
    """A training under way."""

    training: Training
    epochs: _Epochs
    stepper: Stepper
    progress: Progress
    log: Callable[[Row], None]
    kept: Path

    def run(self) -> None:
        progress = self.progress
        self.began, self.began_at, self.saved_at = progress.steps, time.monotonic(), time.monotonic()
        with closing(ahead(self.stepper.brought(self.epochs.source, self._left()))) as read:
            while not progress.over:
                self._epoch(read)
                self._judge()

    def _left(self) -> Iterator[tuple[int, Groups]]:
        """The epochs from the next batch on, and the groups that they read, this process's part."""
        first = self.progress.batches
        for epoch in range(self.progress.epoch, self.training.config.epochs + 1):
            batches = self.epochs.batches(epoch)
            yield epoch - 1, {number: parallel.share(batches[number])[0] for number in range(first, len(batches))}
            first = 0

    def _judge(self) -> None:
        """What follows an epoch: a look at dev where one is due, its row, a checkpoint."""
        config, progress = self.training.config, self.progress
        row: Row = {"epoch": progress.epoch, "loss": sum(progress.losses) / len(progress.losses)}
        told = ""
        if progress.epoch % config.look_every == 0 or progress.epoch == config.epochs:
            told = self._look(row)
        progress.rows.append(row)
        self.log(row)
        self._tell(row, told)
        stale = 0 < config.patience <= progress.since_best
        if stale:
            say(f"ends early: the last {progress.since_best} looks at dev were no better")
        progress.over = stale or progress.epoch == config.epochs
        progress.epoch, progress.batches, progress.losses = progress.epoch + 1, 0, []
        self._save()

    def _epoch(self, read: Iterator[tuple[int, Batch] | None]) -> None:
        """The rest of an epoch."""
        progress, stepper = self.progress, self.stepper
        batches = self.epochs.batches(progress.epoch)
        shares = {number: parallel.share(batches[number]) for number in range(progress.batches, len(batches))}
        label = f"epoch {progress.epoch} of {self.training.config.epochs}"
        seconds = FRAME_SHIFT * sum(self.epochs.lengths[place] for places, _ in shares.values() for place in places)
        stepper.network.train()
        rest = iter(partial(next, read), None)
        for number, batch in track_audio(rest, label, seconds, _seconds) if parallel.is_first() else rest:
            if parallel.size() > 1 and number != progress.batches:
                lost = [self.epochs.source.items[place].id for place in shares[progress.batches][0]]
                raise SpeechbenchError(f"{name_some(lost)} cannot be used, and another process waits; remove them from train")
            stepper.step(progress.epoch, number, batch, shares[number][1], len(batches[number]))
            progress.batches, progress.steps = number + 1, progress.steps + 1
            if stepper.must_be_read:
                progress.losses += stepper.losses()
                due = time.monotonic() - self.saved_at >= self.training.config.checkpoint_seconds
                if parallel.agreed(due) and number + 1 < len(batches):
                    self._save()
        progress.losses += stepper.losses()
        if not progress.losses:
            raise SpeechbenchError("no utterance of the training set can be used; see what was skipped")

    def _look(self, row: Row) -> str:
        found = self.training.look(self.stepper.network)
        weights = {name: value.detach().cpu().clone() for name, value in self.stepper.network.state_dict().items()}
        self.progress.keep(Look(self.progress.epoch, found.errors, weights), self.training.config.average)
        row |= self.training.rate(found)
        if parallel.is_first():
            row |= self.training.judge_heads(self.stepper.network)
        rate = found.errors / found.words if found.words else float("nan")
        return f", greedy {RATES[self.training.mode].upper()} of dev {100 * rate:.1f} %"

    def _tell(self, row: Row, told: str) -> None:
        steps = self.progress.steps - self.began
        if parallel.is_first() and steps:
            spent = time.monotonic() - self.began_at
            speed = FRAME_SHIFT * sum(self.epochs.lengths) * steps / len(self.progress.losses) / spent
            left = time_left(spent / steps * (self.stepper.steps - self.progress.steps))
            epoch = f"epoch {self.progress.epoch} of {self.training.config.epochs}"
            say(f"{epoch}: loss {row['loss']:.3f}{told}, {speed:.0f} x real time, {left} left")

    def _save(self) -> None:
        self.saved_at = time.monotonic()
        if parallel.is_first():
            checkpoint.save(self.kept, self.progress, self.stepper.state(), self.training.mode)


def _seconds(read: tuple[int, Batch]) -> float:
    return FRAME_SHIFT * int(read[1].lengths.sum())


def log_priors(network: Network, source: Source) -> Tensor:
    """The logarithm of each token's mean probability over some utterances, (V,)."""
    places = range(0, len(source.items), max(1, len(source.items) // PRIOR_UTTERANCES))
    groups = {number: places[number : number + AT_ONCE] for number in range(0, len(places), AT_ONCE)}
    scores = [s for _, batch in source.read(0, groups) for s in score_batch(network, batch.features, batch.lengths)]
    return torch.cat(scores).exp().mean(0).clamp_min(1e-6).log()
