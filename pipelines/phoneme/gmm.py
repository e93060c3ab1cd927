"""Gaussian mixtures with diagonal covariances, one per column (an HMM state, or several that share it), trained by Viterbi EM.

T frames, F features, S columns, M Gaussians per column.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from pipelines.ahead import each

VARIANCE_FLOOR = 0.01  # of the global variance, which CMVN makes about 1
LEAST_FRAMES = 8.0  # a Gaussian with fewer frames than this is dropped

CHUNK = 64  # frames of one column that are worked on together
PIECE = 512  # chunks that are worked on at once: what is made of them stays in the processor's cache

Block = tuple[Tensor, Tensor]  # frames (T, F) and the column of each (T,)


def squared(frames: Tensor) -> Tensor:
    """[x^2, x], of which the log-likelihood of a Gaussian is a linear function, (T, F) -> (T, 2 F)."""
    return torch.cat([frames.square(), frames], dim=1)


@dataclass(frozen=True)
class Chunks:
    """Frames by column, in chunks of one column each: what is done for each column is then one batched product.

    C chunks of K frames.
    """

    columns: Tensor  # (C,), in order
    values: Tensor  # (C, K, 2 F), [x^2, x] of each frame; some frame or other fills the last chunk of a column
    real: Tensor  # (C, K, 1): 1 for a frame, 0 for what fills

    @classmethod
    def of(cls, frames: Tensor, columns: Tensor) -> Chunks:
        """Those of a block."""
        counts = torch.bincount(columns)
        chunks = torch.div(counts + CHUNK - 1, CHUNK, rounding_mode="floor")
        gaps = (chunks.cumsum(0) - chunks) * CHUNK - (counts.cumsum(0) - counts)  # what fills before each column
        places = torch.arange(len(columns)) + gaps.repeat_interleave(counts)
        own = torch.arange(len(counts)).repeat_interleave(chunks)
        order, real = torch.zeros(len(own) * CHUNK, dtype=torch.long), torch.zeros(len(own) * CHUNK)
        order[places], real[places] = torch.argsort(columns, stable=True), 1.0
        values = frames.new_empty(len(order), 2 * frames.shape[1])
        parts = zip(torch.split(order, PIECE * CHUNK), torch.split(values, PIECE * CHUNK), strict=True)
        for _ in each(lambda part: torch.cat([(found := frames[part[0]]).square(), found], dim=1, out=part[1]), parts, 0):
            pass
        return cls(own, values.view(len(own), CHUNK, -1), real.view(len(own), CHUNK, 1))

    def pieces(self) -> Iterator[Chunks]:
        """A few chunks at a time, in order."""
        parts = (torch.split(part, PIECE) for part in (self.columns, self.values, self.real))
        return map(Chunks, *parts)


@dataclass(frozen=True)
class Scorer:
    """Mixtures as a product with [x^2, x], so that a frame finds all Gaussians at once.

    log N(x; m, v) = c - x^2 . 1/(2v) + x . m/v with c the part without x.
    """

    constants: Tensor  # (M, S), the Gaussians' weights included
    linear: Tensor  # (M, S, 2 F)

    def each(self, frames: Tensor) -> Tensor:
        """Natural-log likelihood of each frame in each Gaussian, (T, F) -> (T, M, S).

        Columns are last: what follows over the Gaussians is then over whole rows, which is a third faster.
        """
        values = torch.addmm(self.constants.flatten(), squared(frames), self.linear.flatten(0, 1).T)
        return values.view(len(frames), *self.constants.shape)

    def nearest(self, frames: Tensor, columns: Tensor) -> Tensor:
        """That of the likeliest Gaussian of each of some columns alone, which is found sooner than the sum.

        Shape:
            (T, F), (C,) -> (T, C)
        """
        return Scorer(self.constants[:, columns], self.linear[:, columns]).each(frames).amax(1)

    def shares(self, chunks: Chunks) -> Tensor:
        """How much each Gaussian of its column has of each frame, (C, K, M); nothing of what fills a chunk."""
        constants, linear = self.constants.T[chunks.columns], self.linear.transpose(0, 1)[chunks.columns]
        return torch.baddbmm(constants.unsqueeze(1), chunks.values, linear.transpose(1, 2)).softmax(dim=2) * chunks.real


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

    def scorer(self) -> Scorer:
        """How they score frames."""
        inverse = 1.0 / self.variances
        constants = -0.5 * (
            self.variances.log().sum(-1)
            + (self.means.square() * inverse).sum(-1)
            + self.means.shape[-1] * math.log(2 * math.pi)
        )
        linear = torch.cat([-0.5 * inverse, self.means * inverse], dim=-1)
        return Scorer((constants + self.weights.log()).T.contiguous(), linear.transpose(0, 1).contiguous())

    def log_likelihoods(self, frames: Tensor) -> Tensor:
        """Natural-log likelihood of each frame in each column, (T, F) -> (T, S)."""
        return self.scorer().each(frames).logsumexp(1)

    def split(self) -> Mixtures:
        """Twice as many Gaussians: each moved by a fifth of its deviation up and down."""
        step = 0.2 * self.variances.sqrt()
        return Mixtures(
            torch.cat([self.weights, self.weights], 1) / 2,
            torch.cat([self.means + step, self.means - step], 1),
            torch.cat([self.variances, self.variances], 1),
        )

    def update(self, blocks: Iterable[Chunks]) -> Mixtures:
        """One EM step; a column without frames stays as it is."""
        columns, gaussians, size = self.means.shape
        scorer = self.scorer()

        def gathered(chunks: Chunks) -> tuple[Tensor, Tensor, Tensor]:
            shares = scorer.shares(chunks)
            return chunks.columns, shares.sum(1).double(), (shares.mT @ chunks.values).double()

        occupancies = torch.zeros(columns, gaussians, dtype=torch.double)
        sums = torch.zeros(columns, gaussians, 2 * size, dtype=torch.double)
        for owners, shares, moments in each(gathered, (piece for block in blocks for piece in block.pieces()), 0):
            occupancies.index_add_(0, owners, shares)
            sums.index_add_(0, owners, moments)
        total = occupancies.clamp_min(1e-8).unsqueeze(2)
        squares, means = (sums / total).tensor_split(2, dim=2)
        variances = (squares - means.square()).clamp_min(VARIANCE_FLOOR)
        seen = occupancies.sum(1, keepdim=True) >= LEAST_FRAMES
        kept = seen & (occupancies >= occupancies.amax(1, keepdim=True).clamp_max(LEAST_FRAMES))
        weights = torch.where(kept, occupancies, 0.0)
        weights /= weights.sum(1, keepdim=True).clamp_min(1e-8)
        return Mixtures(
            torch.where(seen, weights.float(), self.weights),
            torch.where(kept.unsqueeze(2), means.float(), self.means),
            torch.where(kept.unsqueeze(2), variances.float(), self.variances),
        )
