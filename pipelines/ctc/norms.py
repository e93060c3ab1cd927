"""Normalisation of a padded batch: what is padding changes nothing, and comes out as 0.

B utterances, T frames, F features. A mask (B, T) is true where there is speech. A layer whose norm is batch norm needs no
bias before it: the mean is taken away and beta is the bias.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pipelines import parallel
from pipelines.ctc.config import Norm


class MaskedBatchNorm(nn.BatchNorm1d):
    """Batch norm over the frames that are not padding, of all processes, with running averages at test time.

    Its frames are not gathered first: how many there are would have to come from the GPU, which the processor then waits for.

    Source: Ioffe and Szegedy 2015.
    """

    def forward(self, values: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, T, F) and a mask (B, T); the mask is not optional, but torch's signature has none."""
        assert mask is not None and self.running_mean is not None and self.running_var is not None
        wide, heard = values.float(), mask.unsqueeze(2)
        mean, variance = self.running_mean, self.running_var
        if self.training:
            count = parallel.total(heard.sum().float())
            mean = parallel.total((wide * heard).sum((0, 1))) / count
            variance = parallel.total(((wide - mean) * heard).square().sum((0, 1))) / count
            self._remember(mean.detach(), (variance * count / (count - 1).clamp_min(1)).detach())
        scaled: Tensor = ((wide - mean) * ((variance + self.eps).rsqrt() * self.weight) + self.bias) * heard
        return scaled.to(values.dtype)

    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None and self.running_var is not None
        assert self.num_batches_tracked is not None and self.momentum is not None
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)


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
