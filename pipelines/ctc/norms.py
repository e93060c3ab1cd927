"""Normalisation of a padded batch: what is padding changes nothing, and comes out as 0.

B utterances, T frames, F features. A layer whose norm is batch norm needs no bias before it: the mean is taken away and beta
is the bias.
"""

from __future__ import annotations

from typing import Any, NamedTuple

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


class _Chosen(torch.autograd.Function):
    """Rows (n, F) of (N, F), each place at most once, so that nothing is added up on the way back."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, places: Tensor) -> Tensor:
        ctx.save_for_backward(places)
        ctx.count = len(rows)
        return rows.index_select(0, places)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (places,) = ctx.saved_tensors
        return _laid(gradient, places, ctx.count), None


class _Laid(torch.autograd.Function):
    """The inverse: rows (n, F) at their places among N, and zeros."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, places: Tensor, count: int) -> Tensor:
        ctx.save_for_backward(places)
        return _laid(rows, places, count)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (places,) = ctx.saved_tensors
        return gradient.index_select(0, places), None, None


def _laid(rows: Tensor, places: Tensor, count: int) -> Tensor:
    return rows.new_zeros(count, rows.shape[1]).index_copy_(0, places, rows)


class MaskedBatchNorm(SyncedBatchNorm):
    """Batch norm over the frames that are not padding, with running averages at test time (Ioffe and Szegedy 2015)."""

    def forward(self, values: Tensor, speech: Speech | None = None) -> Tensor:
        """(B, T, F) and where it holds speech, which is not optional, but torch's signature has none."""
        assert speech is not None
        flat = values.flatten(0, 1)
        normal = super().forward(_Chosen.apply(flat, speech.places))  # type: ignore[no-untyped-call]
        laid: Tensor = _Laid.apply(normal, speech.places, len(flat))  # type: ignore[no-untyped-call]
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
