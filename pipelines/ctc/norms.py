"""Normalisation of a padded batch: what is padding changes nothing, and comes out as 0.

B utterances, T frames, F features. A layer whose norm is batch norm needs no bias before it: the mean is taken away and beta
is the bias.
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

    The places are found on the CPU: it would have to wait for a GPU to tell how many they are.
    """
    mask = torch.arange(values.shape[1]) < lengths.unsqueeze(1)
    places = mask.flatten().nonzero().flatten()
    return Speech(*(moved(one, values.device) for one in (lengths, mask, places)))


class MaskedBatchNorm(SyncedBatchNorm):
    """Batch norm over the frames that are not padding, with running averages at test time (Ioffe and Szegedy 2015)."""

    def forward(self, values: Tensor, speech: Speech | None = None) -> Tensor:
        """(B, T, F) and where it holds speech, which is not optional, but torch's signature has none."""
        assert speech is not None
        flat = values.flatten(0, 1)
        normal = super().forward(flat.index_select(0, speech.places))
        laid: Tensor = normal.new_zeros(flat.shape).index_copy(0, speech.places, normal)
        return laid.view_as(values)


class MaskedLayerNorm(nn.LayerNorm):
    """Layer norm: over the features of a frame, the same in training and at test time (Ba et al. 2016)."""

    def forward(self, values: Tensor, speech: Speech | None = None) -> Tensor:
        """(B, T, F) and where it holds speech, which is not optional, but torch's signature has none."""
        assert speech is not None
        return super().forward(values).where(speech.mask.unsqueeze(2), 0.0)


class MaskedIdentity(nn.Module):
    """No norm."""

    def forward(self, values: Tensor, speech: Speech) -> Tensor:
        """(B, T, F) and where it holds speech."""
        return values.where(speech.mask.unsqueeze(2), 0.0)


def norm_of(kind: Norm, width: int) -> nn.Module:
    """A module for so many features that takes values (B, T, F) and where they hold speech."""
    if kind == "batch":
        return MaskedBatchNorm(width)
    return MaskedLayerNorm(width) if kind == "layer" else MaskedIdentity()
