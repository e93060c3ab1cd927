"""Padded batches as their frames alone, and the norms that are computed over these.

B utterances, T frames with padding, n frames without, F features. A layer whose norm is batch norm needs no bias before it:
the mean is taken away and beta is the bias.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from pipelines.ctc.config import Norm
from pipelines.ctc.device import moved
from pipelines.parallel import SyncedBatchNorm


class Speech(NamedTuple):
    """Where a padded batch (B, T, F) holds speech."""

    lengths: Tensor  # (B,), frames
    mask: Tensor  # (B, T), true where there is speech
    places: Tensor  # (n,), of its frames among all B T


def speech_of(lengths: Tensor, values: Tensor) -> Speech:
    """Where a batch (B, T, F) holds speech, on its device, by its lengths (B,) on the CPU.

    How many places there are is found on the CPU: it would have to wait for a GPU to tell.
    """
    longest, count = values.shape[1], int(lengths.sum())
    before = torch.arange(len(lengths)) * longest - (lengths.cumsum(0) - lengths)  # padding before each utterance
    here, before = moved(torch.stack([lengths, before]), values.device)
    mask = torch.arange(longest, device=values.device) < here.unsqueeze(1)
    places = torch.arange(count, device=values.device) + before.repeat_interleave(here, output_size=count)
    return Speech(here, mask, places)


def packed(values: Tensor, speech: Speech) -> Tensor:
    """The frames that are no padding.

    Shape:
        (B, T, F) -> (n, F)
    """
    return values.flatten(0, 1).index_select(0, speech.places)


def unpacked(frames: Tensor, speech: Speech) -> Tensor:
    """The frames with padding, which is 0.

    Shape:
        (n, F) -> (B, T, F)
    """
    flat = frames.new_zeros(speech.mask.numel(), frames.shape[1])
    return flat.index_copy(0, speech.places, frames).view(*speech.mask.shape, -1)


def norm_of(kind: Norm, width: int) -> nn.Module:
    """A module for frames (n, F) of so many features, none of them padding.

    Source: Ioffe and Szegedy 2015 (batch norm, with running averages at test time), Ba et al. 2016 (layer norm, the same in
    training and at test time).
    """
    if kind == "batch":
        return SyncedBatchNorm(width)
    return nn.LayerNorm(width) if kind == "layer" else nn.Identity()
