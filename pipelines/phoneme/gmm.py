"""Gaussian mixtures with diagonal covariances, one per column (an HMM state, or several that share it), trained by Viterbi EM.

T frames, F features, S columns, M Gaussians per column.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

VARIANCE_FLOOR = 0.01  # of the global variance, which CMVN makes about 1
LEAST_FRAMES = 8.0  # a Gaussian with fewer frames than this is dropped

Block = tuple[Tensor, Tensor]  # frames (T, F) and the column of each (T,)


@dataclass(frozen=True)
class Mixtures:
    """All columns' mixtures; a dropped Gaussian has weight 0."""

    weights: Tensor  # (S, M)
    means: Tensor  # (S, M, F)
    variances: Tensor  # (S, M, F)

    @classmethod
    def flat(cls, columns: int, features: int) -> Mixtures:
        """One Gaussian per column, all equal."""
        return cls(torch.ones(columns, 1), torch.zeros(columns, 1, features), torch.ones(columns, 1, features))

    def of(self, columns: Tensor) -> Mixtures:
        """Those of some columns."""
        return Mixtures(self.weights[columns], self.means[columns], self.variances[columns])

    def log_likelihoods(self, frames: Tensor) -> Tensor:
        """Natural-log likelihood of each frame in each column, (T, F) -> (T, S)."""
        return self._each(frames).logsumexp(1)

    def nearest(self, frames: Tensor) -> Tensor:
        """That of the likeliest Gaussian of each column alone, which is found sooner, (T, F) -> (T, S)."""
        return self._each(frames).amax(1)

    def _each(self, frames: Tensor) -> Tensor:
        """The natural-log likelihood of each frame in each Gaussian, its weight included.

        log N(x; m, v) = c - x^2 . 1/(2v) + x . m/v with c the part without x, so that all Gaussians are one product.

        Shape:
            (T, F) -> (T, M, S)
        """
        inverse = 1.0 / self.variances
        constants = -0.5 * (
            self.variances.log().sum(-1)
            + (self.means.square() * inverse).sum(-1)
            + self.means.shape[-1] * math.log(2 * math.pi)
        )
        constants = constants + self.weights.log()
        linear = torch.cat([-0.5 * inverse, self.means * inverse], dim=-1)
        # Columns last: the sum over Gaussians is then one over whole rows, which is a third faster.
        constants, linear = constants.T.flatten(), linear.transpose(0, 1).flatten(0, 1)
        each = torch.addmm(constants, torch.cat([frames.square(), frames], dim=1), linear.T)
        return each.view(len(frames), -1, len(self.weights))

    def shares(self, column: int, frames: Tensor) -> Tensor:
        """How much each Gaussian of a column has of frames that are in it, (T, F) -> (T, M)."""
        one = slice(column, column + 1)
        return Mixtures(self.weights[one], self.means[one], self.variances[one])._each(frames)[:, :, 0].softmax(dim=1)

    def split(self) -> Mixtures:
        """Twice as many Gaussians: each moved by a fifth of its deviation up and down."""
        step = 0.2 * self.variances.sqrt()
        return Mixtures(
            torch.cat([self.weights, self.weights], 1) / 2,
            torch.cat([self.means + step, self.means - step], 1),
            torch.cat([self.variances, self.variances], 1),
        )

    def update(self, blocks: Iterable[Block]) -> Mixtures:
        """One EM step; a column without frames stays as it is."""
        weights, means, variances = self.weights.clone(), self.means.clone(), self.variances.clone()
        occupancies = torch.zeros(weights.shape, dtype=torch.double)
        sums, squares = (torch.zeros(means.shape, dtype=torch.double) for _ in range(2))
        for frames, columns in blocks:
            for column, own in by_column(frames, columns):
                shares = self.shares(column, own)
                occupancies[column] += shares.sum(0)
                sums[column] += shares.T @ own
                squares[column] += shares.T @ own.square()
        for column in torch.nonzero(occupancies.sum(1) >= LEAST_FRAMES).flatten().tolist():
            occupancy = occupancies[column]
            kept = occupancy >= min(LEAST_FRAMES, float(occupancy.max()))
            total = occupancy.clamp_min(1e-8).unsqueeze(1)
            mean = sums[column] / total
            variance = (squares[column] / total - mean.square()).clamp_min(VARIANCE_FLOOR)
            weights[column] = (torch.where(kept, occupancy, 0.0) / occupancy[kept].sum()).float()
            means[column] = torch.where(kept.unsqueeze(1), mean.float(), self.means[column])
            variances[column] = torch.where(kept.unsqueeze(1), variance.float(), self.variances[column])
        return Mixtures(weights, means, variances)


def by_column(frames: Tensor, columns: Tensor) -> Iterable[tuple[int, Tensor]]:
    """The frames of each column that has any."""
    order = torch.argsort(columns, stable=True)
    counts = torch.bincount(columns).tolist()
    for column, own in enumerate(torch.split(frames[order], counts)):
        if len(own):
            yield column, own
