"""Training of a network by CTC: no alignment is needed, the tokens of each utterance are enough."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from pipelines.batches import length_batches, pad
from pipelines.ctc.augment import augment
from pipelines.ctc.config import AugmentConfig, TrainingConfig
from pipelines.ctc.network import Network, score_all, steps_of
from pipelines.schedule import one_cycle
from speechbench.errors import AudioError, SpeechbenchError, name_some
from speechbench.manifest import Skipped
from speechbench.progress import say, time_left
from speechbench.score import Counts
from speechbench.seeds import generator_of, seed_of

Row = dict[str, float | None]  # the metrics of an epoch; a rate is None where dev has nothing to be right

LOOK_EVERY = 5  # epochs between two looks at dev
PRIOR_UTTERANCES = 200  # of train, over which the tokens' priors are averaged


@dataclass(frozen=True)
class Item:
    """One utterance: its features (T, F), read when they are needed, and its token numbers (U,)."""

    id: str
    text: str
    frames: int  # T
    features: Callable[[], Tensor]
    tokens: Tensor


def fitting(items: Sequence[Item], name: str, skipped: Skipped) -> list[Item]:
    """Leave out, by name, utterances with more tokens than steps: CTC gives them no path and an infinite loss.

    Args:
        items: Of a training set.
        name: The set's.
        skipped: Takes what is left out.

    Raises:
        SpeechbenchError: None is left.
    """
    kept: list[Item] = []
    for item in items:
        repeats = int((item.tokens[1:] == item.tokens[:-1]).sum())  # a blank must stand between equal tokens
        steps = int(steps_of(torch.tensor(item.frames)))
        if steps >= len(item.tokens) + repeats:
            kept.append(item)
        else:
            skipped.add(item.id, AudioError(f"{steps} steps are too few for '{item.text}'"))
    if not kept:
        raise SpeechbenchError(f"{name}: no utterance is left to train on")
    return kept


@dataclass(frozen=True)
class Training:
    """How a network is trained, and how its epochs are judged."""

    config: TrainingConfig
    augment: AugmentConfig
    seed: int
    rate: Literal["wer", "per"]  # of the errors that are counted
    count: Callable[[Network], Counts]  # the errors of the network's own text of dev

    def fit(self, network: Network, items: Sequence[Item], log: Callable[[Row], None]) -> None:
        """Train in place, and leave the network as it was after the epoch with the fewest errors.

        Args:
            network: Changed.
            items: With tokens that fit into their steps.
            log: Takes a row of metrics after each epoch.
        """
        config = self.config
        lengths = [item.frames for item in items]
        size = round(config.batch_seconds * 100)
        epochs = [length_batches(lengths, size, generator_of(self.seed, "batches", epoch)) for epoch in range(config.epochs)]
        optimizer = torch.optim.AdamW(network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
        schedule = one_cycle(optimizer, config.learning_rate, sum(map(len, epochs)), config.warmup)
        best: tuple[int, dict[str, Tensor]] | None = None
        start = time.monotonic()
        for epoch, batches in enumerate(epochs, start=1):
            torch.manual_seed(seed_of(self.seed, "epoch", epoch))
            network.train()
            losses = [self._step(network, [items[i] for i in batch], optimizer, schedule) for batch in batches]
            row: Row = {"epoch": epoch, "loss": sum(losses) / len(losses)}
            told = ""
            if epoch % LOOK_EVERY == 0 or epoch == len(epochs):
                counts = self.count(network)
                row[f"dev_greedy_{self.rate}"] = counts.rate if counts.words else None
                told = f", greedy {self.rate.upper()} of dev {100 * counts.rate:.1f} %"
                if best is None or counts.errors <= best[0]:
                    best = counts.errors, {name: value.clone() for name, value in network.state_dict().items()}
            log(row)
            spent = time.monotonic() - start
            say(
                f"epoch {epoch} of {len(epochs)}: loss {row['loss']:.3f}{told}, "
                f"{sum(lengths) / 100 * epoch / spent:.0f} x real time, {time_left(spent / epoch * (len(epochs) - epoch))} left"
            )
        assert best is not None
        network.load_state_dict(best[1])
        network.eval()

    def _step(self, network: Network, items: Sequence[Item], optimizer: torch.optim.Optimizer, schedule: LRScheduler) -> float:
        features, lengths = pad([augment(item.features(), self.augment) for item in items])
        scores, steps = network(features, lengths)
        targets = torch.cat([item.tokens for item in items])
        sizes = torch.tensor([len(item.tokens) for item in items])
        # A stretch can leave too few steps for a text that fits barely; such a loss would be infinite and is left out.
        loss = nn.functional.ctc_loss(scores.transpose(0, 1), targets, steps, sizes, reduction="none", zero_infinity=True)
        loss = (loss / sizes.clamp_min(1)).mean()  # per token; a text may be empty
        if not torch.isfinite(loss):
            raise SpeechbenchError(f"the loss is not finite at {name_some(i.id for i in items)}; lower the learning rate")
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(network.parameters(), self.config.gradient_norm)
        optimizer.step()
        schedule.step()
        return float(loss.detach())


def log_priors(network: Network, items: Sequence[Item]) -> Tensor:
    """The logarithm of each token's mean probability over some utterances, (V,)."""
    sample = items[:: max(1, len(items) // PRIOR_UTTERANCES)]
    scores = score_all(network, [item.features() for item in sample])
    return torch.cat(scores).exp().mean(0).clamp_min(1e-6).log()
