"""One step of the optimiser: a batch through the network, its losses, its gradients.

All chance is drawn from (seed, epoch, utterance) or (seed, epoch, step, process), so that a training that goes on after a
stop needs no generator's state.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from pipelines import parallel
from pipelines.ctc.augment import augment, draw
from pipelines.ctc.config import AugmentConfig, TrainingConfig
from pipelines.ctc.device import autocast, chosen_device, compile_layers, moved
from pipelines.ctc.heads import Head, heads_loss
from pipelines.ctc.items import Batch, Batches, Groups, Source
from pipelines.ctc.losses import ctc_losses
from pipelines.ctc.network import Network, Tasks
from pipelines.schedule import one_cycle
from speechbench.errors import SpeechbenchError, name_some
from speechbench.seeds import seed_of

UNREAD = 16  # steps whose losses may wait on a GPU: reading them makes the processor wait for it

State = dict[str, Tensor]
Brought = Generator[tuple[int, Batch] | None, None, None]  # None behind each epoch


class Stepper:
    """A network, its optimiser and its schedule."""

    def __init__(self, network: Network, config: TrainingConfig, augment: AugmentConfig, seed: int, steps: int) -> None:
        """Bring the network to its device.

        Args:
            network: Trained in place.
            config: How.
            augment: What changes the features.
            seed: Of all chance.
            steps: Batches in the whole training, for the learning rate.
        """
        self.config, self.augment, self.seed, self.steps = config, augment, seed, steps
        self.device = chosen_device(config.device)
        self.network = network.to(self.device)
        self.heads = cast(dict[str, Head], dict(network.heads.items()))
        self.forward = Tasks(self.network)
        compile_layers(self.network.layers, self.device, config.compile)
        top = [*network.output.parameters(), *network.heads.parameters()]
        encoder = [*network.convolutions.parameters(), *network.layers.parameters()]
        groups = [{"params": parameters} for parameters in (encoder, top)]
        self.optimizer = torch.optim.AdamW(groups, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True)
        self.schedule = self._schedule()
        self._told: list[_Told] = []

    def step(self, epoch: int, number: int, batch: Batch, weight: float, whole: int) -> None:
        """Change the weights once.

        Args:
            epoch: From 1.
            number: Of the step within the epoch.
            batch: This process's part of it, with its features on the device.
            weight: How much each of its utterances counts.
            whole: Utterances in the batches of all processes.
        """
        features, lengths = self._augmented(epoch, batch)
        torch.manual_seed(seed_of(self.seed, "step", epoch, number, parallel.rank()))
        with autocast(self.device, self.config.precision):
            scores, steps, told = self.forward(features, lengths)
        losses = ctc_losses(scores.float(), steps, [item.tokens for item in batch.items])
        loss = losses.sum() * (weight / whole)  # the text's alone is reported, to be compared with trainings without heads
        further = heads_loss(self.heads, told, steps, [item.labels for item in batch.items], weight)
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss + further)
        parallel.add_up(p.grad for p in self.network.parameters() if p.grad is not None)
        length = nn.utils.clip_grad_norm_(self.network.parameters(), self.config.gradient_norm)
        self._told.append(_Told(batch, losses.detach(), loss.detach(), length))
        if self.device.type == "cpu":
            self._told[-1].check()  # before the weights are spoilt
        self.optimizer.step()
        self.schedule.step()

    def brought(self, source: Source, epochs: Iterable[tuple[int, Groups]]) -> Brought:
        """The batches of some epochs with their features on the device, None behind each epoch's, for whoever reads ahead.

        One epoch begins while the one before is still trained on. On a GPU batches are made in a stream of their own: in that
        of the steps each would wait for all steps before it.

        Args:
            source: Asked for each epoch in turn.
            epochs: From 0, each with the groups that are wanted of it.
        """
        # One for all epochs, before the steps, which take longer: what a stream has given back, no other stream is given.
        stream = torch.cuda.Stream(self.device, priority=-1) if self.device.type == "cuda" else None  # type: ignore[no-untyped-call]
        for epoch, groups in epochs:
            batches = source.read(epoch, groups)
            yield from batches if stream is None else self._brought(batches, stream)
            yield None

    def _brought(self, batches: Batches, stream: torch.cuda.Stream) -> Batches:
        while True:
            with torch.cuda.stream(stream):  # only while this runs, for it is the thread's
                if (following := next(batches, None)) is None:
                    return
                number, batch = following
                features = moved(batch.features, self.device)
                stream.synchronize()
            features.record_stream(
                torch.cuda.default_stream(self.device)
            )  # the steps may still read it when nobody holds it any more
            yield number, batch._replace(features=features)

    @property
    def must_be_read(self) -> bool:
        """Whether `losses` should be asked for."""
        return len(self._told) >= (UNREAD if self.device.type == "cuda" else 1)

    def losses(self) -> list[float]:
        """The loss per token of each step since they were last asked for, over all processes.

        Raises:
            SpeechbenchError: Some are not finite; names the utterances.
        """
        told, self._told = self._told, []
        if not told:
            return []
        for one in told:
            one.check()
        losses = torch.stack([one.loss for one in told])
        parallel.add_up([losses])
        read: list[float] = losses.tolist()
        return read

    def state(self) -> State:
        """The weights, and what the optimiser remembers."""
        remembered = self.optimizer.state_dict()["state"]
        flat = {f"optimizer.{n}.{key}": value for n, values in remembered.items() for key, value in values.items()}
        return flat | {f"network.{name}": value for name, value in self.network.state_dict().items()}

    def restore(self, state: State, done: int) -> None:
        """Go on where a state was taken, after so many steps."""
        weights, remembered = {}, dict[int, State]()
        for name, value in state.items():
            kind, _, rest = name.partition(".")
            if kind == "network":
                weights[rest] = value
            else:
                number, _, key = rest.partition(".")
                remembered.setdefault(int(number), {})[key] = value
        self.network.load_state_dict(weights)
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": remembered, "param_groups": groups})
        self.schedule = self._schedule(done)

    def _schedule(self, done: int = 0) -> LRScheduler:
        rate = self.config.learning_rate
        return one_cycle(self.optimizer, [rate * self.config.encoder_rate, rate], self.steps, self.config.warmup, done)

    def _augmented(self, epoch: int, batch: Batch) -> tuple[Tensor, Tensor]:
        """The batch changed, on the device, and its lengths (B,) on the CPU."""
        seeds = [seed_of(self.seed, "augment", epoch, item.id) for item in batch.items]
        fits = [item.fits for item in batch.items]
        changes = draw(batch.lengths, batch.features.shape[2], self.augment, seeds, fits)
        return augment(batch.features, batch.lengths, changes), changes.frames


class _Told(NamedTuple):
    """What is to be read of a step, when it does not keep a GPU waiting."""

    batch: Batch
    losses: Tensor  # (B,)
    loss: Tensor  # this process's part of the batch's
    gradient_norm: Tensor

    def check(self) -> None:
        if math.isfinite(float(self.gradient_norm)) and bool(self.losses.isfinite().all()):
            return
        ids = [item.id for item in self.batch.items]
        finite = self.batch.features.isfinite().all(2).all(1).tolist()
        if unheard := [name for name, heard in zip(ids, finite, strict=True) if not heard]:
            raise SpeechbenchError(f"the loss is not finite, for the features of {name_some(unheard)} are not; remove them")
        odd = [name for name, finite in zip(ids, self.losses.isfinite().tolist(), strict=True) if not finite]
        what = f"loss is not finite at {name_some(odd)}" if odd else f"gradient is not finite at {name_some(ids)}"
        raise SpeechbenchError(f"the {what}; lower the learning rate")
