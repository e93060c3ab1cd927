"""Normalisation of a padded batch: what is padding changes nothing, and comes out as 0.

B utterances, T frames, F features. A mask (B, T) is true where there is speech. A layer whose norm is batch norm needs no
bias before it: the mean is taken away and beta is the bias.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pipelines.ctc.config import Norm
from pipelines.parallel import SyncedBatchNorm


class MaskedBatchNorm(SyncedBatchNorm):
    """Batch norm over the frames that are not padding, with running averages at test time (Ioffe and Szegedy 2015)."""

    def forward(self, values: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, T, F) and a mask (B, T); the mask is not optional, but torch's signature has none."""
        assert mask is not None
        result = torch.zeros_like(values)
        result[mask] = super().forward(values[mask])
        return result


class MaskedLayerNorm(nn.LayerNorm):
    """Layer norm: over the features of a frame, the same in training and at test time (Ba et al. 2016)."""

    def forward(self, values: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, T, F) and a mask (B, T); the mask is not optional, but torch's signature has none."""
        assert mask is not None
        return super().forward(values).masked_fill(~mask.unsqueeze(2), 0.0)


class MaskedIdentity(nn.Module):
    """No norm."""

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        """(B, T, F) and a mask (B, T)."""
        return values.masked_fill(~mask.unsqueeze(2), 0.0)


def norm_of(kind: Norm, width: int) -> nn.Module:
    """A module for so many features that takes values (B, T, F) and a mask (B, T)."""
    if kind == "batch":
        return MaskedBatchNorm(width)
    return MaskedLayerNorm(width) if kind == "layer" else MaskedIdentity()


def mask_of(lengths: Tensor, values: Tensor) -> Tensor:
    """The mask (B, T) of a batch (B, T, F) and its lengths (B,)."""
    return torch.arange(values.shape[1], device=values.device) < lengths.to(values.device).unsqueeze(1)
