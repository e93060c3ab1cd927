"""What a synthesised corpus shall be like: ranges that scenes are drawn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from speechbench import config
from speechbench.errors import unknown_name

BUILT_IN = Path(__file__).parent / "recipes"
MOST_SNR_DB = 90.0  # 16 bits span 96 dB
Range = tuple[float, float]  # drawn uniformly between the two


@dataclass(frozen=True)
class CabinRanges:
    """The cars' insides; lengths in metres."""

    count: int = 16  # different cabins per build; 0 leaves the speech as recorded
    length: Range = (2.2, 3.0)
    width: Range = (1.35, 1.65)
    height: Range = (1.1, 1.3)
    rt60: Range = (0.05, 0.1)  # s
    passenger: float = 0.25  # share of cabins in which the passenger speaks, not the driver


@dataclass(frozen=True)
class Recipe:
    """Everything that shapes a build except its speech, its noise and its seed."""

    snr_db: Range = (-5.0, 20.0)  # active speech level (P.56) over the noise's RMS level
    level_dbfs: Range = (-35.0, -20.0)  # active speech level in the output
    noise: float = 1.0  # share of utterances that get noise
    copies: int = 1  # noisy copies of each utterance
    keep_clean: bool = False  # list the clean utterances in the manifest too
    conditions: dict[str, float] = field(default_factory=dict)  # weight of each noise condition; none draws all alike
    cabin: CabinRanges = field(default_factory=CabinRanges)

    def __post_init__(self) -> None:
        ranges = {name: getattr(self, name) for name in ("snr_db", "level_dbfs")}
        ranges |= {f"cabin.{name}": getattr(self.cabin, name) for name in ("length", "width", "height", "rt60")}
        for name, (low, high) in ranges.items():
            if not low <= high:
                raise ValueError(f"'{name}' is {low} to {high}; expected the lower value first")
        if not (self.snr_db[0] >= -MOST_SNR_DB and self.snr_db[1] <= MOST_SNR_DB):
            raise ValueError(
                f"'snr_db' lies between -{MOST_SNR_DB:g} and {MOST_SNR_DB:g} dB: beyond, 16 bits hold only one of the two"
            )
        if self.level_dbfs[1] > -10:
            raise ValueError(f"'level_dbfs' goes up to {self.level_dbfs[1]}; above -10 dBFS speech clips")
        if not (0.0 <= self.noise <= 1.0 and 0.0 <= self.cabin.passenger <= 1.0):
            raise ValueError("'noise' and 'cabin.passenger' are shares between 0 and 1")
        if self.copies < 1 or self.cabin.count < 0:
            raise ValueError("'copies' is at least 1 and 'cabin.count' at least 0")
        if not (self.cabin.length[0] >= 1.8 and self.cabin.width[0] >= 1.1 and self.cabin.height[0] >= 1.0):
            raise ValueError("a cabin is at least 1.8 m long, 1.1 m wide and 1.0 m high")
        if not (self.cabin.rt60[0] >= 0.03 and self.cabin.rt60[1] <= 0.3):
            raise ValueError("'cabin.rt60' lies between 0.03 and 0.3 s")
        if any(weight < 0 for weight in self.conditions.values()) or (self.conditions and not sum(self.conditions.values())):
            raise ValueError("'conditions' are weights of 0 or more, one of them above 0")


def load(name: str = "car", settings: Sequence[str] = ()) -> Recipe:
    """A recipe by its built-in name or from a TOML file.

    Args:
        name: "car", "plain" or a path that ends in .toml.
        settings: "key=value" onto it.

    Raises:
        SpeechbenchError: An unknown name or key, a value out of range.
    """
    path = Path(name) if name.endswith(".toml") else BUILT_IN / f"{name}.toml"
    if not name.endswith(".toml") and not path.is_file():
        raise unknown_name("recipe (or name a .toml file)", name, (known.stem for known in BUILT_IN.glob("*.toml")))
    return config.load(Recipe, path, settings)
