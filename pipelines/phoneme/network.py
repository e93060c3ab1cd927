"""The network from MFCC frames to HMM states: convolutions over time, each with batch norm, at a third of the frame rate.

Three frames are stacked into one step, and each step scores the states of its three frames: a third of the work, at the full
resolution. Source: Peddinti et al. 2015 (TDNN); stacking as in Sak et al. 2015.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipelines.phoneme.config import NetworkConfig
from pipelines.schedule import one_cycle
from speechbench.progress import track

WARMUP = 0.2  # share of the steps
STACK = 3  # frames per step
PADDING = -100  # the state of frames that are none; the loss leaves them out
DILATIONS = (1, 1, 2, 3, 4, 6, 8)  # steps; repeated from the last where there are more layers


class TimeDelayNetwork(nn.Module):
    """(B, T, F) -> log-posteriors (B, T, S); T is a multiple of `STACK`."""

    def __init__(self, features: int, states: int, config: NetworkConfig) -> None:
        super().__init__()
        self.states = states
        width = config.width
        layers: list[nn.Module] = []
        inputs = features * STACK
        for number in range(config.layers):
            dilation = DILATIONS[min(number, len(DILATIONS) - 1)]
            # Batch norm's beta makes a bias redundant.
            layers.append(nn.Conv1d(inputs, width, 3, padding=dilation, dilation=dilation, bias=False))
            layers += [nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(config.dropout)]
            inputs = width
        self.layers = nn.Sequential(*layers)
        self.output = nn.Conv1d(width, states * STACK, 1)

    def forward(self, frames: Tensor) -> Tensor:
        """Score every frame of a batch of equally long stretches."""
        batch, count, features = frames.shape
        steps = frames.reshape(batch, count // STACK, features * STACK).transpose(1, 2)
        scores = self.output(self.layers(steps)).transpose(1, 2)
        return torch.log_softmax(scores.reshape(batch, count, self.states), dim=-1)

    @torch.inference_mode()
    def log_posteriors(self, frames: Tensor) -> Tensor:
        """For one utterance of any length: (T, F) -> (T, S)."""
        missing = -len(frames) % STACK
        padded = torch.cat([frames, frames[-1:].expand(missing, -1)]) if missing else frames
        result: Tensor = self(padded.unsqueeze(0))[0, : len(frames)]
        return result


def fit(
    network: TimeDelayNetwork,
    utterances: list[tuple[Tensor, Tensor]],
    config: NetworkConfig,
    generator: np.random.Generator,
    label: str,
) -> list[dict[str, float]]:
    """Train on the HMM state of each frame, in chunks of equal length, so that batch norm hardly ever sees padding.

    Where most utterances are shorter than a chunk, chunks are as long as the median utterance.

    Args:
        network: Changed in place.
        utterances: Features (T, F) and states (T,) of each.
        config: Sizes and rates.
        generator: Draws the chunks.
        label: For the progress.

    Returns:
        Loss and share of frames whose state is right, per epoch, on the training chunks.
    """
    median = sorted(len(x) for x, _ in utterances)[len(utterances) // 2]
    frames_per_chunk = max(STACK, min(round(config.chunk * 100), median) // STACK * STACK)
    chunks_per_batch = max(1, round(config.batch_seconds * 100 / frames_per_chunk))
    epochs = [_chunks([len(x) for x, _ in utterances], frames_per_chunk, generator) for _ in range(config.epochs)]
    optimizer = torch.optim.AdamW(network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    steps = sum(-(-len(chunks) // chunks_per_batch) for chunks in epochs)
    schedule = one_cycle(optimizer, config.learning_rate, steps, WARMUP)
    history = []
    network.train()
    for chunks in track(epochs, label):
        loss_sum = right = 0.0
        for first in range(0, len(chunks), chunks_per_batch):
            picked = chunks[first : first + chunks_per_batch]
            inputs = torch.stack([_cut(utterances[u][0], start, frames_per_chunk, 0) for u, start in picked])
            targets = torch.stack([_cut(utterances[u][1], start, frames_per_chunk, PADDING) for u, start in picked])
            scores = network(inputs)
            loss = nn.functional.nll_loss(scores.flatten(0, 1), targets.flatten(), ignore_index=PADDING)
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            optimizer.step()
            schedule.step()
            loss_sum += float(loss.detach()) * len(picked)
            known = targets != PADDING
            right += float((scores.detach().argmax(-1) == targets)[known].float().mean()) * len(picked)
        history.append({"loss": loss_sum / len(chunks), "frame_accuracy": right / len(chunks)})
    network.eval()
    return history


def _chunks(lengths: list[int], size: int, generator: np.random.Generator) -> list[tuple[int, int]]:
    """(utterance, first frame) of the chunks of one epoch: they tile each utterance from a random phase, in random order."""
    chunks = []
    for utterance, length in enumerate(lengths):
        phase = int(generator.integers(0, size))
        starts = range(-phase, length, size) if length > size else range(1)
        chunks += [(utterance, int(np.clip(start, 0, max(0, length - size)))) for start in starts]
    return [chunks[i] for i in generator.permutation(len(chunks))]


def _cut(values: Tensor, start: int, size: int, padding: int) -> Tensor:
    """A stretch of an utterance; behind a short one stands padding, as the convolutions put it there in use."""
    stretch = values[start : start + size]
    missing = size - len(stretch)
    return torch.cat([stretch, stretch.new_full((missing, *stretch.shape[1:]), padding)]) if missing else stretch


def log_priors(alignments: list[NDArray[np.int64]], states: int) -> Tensor:
    """The logarithm of the share of frames in each state, (S,), none of them empty."""
    counts = np.bincount(np.concatenate(alignments), minlength=states) + 1.0
    return torch.from_numpy(np.log(counts / counts.sum()).astype(np.float32))
