"""Muon: an optimiser for the matrices of hidden layers, whose every step turns all directions by about as much.

A network learns in half as many steps as by AdamW. torch has one that multiplies in bfloat16 alone, which takes a processor
without instructions for it a second or more a step.

Source: Jordan et al. 2024; rates as AdamW's by Liu et al. 2025.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

QUINTIC = 3.4445, -4.7750, 2.0315  # of an iteration, which brings all singular values near 1 soon and none quite there
ITERATIONS = 3  # for five: as good, and quicker
LIKE_ADAM = 0.2  # the root mean square of AdamW's steps, as a share of the rate


class Muon(torch.optim.Optimizer):
    """For weights (M, N); norms, biases and the output layer are for AdamW."""

    def __init__(
        self,
        weights: Iterable[nn.Parameter],
        lr: float,
        weight_decay: float,
        momentum: float = 0.95,
        precision: torch.dtype = torch.float32,
    ) -> None:
        """As AdamW, whose rate and decay it takes.

        Args:
            weights: To change.
            lr: The learning rate.
            weight_decay: In one step, as a share of the rate.
            momentum: Share of the mean gradient that a step leaves as it was.
            precision: In which steps are made orthogonal.
        """
        super().__init__(weights, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})
        self.precision = precision

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]  # the loss is the caller's
        """Change the weights that have gradients."""
        for group in self.param_groups:
            alike = defaultdict[torch.Size, list[nn.Parameter]](list)
            for weight in group["params"]:
                if weight.grad is not None:
                    alike[weight.shape].append(weight)
            for shape, weights in alike.items():
                ahead = torch.stack([self._ahead(weight, group["momentum"]) for weight in weights])
                rate = group["lr"] * LIKE_ADAM * math.sqrt(max(shape))
                for weight, step in zip(weights, orthogonal(ahead), strict=True):
                    weight.mul_(1 - group["lr"] * group["weight_decay"]).add_(step, alpha=-rate)

    def _ahead(self, weight: nn.Parameter, momentum: float) -> Tensor:
        """The mean gradient, a step ahead as Nesterov has it."""
        assert weight.grad is not None, "those without are left out"
        state = self.state[weight]
        if not state:
            state["mean"] = torch.zeros_like(weight)
        mean = state["mean"].lerp_(weight.grad, 1 - momentum)
        return weight.grad.lerp(mean, momentum).to(self.precision)


def orthogonal(matrices: Tensor) -> Tensor:
    """For each matrix nearly the nearest one whose singular values are all 1, (B, M, N), by Newton's and Schulz' iteration.

    All but the first and the last product are of the smaller side alone: X becomes P X, and X X' becomes P X X' P, with P a
    polynomial of X X'.
    """
    if matrices.shape[1] > matrices.shape[2]:
        return orthogonal(matrices.mT).mT
    first, third, fifth = QUINTIC
    square = matrices @ matrices.mT
    norm = square.diagonal(dim1=1, dim2=2).sum(1)[:, None, None].clamp_min(1e-30)  # squared
    square, product = square / norm, norm.rsqrt()
    for left in reversed(range(ITERATIONS)):
        turn = torch.baddbmm(square, square, square, beta=third, alpha=fifth)
        turn.diagonal(dim1=1, dim2=2).add_(first)
        product = turn * product if left == ITERATIONS - 1 else turn @ product
        if left:
            square = turn @ (square @ turn)
    return product @ matrices
