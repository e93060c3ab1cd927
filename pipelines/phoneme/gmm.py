"""Gaussian mixtures with diagonal covariances, one mixture per HMM state, trained by Viterbi EM.

T frames, F features, S states, M Gaussians per state.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

VARIANCE_FLOOR = 0.01  # of the global variance, which CMVN makes about 1
LEAST_FRAMES = 8.0  # a Gaussian with fewer frames than this is dropped


@dataclass(frozen=True)
class Mixtures:
    """All states' mixtures; a dropped Gaussian has weight 0."""

    weights: Tensor  # (S, M)
    means: Tensor  # (S, M, F)
    variances: Tensor  # (S, M, F)

    @classmethod
    def flat(cls, states: int, frames: Tensor) -> Mixtures:
        """One Gaussian per state, all equal to the global one."""
        mean, variance = frames.mean(0), frames.var(0, correction=0).clamp_min(VARIANCE_FLOOR)
        return cls(torch.ones(states, 1), mean.repeat(states, 1, 1), variance.repeat(states, 1, 1))

    def log_likelihoods(self, frames: Tensor) -> Tensor:
        """Natural-log likelihood of each frame in each state.

        log N(x; m, v) = c - x^2 . 1/(2v) + x . m/v with c the part without x, so that all Gaussians are one product.

        Shape:
            (T, F) -> (T, S)
        """
        inverse = 1.0 / self.variances
        constants = -0.5 * (
            self.variances.log().sum(-1)
            + (self.means.square() * inverse).sum(-1)
            + self.means.shape[-1] * math.log(2 * math.pi)
        )
        constants = constants + self.weights.log()
        linear = torch.cat([-0.5 * inverse, self.means * inverse], dim=-1).flatten(0, 1)  # (S M, 2 F)
        each = torch.addmm(constants.flatten(), torch.cat([frames.square(), frames], dim=1), linear.T)
        return each.view(len(frames), *self.weights.shape).logsumexp(-1)

    def split(self) -> Mixtures:
        """Twice as many Gaussians: each moved by a fifth of its deviation up and down."""
        step = 0.2 * self.variances.sqrt()
        return Mixtures(
            torch.cat([self.weights, self.weights], 1) / 2,
            torch.cat([self.means + step, self.means - step], 1),
            torch.cat([self.variances, self.variances], 1),
        )

    def update(self, frames: Tensor, states: Tensor) -> Mixtures:
        """One EM step on frames (T, F) with the state of each (T,); a state without frames stays as it is."""
        weights, means, variances = self.weights.clone(), self.means.clone(), self.variances.clone()
        order = torch.argsort(states, stable=True)
        counts = torch.bincount(states, minlength=len(weights)).tolist()
        for state, own in enumerate(torch.split(frames[order], counts)):
            if len(own) < LEAST_FRAMES:
                continue
            one = Mixtures(self.weights[state].unsqueeze(1), self.means[state].unsqueeze(1), self.variances[state].unsqueeze(1))
            shares = one.log_likelihoods(own).softmax(dim=1)  # each Gaussian as a state of its own
            occupancy = shares.sum(0)
            kept = occupancy >= min(LEAST_FRAMES, float(occupancy.max()))
            total = occupancy.clamp_min(1e-8).unsqueeze(1)
            mean = shares.T @ own / total
            variance = (shares.T @ own.square() / total - mean.square()).clamp_min(VARIANCE_FLOOR)
            weights[state] = torch.where(kept, occupancy, 0.0) / occupancy[kept].sum()
            means[state] = torch.where(kept.unsqueeze(1), mean, self.means[state])
            variances[state] = torch.where(kept.unsqueeze(1), variance, self.variances[state])
        return Mixtures(weights, means, variances)


def train(
    mixtures: Mixtures,
    frames: Tensor,
    align: Callable[[Mixtures], Tensor],
    gaussians: int,
    iterations: int,
    report: Callable[[int, Mixtures, Tensor], None],
) -> tuple[Mixtures, Tensor]:
    """Align and update by turns, doubling the Gaussians until there are enough.

    Args:
        mixtures: To start from, fitted to a first alignment.
        frames: All training frames (T, F).
        align: Gives the state of every frame (T,) under some mixtures.
        gaussians: Per state, in the end.
        iterations: Alignments per number of Gaussians.
        report: Called after each with the number of Gaussians, the mixtures and the alignment.

    Returns:
        The mixtures and their last alignment.
    """
    while True:
        for _ in range(iterations):
            states = align(mixtures)
            for _ in range(2):
                mixtures = mixtures.update(frames, states)
            report(mixtures.weights.shape[1], mixtures, states)
        if mixtures.weights.shape[1] * 2 > gaussians:
            return mixtures, align(mixtures)
        mixtures = mixtures.split()
