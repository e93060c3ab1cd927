"""The learning rate over a training: warmed up, then lowered along a cosine."""

from __future__ import annotations

from collections.abc import Sequence

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR


def one_cycle(optimizer: Optimizer, highest: float | Sequence[float], steps: int, warmup: float, done: int = 0) -> LRScheduler:
    """A schedule to be stepped after each batch.

    Args:
        optimizer: Whose learning rate is set.
        highest: The rate at the end of the warm-up; one for each of the optimiser's groups, or of all.
        steps: Batches in all.
        warmup: Share of the steps, below 1.
        done: Steps after which a training goes on.

    Source: Smith and Topin 2018, as in torch.
    """
    # torch divides by (the warm-up's steps - 1): a warm-up of just one step is left out, which starts at the highest rate.
    rates = highest if isinstance(highest, float) else list(highest)
    share = warmup if warmup * steps != 1 else warmup / 2
    schedule = OneCycleLR(optimizer, rates, total_steps=steps, pct_start=share)
    # A first one gives the optimiser the bounds that one which goes on looks for.
    return OneCycleLR(optimizer, rates, total_steps=steps, pct_start=share, last_epoch=done - 1) if done else schedule
