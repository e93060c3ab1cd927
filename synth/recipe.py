"""What a synthesised corpus shall be like: ranges that scenes are drawn from."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from speechbench import config
from speechbench.errors import unknown_name
from synth.spread import Range, Spread, bounds

BUILT_IN = Path(__file__).parent / "recipes"
MOST_SNR_DB = 90.0  # 16 bits span 96 dB
# RMS of two 16-bit steps: below, a good part of the noise that is heard would be rounding.
QUIETEST_NOISE_DBFS = -84.0
MOST_ABSORPTION = 0.98  # of the sound that meets a wall


@dataclass(frozen=True)
class CabinRanges:
    """The cars' insides; lengths in metres."""

    count: int = 16  # different cabins per build; 0 leaves the speech as recorded
    length: Range = (2.2, 3.0)
    width: Range = (1.35, 1.65)
    height: Range = (1.1, 1.3)
    rt60: Range = (0.05, 0.1)  # s, around 1 kHz
    passenger: float = 0.25  # share of cabins in which the passenger speaks, not the driver
    leather: float = 0.4  # share of cabins with leather seats, not cloth
    rirs: str | None = None  # folder or manifest of recorded impulse responses: each is one more cabin to draw

    def __post_init__(self) -> None:
        config.check_bounds(self, count=(0, math.inf), passenger=(0, 1), leather=(0, 1))
        _check_order(self, "length", "width", "height", "rt60")
        if not (self.length[0] >= 1.8 and self.width[0] >= 1.1 and self.height[0] >= 1.0):
            raise ValueError("a cabin is at least 1.8 m long, 1.1 m wide and 1.0 m high")
        if not (self.rt60[0] >= 0.03 and self.rt60[1] <= 0.3):
            raise ValueError("'rt60' lies between 0.03 and 0.3 s")
        length, width, height = self.length[1], self.width[1], self.height[1]
        surface = 2.0 * (length * width + length * height + width * height)
        shortest = 0.161 * length * width * height / (surface * MOST_ABSORPTION)  # Sabine's formula
        if self.rt60[0] < shortest:
            raise ValueError(f"'rt60' starts at {self.rt60[0]:g} s; the largest cabin cannot decay in under {shortest:.3f} s")


@dataclass(frozen=True)
class ConditionRanges:
    """The utterances that get background noise of one condition."""

    weight: float = 1.0  # of the condition among the others
    snr_db: Range | Spread | None = None  # none: as in all conditions

    def __post_init__(self) -> None:
        config.check_bounds(self, weight=(0, math.inf))


@dataclass(frozen=True)
class EventRanges:
    """A sound that comes and goes over the background: indicator, wiper, horn, a passing vehicle."""

    probability: float = 0.1  # that an utterance holds it
    snr_db: Range | Spread = (0.0, 15.0)  # active speech level over the event's RMS level while it sounds
    conditions: tuple[str, ...] = ()  # the backgrounds it comes with; none: all

    def __post_init__(self) -> None:
        config.check_bounds(self, probability=(0, 1))


@dataclass(frozen=True)
class Recipe:
    """Everything that shapes a build except its speech, its noise and its seed."""

    snr_db: Range | Spread = (-5.0, 20.0)  # active speech level (P.56) over the RMS level of all the noise
    level_dbfs: Range = (-35.0, -20.0)  # active speech level in the output
    noise: float = 1.0  # share of utterances that get noise
    copies: int = 1  # noisy copies of each utterance
    keep_clean: bool = False  # list the clean utterances in the manifest too
    clip: bool = False  # cut a sum that is too large, as a microphone would, instead of turning it down
    lombard: float = 0.0  # dB of voice per dB of noise; cars: 0.3 to 0.7; 0: the speech keeps its spectrum
    conditions: dict[str, ConditionRanges] = field(default_factory=dict)  # none draws all noise alike
    events: dict[str, EventRanges] = field(default_factory=dict)
    cabin: CabinRanges = field(default_factory=CabinRanges)

    def __post_init__(self) -> None:
        config.check_bounds(self, noise=(0, 1), copies=(1, math.inf), lombard=(0, 0.8))
        _check_order(self, "level_dbfs")
        if self.level_dbfs[1] > -10:
            raise ValueError(f"'level_dbfs' goes up to {self.level_dbfs[1]:g}; above -10 dBFS speech clips")
        if self.conditions and not any(condition.weight for condition in self.conditions.values()):
            raise ValueError("'conditions' all have the weight 0; expected one above it")
        for name, event in self.events.items():
            for condition in event.conditions:
                if condition not in self.conditions:
                    raise ValueError(f"'events.{name}.conditions' names '{condition}', which is not in [conditions]")
        for name, spread in self._snrs():
            self._check_snr(name, bounds(spread))

    def _snrs(self) -> Iterator[tuple[str, Range | Spread]]:
        yield "snr_db", self.snr_db
        for name, condition in self.conditions.items():
            if condition.snr_db is not None:
                yield f"conditions.{name}.snr_db", condition.snr_db
        yield from ((f"events.{name}.snr_db", event.snr_db) for name, event in self.events.items())

    def _check_snr(self, name: str, within: Range) -> None:
        low, high = within
        if not low <= high:
            raise ValueError(f"'{name}' is {low:g} to {high:g}; expected the lower value first")
        if not (low >= -MOST_SNR_DB and high <= MOST_SNR_DB):
            raise ValueError(
                f"'{name}' lies between -{MOST_SNR_DB:g} and {MOST_SNR_DB:g} dB: beyond, 16 bits hold only one of the two"
            )
        quietest = self.level_dbfs[0] - high
        if quietest < QUIETEST_NOISE_DBFS:
            raise ValueError(
                f"'{name}' reaches {high:g} dB under speech of {self.level_dbfs[0]:g} dBFS: 16 bits cannot hold noise of "
                f"{quietest:g} dBFS; go up to {self.level_dbfs[0] - QUIETEST_NOISE_DBFS:g} dB, or raise 'level_dbfs'"
            )

    def snr_under(self, condition: str | None) -> Range | Spread:
        """The total SNR of utterances whose background has the condition."""
        own = self.conditions.get(condition or "")
        return self.snr_db if own is None or own.snr_db is None else own.snr_db

    def with_one_snr(self) -> Recipe:
        """The recipe with `snr_db` under every condition."""
        return replace(self, conditions={name: replace(one, snr_db=None) for name, one in self.conditions.items()})


def _check_order(ranges: CabinRanges | Recipe, *names: str) -> None:
    for name in names:
        low, high = getattr(ranges, name)
        if not low <= high:
            raise ValueError(f"'{name}' is {low:g} to {high:g}; expected the lower value first")


def names() -> list[str]:
    """The built-in recipes."""
    return sorted(path.stem for path in BUILT_IN.glob("*.toml"))


def load(name: str = "car", settings: Sequence[str] = ()) -> Recipe:
    """A recipe by its built-in name or from a TOML file.

    Args:
        name: One of `names` or a path that ends in .toml.
        settings: "key=value" onto it.

    Raises:
        SpeechbenchError: An unknown name or key, a value out of range.
    """
    path = Path(name) if name.endswith(".toml") else BUILT_IN / f"{name}.toml"
    if not name.endswith(".toml") and not path.is_file():
        raise unknown_name("recipe (or name a .toml file)", name, names())
    return config.load(Recipe, path, settings)
