"""The sound of a car's inside: impulse responses from a mouth to a microphone."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from scipy.signal import oaconvolve

from speechbench.audio import SAMPLING_RATE, Samples
from speechbench.seeds import generator_of
from synth.recipe import CabinRanges

Point = tuple[float, float, float]

TAIL = 1e-6  # share of the energy, -60 dB, that is cut from the end of an impulse response
MOST_REFLECTIONS = 40  # beyond this order an image source adds less than the 16-bit step
# Where microphones sit, as shares of the cabin's length (from the windscreen), width and height.
MICROPHONES: dict[str, Point] = {"mirror": (0.2, 0.5, 0.88), "roof": (0.33, 0.5, 0.97), "dashboard": (0.1, 0.45, 0.45)}
SEATS: dict[str, Point] = {"driver": (0.42, 0.27, 0.72), "passenger": (0.42, 0.73, 0.72)}
SPREAD: Point = (0.05, 0.05, 0.04)  # m, by which mouths and microphones differ between cars


@dataclass(frozen=True)
class Cabin:
    """A shoebox with a mouth and a microphone; lengths in metres, times in seconds."""

    id: str
    size: Point
    rt60: float
    seat: str
    mouth: Point
    place: str
    microphone: Point

    def row(self) -> dict[str, Any]:
        """As a JSON object."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def of(cls, row: dict[str, Any]) -> Cabin:
        """From its JSON object."""
        values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}
        return cls(**values)


def draw(ranges: CabinRanges, seed: int) -> list[Cabin]:
    """The cabins of a build."""
    return [_draw(ranges, seed, f"cabin-{number:02d}") for number in range(1, ranges.count + 1)]


def _draw(ranges: CabinRanges, seed: int, name: str) -> Cabin:
    rng = generator_of(seed, "cabin", name)
    length, width, height = (round(float(rng.uniform(*bounds)), 3) for bounds in (ranges.length, ranges.width, ranges.height))
    size = (length, width, height)
    seat = "passenger" if rng.random() < ranges.passenger else "driver"
    place = list(MICROPHONES)[int(rng.integers(len(MICROPHONES)))]

    def near(shares: Point) -> Point:
        x, y, z = (
            round(float(np.clip(share * side + rng.uniform(-spread, spread), 0.02, side - 0.02)), 3)
            for share, side, spread in zip(shares, size, SPREAD, strict=True)
        )
        return x, y, z

    rt60 = round(float(rng.uniform(*ranges.rt60)), 4)
    return Cabin(name, size, rt60, seat, near(SEATS[seat]), place, near(MICROPHONES[place]))


@lru_cache(maxsize=64)
def impulse_response(cabin: Cabin) -> tuple[Samples, int]:
    """The impulse response, scaled so that the direct path has unit gain, and the direct path's delay in samples.

    The walls absorb alike at all frequencies, by Sabine's formula for the RT60 that is asked for.

    Shape:
        (N,) at 16 kHz

    Source: image source method, Allen and Berkley, JASA 65 (1979), as implemented in pyroomacoustics.
    """
    import pyroomacoustics

    pyroomacoustics.constants.set("num_threads", 1)  # sums in one order, so that bytes repeat
    absorption, order = pyroomacoustics.inverse_sabine(cabin.rt60, cabin.size)
    room = pyroomacoustics.ShoeBox(
        cabin.size,
        fs=SAMPLING_RATE,
        materials=pyroomacoustics.Material(absorption),
        max_order=min(order, MOST_REFLECTIONS),
    )
    room.add_source(cabin.mouth)
    room.add_microphone(cabin.microphone)
    room.compute_rir()
    distance = float(np.linalg.norm(np.subtract(cabin.mouth, cabin.microphone)))
    # Each path is a windowed sinc of this many samples around its arrival; a path of d metres has the gain 1/d.
    half = pyroomacoustics.constants.get("frac_delay_length") // 2
    delay = half + round(distance / pyroomacoustics.constants.get("c") * SAMPLING_RATE)
    response = room.rir[0][0] * distance
    left = np.cumsum(np.square(response[::-1]))[::-1]  # energy from here on
    audible = int(np.count_nonzero(left > left[0] * TAIL))
    return np.asarray(response[:audible], dtype=np.float32), int(delay)


def apply(speech: Samples, cabin: Cabin) -> Samples:
    """The speech as the cabin's microphone hears it.

    The direct path's delay is taken out, so that words stay where they were within half a sample; the echo that
    rings on after the last sample is cut.

    Shape:
        (N,) -> (N,)
    """
    response, delay = impulse_response(cabin)
    heard: Samples = oaconvolve(speech, response)[delay : delay + speech.size].astype(np.float32)
    return heard
