"""The network from frames to columns: convolutions over time, each with batch norm, at a third of the frame rate.

Three frames are stacked into one step, and each step scores the columns of its three frames: a third of the work, at the full
resolution. Source: Peddinti et al. 2015 (TDNN); stacking as in Sak et al. 2015.

B stretches, T frames, F features, S columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from pipelines.frames import Frames
from pipelines.phoneme.config import NetworkConfig
from pipelines.schedule import one_cycle
from speechbench.progress import track

WARMUP = 0.2  # share of the steps
STACK = 3  # frames per step
PADDING = -100  # the column of frames that are none; the loss leaves them out
DILATIONS = (1, 1, 2, 3, 4, 6, 8)  # steps; repeated from the last where there are more layers


class TimeDelayNetwork(nn.Module):
    """(B, T, F) -> log-posteriors (B, T, S); T is a multiple of `STACK`."""

    def __init__(self, inputs: int, columns: int, config: NetworkConfig) -> None:
        super().__init__()
        self.columns = columns
        width = config.width
        layers: list[nn.Module] = []
        inputs *= STACK
        for number in range(config.layers):
            dilation = DILATIONS[min(number, len(DILATIONS) - 1)]
            # Batch norm's beta makes a bias redundant.
            layers.append(nn.Conv1d(inputs, width, 3, padding=dilation, dilation=dilation, bias=False))
            # Dropout of a channel in all its frames: drawing it for each took an eighth of a step.
            layers += [nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout1d(config.dropout)]
            inputs = width
        self.layers = nn.Sequential(*layers)
        self.output = nn.Conv1d(width, columns * STACK, 1)

    def forward(self, frames: Tensor) -> Tensor:
        """Score every frame of a batch of equally long stretches."""
        batch, count, size = frames.shape
        steps = frames.reshape(batch, count // STACK, size * STACK).transpose(1, 2)
        scores = self.output(self.layers(steps)).transpose(1, 2).float()
        return torch.log_softmax(scores.reshape(batch, count, self.columns), dim=-1)


class Scorer:
    """A trained network in use, for one utterance of any length: (T, F) -> log-posteriors (T, S).

    Batch norm lies in the weights, and a layer is one matrix product: torch plans a convolution anew for each new length,
    which takes as long as the convolution.
    """

    def __init__(self, network: TimeDelayNetwork) -> None:
        network.eval()
        self.columns = network.columns
        pairs = pairwise(network.layers)
        convolutions = [
            fuse_conv_bn_eval(layer, norm)
            for layer, norm in pairs
            if isinstance(layer, nn.Conv1d) and isinstance(norm, nn.BatchNorm1d)
        ]
        self.dilations = [convolution.dilation[0] for convolution in convolutions]
        *self.hidden, self.output = map(_matrix, [*convolutions, network.output])

    @torch.inference_mode()
    def __call__(self, frames: Tensor) -> Tensor:
        """Score every frame."""
        missing = -len(frames) % STACK
        padded = torch.cat([frames, frames[-1:].expand(missing, -1)]) if missing else frames
        steps = padded.reshape(len(padded) // STACK, -1)
        for dilation, (weight, bias) in zip(self.dilations, self.hidden, strict=True):
            around = nn.functional.pad(steps, (0, 0, dilation, dilation))
            sides = [around[start : start + len(steps)] for start in (0, dilation, 2 * dilation)]
            steps = torch.addmm(bias, torch.cat(sides, 1), weight).relu_()
        weight, bias = self.output
        scores = torch.addmm(bias, steps, weight).reshape(-1, self.columns)
        return torch.log_softmax(scores, dim=-1)[: len(frames)]


def _matrix(convolution: nn.Conv1d) -> tuple[Tensor, Tensor]:
    """Weight and bias as they multiply the inputs at all of a convolution's places side by side, (places x inputs, outputs)."""
    assert convolution.bias is not None, "fusing with batch norm makes one"
    return convolution.weight.detach().permute(2, 1, 0).flatten(0, 1).contiguous(), convolution.bias.detach()


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
    network: TimeDelayNetwork, copies: Sequence[Labelled], config: NetworkConfig, generator: np.random.Generator, label: str
) -> list[dict[str, float]]:
    """Train on the column of each frame, in chunks of equal length, so that batch norm hardly ever sees padding.

    Where most utterances are shorter than a chunk, chunks are as long as the median utterance.

    Args:
        network: Changed in place.
        copies: The utterances, and the same at other speeds.
        config: Sizes and rates.
        generator: Draws the chunks.
        label: For the progress.

    Returns:
        Loss on the training chunks, and share of frames whose column is right on one of each batch, per epoch.
    """
    median = sorted(copies[0].frames.lengths)[len(copies[0].frames) // 2]
    size = max(STACK, min(round(config.chunk * 100), median) // STACK * STACK)
    chunks_per_batch = max(1, round(config.batch_seconds * 100 / size))
    epochs = [_chunks(copies, size, generator) for _ in range(config.epochs)]
    optimizer = torch.optim.AdamW(network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True)
    steps = sum(-(-len(chunks) // chunks_per_batch) for chunks in epochs)
    half = config.precision == "bfloat16" or (config.precision == "auto" and multiplies_bfloat16())
    schedule = one_cycle(optimizer, config.learning_rate, steps, WARMUP)
    history = []
    network.train()
    for chunks in track(epochs, label):
        loss_sum = right = 0.0
        for first in range(0, len(chunks), chunks_per_batch):
            picked = [
                copies[copy].cut(utterance, start, size) for copy, utterance, start in chunks[first : first + chunks_per_batch]
            ]
            inputs, targets = (torch.stack(values) for values in zip(*picked, strict=True))
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                scores = network(inputs)
            loss = nn.functional.nll_loss(scores.flatten(0, 1), targets.flatten(), ignore_index=PADDING)
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            optimizer.step()
            schedule.step()
            loss_sum += float(loss.detach()) * len(picked)
            known = targets[0] != PADDING
            right += float((scores[0].argmax(-1) == targets[0])[known].float().mean()) * len(picked)
        history.append({"loss": loss_sum / len(chunks), "frame_accuracy": right / len(chunks)})
    network.eval()
    return history


def multiplies_bfloat16() -> bool:
    """Whether the processor has instructions for products of bfloat16 matrices (Intel's AMX), which halve a step."""
    return bool(torch.cpu.get_capabilities().get("amx_bf16", False))


def _chunks(copies: Sequence[Labelled], size: int, generator: np.random.Generator) -> list[tuple[int, int, int]]:
    """(copy, utterance, first frame) of one epoch's chunks: they tile each utterance from a random phase, in random order."""
    chunks = []
    for copy, labelled in enumerate(copies):
        for utterance, length in enumerate(labelled.frames.lengths):
            phase = int(generator.integers(0, size))
            starts = range(-phase, length, size) if length > size else range(1)
            chunks += [(copy, utterance, int(np.clip(start, 0, max(0, length - size)))) for start in starts]
    return [chunks[i] for i in generator.permutation(len(chunks))]


def log_priors(alignment: NDArray[np.int64], columns: int) -> Tensor:
    """The logarithm of the share of frames in each column, (S,), none of them empty."""
    counts = np.bincount(alignment, minlength=columns) + 1.0
    return torch.from_numpy(np.log(counts / counts.sum()).astype(np.float32))
