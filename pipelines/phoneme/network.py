"""The network from frames to columns: convolutions over time, each with batch norm, at a third of the frame rate.

Three frames are stacked into one step, and each step scores the columns of its three frames: a third of the work, at the full
resolution. Source: Peddinti et al. 2015 (TDNN); stacking as in Sak et al. 2015.

B stretches, T frames, F features, S columns.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_linear_bn_eval
from torch.optim import AdamW

from pipelines.ctc.dropout import LockedDropout
from pipelines.frames import Frames
from pipelines.muon import Muon
from pipelines.phoneme.align import with_margins
from pipelines.phoneme.config import NetworkConfig
from pipelines.schedule import one_cycle
from speechbench.progress import track

WARMUP = 0.2  # share of the steps
EPOCHS, LEAST_STEPS = 2, 250  # of a training; with fewer steps little speech teaches little
STACK = 3  # frames per step
PADDING = -100  # the column of frames that are none; the loss leaves them out
DILATIONS = (1, 1, 2, 3, 4, 6, 8)  # steps; repeated from the last where there are more layers


class Layer(nn.Module):
    """A convolution over time with batch norm, ReLU and dropout, (B, T, F) -> (B, T, F').

    It is one product of matrices: torch's own convolution takes twice as long in bfloat16, and plans anew for each new length.
    """

    def __init__(self, inputs: int, outputs: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.dilation = dilation
        self.linear = nn.Linear(3 * inputs, outputs, bias=False)  # batch norm's beta makes a bias redundant
        self.norm = nn.BatchNorm1d(outputs)
        self.dropout = LockedDropout(dropout)

    def forward(self, steps: Tensor) -> Tensor:
        """Of a batch of equally long stretches."""
        values = self.linear(around(steps, self.dilation).flatten(0, 1))
        dropped: Tensor = self.dropout(self.norm(values).relu_().unflatten(0, steps.shape[:2]))
        return dropped


def around(steps: Tensor, dilation: int) -> Tensor:
    """Each step between the ones before and behind it, (B, T, F) -> (B, T, 3 F); beyond the ends are zeros."""
    count = steps.shape[1]
    padded = nn.functional.pad(steps, (0, 0, dilation, dilation))
    return torch.cat([padded[:, start : start + count] for start in (0, dilation, 2 * dilation)], dim=2)


class TimeDelayNetwork(nn.Module):
    """(B, T, F) -> log-posteriors (B, T, S); T is a multiple of `STACK`."""

    def __init__(self, inputs: int, columns: int, config: NetworkConfig) -> None:
        super().__init__()
        self.columns = columns
        sizes = [inputs * STACK] + [config.width] * config.layers
        dilations = [DILATIONS[min(number, len(DILATIONS) - 1)] for number in range(config.layers)]
        self.layers = nn.Sequential(
            *(Layer(*pair, dilation, config.dropout) for pair, dilation in zip(pairwise(sizes), dilations, strict=True))
        )
        self.output = nn.Linear(config.width, columns * STACK)

    def forward(self, frames: Tensor, place: int | None = None) -> Tensor:
        """Score every frame of a batch of equally long stretches, or of each step the frame at one place, (B, T / STACK, S)."""
        batch, count, size = frames.shape
        steps = self.layers(frames.reshape(batch, count // STACK, size * STACK))
        if place is None:
            scores = self.output(steps).reshape(batch, count, self.columns)
        else:
            part = slice(place * self.columns, (place + 1) * self.columns)
            scores = nn.functional.linear(steps, self.output.weight[part], self.output.bias[part])
        return torch.log_softmax(scores.float(), dim=-1)


class Scorer:
    """A trained network in use, for one utterance of any length: (T, F) -> log-posteriors (T, S).

    Batch norm lies in the weights.
    """

    def __init__(self, network: TimeDelayNetwork) -> None:
        network.eval()
        self.columns, self.output = network.columns, network.output
        layers = [layer for layer in network.layers if isinstance(layer, Layer)]
        self.hidden = [(layer.dilation, fuse_linear_bn_eval(layer.linear, layer.norm)) for layer in layers]

    @torch.inference_mode()
    def __call__(self, frames: Tensor) -> Tensor:
        """Score every frame."""
        missing = -len(frames) % STACK
        padded = torch.cat([frames, frames[-1:].expand(missing, -1)]) if missing else frames
        steps = padded.reshape(1, len(padded) // STACK, -1)
        for dilation, linear in self.hidden:
            steps = linear(around(steps, dilation)).relu_()
        scores = self.output(steps).reshape(-1, self.columns)
        return torch.log_softmax(scores, dim=-1)[: len(frames)]


@dataclass(frozen=True)
class Labelled:
    """Utterances with the column of each frame."""

    frames: Frames
    columns: list[NDArray[np.int64]]

    def at_speed(self, frames: Frames) -> Labelled:
        """The same at another speed, with the columns stretched over its frames."""
        stretched = [
            columns[np.minimum((np.arange(length) * (len(columns) / length)).astype(np.int64), len(columns) - 1)]
            for columns, length in zip(self.columns, frames.lengths, strict=True)
        ]
        return Labelled(frames, stretched)

    def cut(self, utterance: int, start: int, size: int) -> tuple[Tensor, Tensor]:
        """A stretch, (size, F) and (size,); behind a short utterance stands padding, as in use."""
        end = int(self.frames.ends[utterance])
        first = end - self.frames.lengths[utterance] + start
        values = self.frames.slice(first, min(first + size, end))
        columns = torch.from_numpy(self.columns[utterance][start : start + size])
        missing = size - len(values)
        if not missing:
            return values, columns
        return nn.functional.pad(values, (0, 0, 0, missing)), nn.functional.pad(columns, (0, missing), value=PADDING)


def fit(
    network: TimeDelayNetwork,
    copies: Sequence[Labelled],
    silent: NDArray[np.int64],
    config: NetworkConfig,
    generator: np.random.Generator,
    label: str,
) -> tuple[list[dict[str, float]], Tensor]:
    """Train on the column of each frame, in chunks of equal length, so that batch norm hardly ever sees padding.

    Where most utterances are shorter than a chunk, chunks are as long as the median utterance.

    Args:
        network: Changed in place.
        copies: The utterances, and the same at other speeds.
        silent: The columns of silence.
        config: Sizes and rates.
        generator: Draws the chunks.
        label: For the progress.

    Returns:
        Loss on the training chunks, and share of frames whose column is right on one of each batch, per epoch; and the
        logarithm of the share of frames in each column that it was trained on, (S,).
    """
    median = sorted(copies[0].frames.lengths)[len(copies[0].frames) // 2]
    size = max(STACK, min(round(config.chunk * 100), median) // STACK * STACK)
    chunks_per_batch = max(1, round(config.batch_seconds * 100 / size))
    epochs = [_chunks(copies, silent, size, config.silence, generator)]
    count = config.epochs or max(EPOCHS, math.ceil(LEAST_STEPS * chunks_per_batch / len(epochs[0])))
    epochs += [_chunks(copies, silent, size, config.silence, generator) for _ in range(count - 1)]
    counts = np.zeros(network.columns, np.int64)
    steps = sum(-(-len(chunks) // chunks_per_batch) for chunks in epochs)
    half = config.precision == "bfloat16" or (config.precision == "auto" and multiplies_bfloat16())
    optimizers = _optimizers(network, config, torch.bfloat16 if half else torch.float32)
    schedules = [one_cycle(optimizer, config.learning_rate, steps, WARMUP) for optimizer in optimizers]
    history = []
    network.train()
    for chunks in track(epochs, label):
        loss_sum = right = 0.0
        for first in range(0, len(chunks), chunks_per_batch):
            picked = [
                copies[copy].cut(utterance, start, size) for copy, utterance, start in chunks[first : first + chunks_per_batch]
            ]
            inputs, columns = (torch.stack(values) for values in zip(*picked, strict=True))
            # The frames of a step are much the same: one of them is as good a teacher, and takes a sixth off the time.
            longest = int((columns != PADDING).sum(1).max())
            place = int(generator.integers(min(STACK, longest)))
            targets = columns[:, place::STACK]
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                scores = network(inputs, place)
            loss = nn.functional.nll_loss(scores.flatten(0, 1), targets.flatten(), ignore_index=PADDING)
            network.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            for optimizer, schedule in zip(optimizers, schedules, strict=True):
                optimizer.step()
                schedule.step()
            loss_sum += float(loss.detach()) * len(picked)
            known = targets[0] != PADDING
            counts += np.bincount(columns[columns != PADDING].numpy(), minlength=len(counts))
            right += float((scores[0].argmax(-1) == targets[0])[known].sum()) / max(1, int(known.sum())) * len(picked)
        history.append({"loss": loss_sum / len(chunks), "frame_accuracy": right / len(chunks)})
    network.eval()
    return history, log_priors(counts)


def _optimizers(network: TimeDelayNetwork, config: NetworkConfig, precision: torch.dtype) -> list[torch.optim.Optimizer]:
    """One for the matrices of the convolutions, one for all else."""
    others = dict(network.named_parameters())
    matrices = [others.pop(name) for name in list(others) if name.endswith(".linear.weight")]
    rate, decay = config.learning_rate, config.weight_decay
    return [Muon(matrices, rate, decay, precision=precision), AdamW(others.values(), rate, weight_decay=decay, fused=True)]


def multiplies_bfloat16() -> bool:
    """Whether the processor has instructions for products of bfloat16 matrices (Intel's AMX), which halve a step."""
    return bool(torch.cpu.get_capabilities().get("amx_bf16", False))


def _chunks(
    copies: Sequence[Labelled], silent: NDArray[np.int64], size: int, share: float, generator: np.random.Generator
) -> list[tuple[int, int, int]]:
    """(copy, utterance, first frame) of one epoch's chunks: as few as cover each utterance, somewhere, in random order.

    Of the utterances a share is covered whole, the others from a little before their first sound to a little behind their last.
    """
    chunks = []
    for copy, labelled in enumerate(copies):
        for utterance, length in enumerate(labelled.frames.lengths):
            first, end = 0, length
            said = with_margins(labelled.columns[utterance], silent)
            if generator.random() >= share:
                first, end = said.start, said.stop
            count = max(1, -(-(end - first) // size))
            spare = count * size - (end - first)
            start = first - (int(generator.integers(0, spare, endpoint=True)) if count > 1 else spare // 2)
            starts = range(start, start + count * size, size)
            chunks += [(copy, utterance, int(np.clip(start, 0, max(0, length - size)))) for start in starts]
    return [chunks[i] for i in generator.permutation(len(chunks))]


def log_priors(counts: NDArray[np.int64]) -> Tensor:
    """The logarithm of the share of frames in each column, (S,), none of them empty."""
    return torch.from_numpy(np.log((counts + 1.0) / (counts + 1.0).sum()).astype(np.float32))
