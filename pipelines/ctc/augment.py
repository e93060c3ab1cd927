"""Changes to features during training: tempo, vocal tract and SpecAugment.

What changes is drawn for each utterance alone; a whole batch is then changed at once, where its features are.
B utterances, T frames, F bands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipelines.ctc.config import AugmentConfig
from pipelines.ctc.device import moved
from speechbench.features import band_frequencies, band_places
from speechbench.seeds import chances_of

MOST_TIME = 0.2  # share of an utterance that a time mask may hide

Counts = NDArray[np.int64]
Fits = Sequence[Callable[[int], bool]]


class Changes(NamedTuple):
    """What is changed in each utterance of a batch, on the CPU."""

    frames: Tensor  # (B,), after the stretch
    warp: Tensor  # (B,), what frequencies are multiplied by
    bands: Tensor  # (masks, B, 2), the first hidden, and the first behind
    times: Tensor  # (masks, B, 2)


def draw(lengths: Tensor, bands: int, config: AugmentConfig, seeds: Sequence[int], fits: Fits | None = None) -> Changes:
    """Draw what changes in utterances of so many frames and bands.

    Args:
        lengths: Of the utterances (B,), on the CPU.
        bands: F.
        config: How much.
        seeds: Of each utterance in this epoch.
        fits: Whether so many frames are enough for each; where a stretch leaves too few, there is none.

    Source: Ko et al. 2015 (speed), here its tempo and its frequencies apart; Jaitly and Hinton 2013 (frequencies); Park et
    al. 2019 (SpecAugment).
    """
    count = bool(config.stretch) + bool(config.warp) + 2 * (config.frequency_masks + config.time_masks)
    chance = iter(np.array([list(islice(chances_of(seed), count)) for seed in seeds]).T)
    frames = lengths.numpy()
    sizes = np.maximum(1, np.rint(frames * _factor(config.stretch, chance))).astype(np.int64)
    warp = np.broadcast_to(_factor(config.warp, chance), frames.shape)
    if fits is not None:
        sizes = np.where([enough(size) for enough, size in zip(fits, sizes.tolist(), strict=True)], sizes, frames)
    widest = np.minimum(config.time_width, (MOST_TIME * sizes).astype(np.int64))
    masked = [_mask(np.full_like(sizes, bands), config.frequency_width, chance) for _ in range(config.frequency_masks)]
    hidden = [_mask(sizes, widest, chance) for _ in range(config.time_masks)]
    return Changes(
        torch.from_numpy(sizes), torch.tensor(warp, dtype=torch.float32), _masks(masked, len(sizes)), _masks(hidden, len(sizes))
    )


def augment(features: Tensor, lengths: Tensor, changes: Changes) -> Tensor:
    """A changed copy of a padded batch of log-mel features, after CMVN, which makes 0 the mean.

    Args:
        features: Zero behind each utterance.
        lengths: Of the utterances, on the CPU.
        changes: Of each.

    Shape:
        (B, T, F), (B,) -> (B, the largest of the changed lengths, F)
    """
    changed = stretched(features, lengths, changes.frames)
    if bool((changes.warp != 1.0).any()):
        changed = warped(changed, changes.warp)
    steps, bands = _range(changed.shape[1], changed), _range(changed.shape[2], changed)
    kept = steps < _column(changes.frames, changed)
    for times in changes.times:
        kept = kept & ~_within(times, steps)
    changed = changed * kept.unsqueeze(2)
    for hidden in changes.bands:
        changed = changed * ~_within(hidden, bands).unsqueeze(1)
    return changed


def stretched(features: Tensor, lengths: Tensor, sizes: Tensor) -> Tensor:
    """Each utterance with another number of frames, between which is interpolated; behind them lies its last frame.

    Shape:
        (B, T, F), (B,), (B,) -> (B, the largest of sizes, F)
    """
    steps, last = _range(int(sizes.max()), features), _column(lengths, features) - 1
    places = ((steps + 0.5) * _column(lengths / sizes, features) - 0.5).clamp_min(0.0)
    below = places.long()
    share = (places - below).unsqueeze(2)
    first, second = (torch.minimum(at, last).unsqueeze(2).expand(-1, -1, features.shape[2]) for at in (below, below + 1))
    return torch.lerp(features.gather(1, first), features.gather(1, second), share)


def warped(features: Tensor, factors: Tensor) -> Tensor:
    """The log-mel features of voices with all frequencies times a factor, as of shorter vocal tracts above 1.

    Shape:
        (B, T, F), (B,) -> (B, T, F)
    """
    bands = features.shape[2]
    places = moved(band_places(band_frequencies(bands) / factors.unsqueeze(1), bands).clamp(0, bands - 1), features.device)
    below = places.long().clamp_max(max(0, bands - 2))
    share = (places - below).unsqueeze(1)
    first, second = (at.unsqueeze(1).expand(features.shape) for at in (below, (below + 1).clamp_max(bands - 1)))
    return torch.lerp(features.gather(2, first), features.gather(2, second), share)


def _factor(most: float, chance: Iterator[NDArray[np.float64]]) -> NDArray[np.float64]:
    return 1.0 + most * (2.0 * next(chance) - 1.0) if most else np.ones(1)


def _mask(sizes: Counts, widest: Counts | int, chance: Iterator[NDArray[np.float64]]) -> Counts:
    """For each utterance the first hidden, and the first behind, (B, 2)."""
    widths = (next(chance) * (np.minimum(widest, sizes) + 1)).astype(np.int64)
    starts = (next(chance) * (sizes - widths + 1)).astype(np.int64)
    return np.stack([starts, starts + widths], 1)


def _masks(each: Sequence[Counts], utterances: int) -> Tensor:
    return torch.from_numpy(np.stack(each)) if each else torch.empty(0, utterances, 2, dtype=torch.int64)


def _within(mask: Tensor, places: Tensor) -> Tensor:
    """Which places (n,) a mask (B, 2) hides, (B, n)."""
    start, end = _column(mask[:, 0], places), _column(mask[:, 1], places)
    return (start <= places) & (places < end)


def _range(size: int, like: Tensor) -> Tensor:
    return torch.arange(size, device=like.device)


def _column(values: Tensor, like: Tensor) -> Tensor:
    """Values (B,) of the CPU as (B, 1) on a device."""
    return values.to(like.device, non_blocking=True).unsqueeze(1)
