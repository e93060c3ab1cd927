"""Changes to features during training: tempo, vocal tract and SpecAugment.

What changes is drawn for each utterance alone; a whole batch is then changed at once, where its features are.
B utterances, T frames, F bands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pipelines.ctc.config import AugmentConfig
from speechbench.features import band_frequencies, band_places

MOST_TIME = 0.2  # share of an utterance that a time mask may hide

Masks = tuple[tuple[int, int], ...]  # the first hidden, and the first behind


@dataclass(frozen=True)
class Change:
    """What is changed in one utterance."""

    frames: int  # after the stretch
    warp: float = 1.0  # what frequencies are multiplied by
    bands: Masks = ()
    times: Masks = ()


def draw(frames: int, bands: int, config: AugmentConfig, chance: Iterator[float], fits: Callable[[int], bool] = bool) -> Change:
    """Draw what changes in an utterance of so many frames and bands.

    Args:
        frames: T.
        bands: F.
        config: How much.
        chance: Numbers from [0, 1), of this utterance in this epoch.
        fits: Whether so many frames are enough; where a stretch leaves too few, there is none.

    Source: Ko et al. 2015 (speed), here its tempo and its frequencies apart; Jaitly and Hinton 2013 (frequencies); Park et
    al. 2019 (SpecAugment).
    """
    stretched, warp = max(1, round(frames * _factor(config.stretch, chance))), _factor(config.warp, chance)
    if not fits(stretched):
        stretched = frames
    widest = min(config.time_width, int(MOST_TIME * stretched))
    return Change(
        stretched,
        warp,
        tuple(_mask(bands, config.frequency_width, chance) for _ in range(config.frequency_masks)),
        tuple(_mask(stretched, widest, chance) for _ in range(config.time_masks)),
    )


def augment(features: Tensor, lengths: Tensor, changes: Sequence[Change]) -> tuple[Tensor, Tensor]:
    """A changed copy of a padded batch of log-mel features, after CMVN, which makes 0 the mean.

    Args:
        features: Zero behind each utterance.
        lengths: Of the utterances, on the CPU.
        changes: Of each.

    Shape:
        (B, T, F), (B,) -> (B, T', F), (B,)
    """
    sizes = torch.tensor([change.frames for change in changes])
    changed = stretched(features, lengths, sizes)
    if any(change.warp != 1.0 for change in changes):
        changed = warped(changed, torch.tensor([change.warp for change in changes]))
    steps, bands = _range(changed.shape[1], changed), _range(changed.shape[2], changed)
    kept = steps < _column(sizes, changed)
    for times in _side_by_side([change.times for change in changes]):
        kept = kept & ~_within(times, steps)
    changed = changed * kept.unsqueeze(2)
    for hidden in _side_by_side([change.bands for change in changes]):
        changed = changed * ~_within(hidden, bands).unsqueeze(1)
    return changed, sizes


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
    places = band_places(band_frequencies(bands) / factors.unsqueeze(1), bands).clamp(0, bands - 1).to(features.device)
    below = places.long().clamp_max(max(0, bands - 2))
    share = (places - below).unsqueeze(1)
    first, second = (at.unsqueeze(1).expand(features.shape) for at in (below, (below + 1).clamp_max(bands - 1)))
    return torch.lerp(features.gather(2, first), features.gather(2, second), share)


def _factor(most: float, chance: Iterator[float]) -> float:
    return 1.0 + most * (2.0 * next(chance) - 1.0) if most else 1.0


def _mask(size: int, widest: int, chance: Iterator[float]) -> tuple[int, int]:
    width = int(next(chance) * (min(widest, size) + 1))
    start = int(next(chance) * (size - width + 1))
    return start, start + width


def _side_by_side(masks: Sequence[Masks]) -> Tensor:
    """The masks of B utterances, as many of each: (masks, B, 2)."""
    return torch.tensor(masks).reshape(len(masks), -1, 2).transpose(0, 1)


def _within(mask: Tensor, places: Tensor) -> Tensor:
    """Which places (n,) a mask (B, 2) hides, (B, n)."""
    start, end = _column(mask[:, 0], places), _column(mask[:, 1], places)
    return (start <= places) & (places < end)


def _range(size: int, like: Tensor) -> Tensor:
    return torch.arange(size, device=like.device)


def _column(values: Tensor, like: Tensor) -> Tensor:
    """Values (B,) of the CPU as (B, 1) on a device."""
    return values.to(like.device, non_blocking=True).unsqueeze(1)
