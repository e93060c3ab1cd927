"""How a number spreads that is drawn anew for each utterance: a range, a normal distribution or a list of values."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

Range = tuple[float, float]  # drawn uniformly between the two

USUAL_SDS = 3.0  # a normal distribution without bounds of its own ends so many standard deviations from its mean


@dataclass(frozen=True)
class Spread:
    """What a plain range cannot say: `values`, or `mean` and `sd` of a normal distribution."""

    values: tuple[float, ...] = ()  # each as likely as the others
    mean: float | None = None
    sd: float | None = None
    low: float | None = None  # nothing below is drawn; none: 3 sd below the mean
    high: float | None = None

    def __post_init__(self) -> None:
        normal = (self.mean, self.sd, self.low, self.high)
        if self.values:
            if normal != (None, None, None, None):
                raise ValueError("takes 'values', or 'mean' and 'sd' with 'low' and 'high', not both")
        elif self.mean is None or self.sd is None or not self.sd > 0:
            raise ValueError("takes 'values', or 'mean' with an 'sd' above 0")
        elif not bounds(self)[0] <= self.mean <= bounds(self)[1]:
            raise ValueError("'mean' lies between 'low' and 'high'")


def bounds(spread: Range | Spread) -> Range:
    """The least and the most that can be drawn."""
    if isinstance(spread, tuple):
        return spread
    if spread.mean is None or spread.sd is None:
        return min(spread.values), max(spread.values)
    reach = USUAL_SDS * spread.sd
    low = spread.mean - reach if spread.low is None else spread.low
    return low, spread.mean + reach if spread.high is None else spread.high


def draw(spread: Range | Spread, chance: float) -> float:
    """The value that belongs to a number drawn uniformly from [0, 1): the inverse of the cumulative distribution."""
    if isinstance(spread, Spread) and spread.values:
        return spread.values[int(chance * len(spread.values))]
    low, high = bounds(spread)
    if isinstance(spread, tuple) or spread.mean is None or spread.sd is None:
        return round(low + chance * (high - low), 3)
    normal = NormalDist(spread.mean, spread.sd)
    below, above = normal.cdf(low), normal.cdf(high)
    share = min(max(below + chance * (above - below), 1e-12), 1.0 - 1e-12)  # far bounds round to 0 and 1
    return round(min(max(normal.inv_cdf(share), low), high), 3)
