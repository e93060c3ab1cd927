"""The sound of a car's inside: impulse responses from a mouth to a microphone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from speechbench.audio import SAMPLING_RATE, Samples
from speechbench.errors import AudioError
from speechbench.jobs import Run
from speechbench.seeds import generator_of
from synth import rir
from synth.recipe import CabinRanges
from synth.rir import Rir

Point = tuple[float, float, float]
Response = tuple[Samples, int]  # an impulse response, (N,) at 16 kHz, and the direct path's delay in samples

TAIL = 1e-6  # share of the energy, -60 dB, that is cut from the end of an impulse response
BLOCK = 12000  # samples, about, of a convolution: fastest for cabins of 0.05 to 0.1 s
TOGETHER = 4  # blocks that scipy transforms at once, as float32 numbers in a register of 128 bits
MOST_REFLECTIONS = 40  # beyond this order an image source adds less than the 16-bit step
# Where microphones sit, as shares of the cabin's length (from the windscreen), width and height.
MICROPHONES: dict[str, Point] = {"mirror": (0.2, 0.5, 0.88), "roof": (0.33, 0.5, 0.97), "dashboard": (0.1, 0.45, 0.45)}
SEATS: dict[str, Point] = {"driver": (0.42, 0.27, 0.72), "passenger": (0.42, 0.73, 0.72)}
OCTAVES = (125.0, 250.0, 500.0, 1000.0, 2000.0, 4000.0)  # Hz
# Share of the sound's energy that a surface swallows in each octave: usual values of room acoustics' tables. Thin panes
# and panels give way to low tones, which so leave the cabin.
ABSORPTION = {
    "glass": (0.35, 0.25, 0.18, 0.12, 0.07, 0.04),
    "trim": (0.58, 0.30, 0.20, 0.15, 0.12, 0.10),  # dashboard and doors
    "headliner": (0.45, 0.60, 0.70, 0.75, 0.80, 0.80),  # cloth and foam under thin sheet
    "carpet": (0.15, 0.30, 0.57, 0.69, 0.71, 0.73),
    "cloth": (0.49, 0.66, 0.80, 0.88, 0.82, 0.70),  # seats
    "leather": (0.44, 0.54, 0.60, 0.62, 0.58, 0.50),
}
WALLS = {  # the surfaces that share each wall
    "front": ("glass", "trim"),
    "rear": ("seats", "seats", "glass"),
    "sides": ("glass", "trim"),
    "floor": ("carpet", "seats"),
    "ceiling": ("headliner",),
}
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
    seats: str  # cloth or leather

    def row(self) -> dict[str, Any]:
        """As a JSON object."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in vars(self).items()}

    @classmethod
    def of(cls, row: dict[str, Any]) -> Cabin:
        """From its JSON object."""
        values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}
        return cls(**values)


Room = Cabin | Rir
_BORROWED: dict[Room, Response] = {}


def draw(ranges: CabinRanges, seed: int) -> list[Room]:
    """The cabins of a build: the drawn ones and the user's impulse responses.

    Raises:
        SpeechbenchError: Impulse responses that cannot be used.
    """
    recorded = rir.load(Path(ranges.rirs)) if ranges.rirs is not None else []
    return [_draw(ranges, seed, f"cabin-{number:02d}") for number in range(1, ranges.count + 1)] + recorded


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
    mouth, microphone = near(SEATS[seat]), near(MICROPHONES[place])
    seats = "leather" if rng.random() < ranges.leather else "cloth"
    return Cabin(name, size, rt60, seat, mouth, place, microphone, seats)


def absorption(cabin: Cabin) -> NDArray[np.float64]:
    """The absorption in `OCTAVES` of the cabin's walls, such that the sound decays in its RT60 around 1 kHz.

    All walls get the mean of what they are made of: glass on either side of a box would throw the sound back and forth for
    a quarter of a second, which slanted windows do not. Bare walls give about 0.1 s; people and hidden foam swallow
    more. They are taken as further layers of the same, since k layers of absorption a let (1 - a)^k pass.

    Shape:
        (6,)

    Source: Sabine's formula, RT60 = 0.161 V / (S a).
    """
    length, width, height = cabin.size
    areas = {"front": width * height, "rear": width * height, "sides": 2.0 * length * height}
    areas |= {"floor": length * width, "ceiling": length * width}
    surface = sum(areas.values())
    bare = sum(
        area / surface * np.mean([ABSORPTION[cabin.seats if name == "seats" else name] for name in WALLS[wall]], axis=0)
        for wall, area in areas.items()
    )
    wanted = 0.161 * length * width * height / (surface * cabin.rt60)
    passes = np.log(1.0 - np.asarray(bare))
    return np.asarray(1.0 - np.exp(passes * (np.log(1.0 - wanted) / passes[OCTAVES.index(1000.0)])))


def modules(ranges: CabinRanges) -> tuple[str, ...]:
    """What processes that shall compute responses can import while they wait, for it takes a second and more."""
    return ("pyroomacoustics",) if ranges.count else ()


def response_or_error(room: Room) -> Response | AudioError:
    """An impulse response, or why it cannot be had; for `responses`, and for who asks for many."""
    try:
        return impulse_response(room)
    except AudioError as error:
        return error


def responses(rooms: Iterable[Room], run: Run, jobs: int) -> dict[Room, Response]:
    """Their impulse responses, for other processes; a file that cannot be used is left to who asks for it.

    Args:
        rooms: What for.
        run: Where they are computed.
        jobs: Processes.
    """
    rooms = list(rooms)
    found = zip(rooms, run(response_or_error, rooms, jobs), strict=True)
    return {room: response for room, response in found if not isinstance(response, AudioError)}


def borrow(responses: Mapping[Room, Response]) -> None:
    """Use impulse responses that another process has computed, instead of those that were borrowed before."""
    _BORROWED.clear()
    _BORROWED.update(responses)


def forget() -> None:
    """Compute all anew when it is asked for."""
    _BORROWED.clear()
    _impulse_response.cache_clear()


def impulse_response(room: Room) -> Response:
    """The impulse response, scaled so that the direct path has unit gain.

    Raises:
        AudioError: The user's own file cannot be read, or is silent.
    """
    return _BORROWED.get(room) or _impulse_response(room)


@lru_cache(maxsize=64)
def _impulse_response(room: Room) -> Response:
    """Computed or read.

    Source: image source method, Allen and Berkley, JASA 65 (1979), as implemented in pyroomacoustics.
    """
    if isinstance(room, Rir):
        return rir.response(room)
    import pyroomacoustics

    pyroomacoustics.constants.set("num_threads", 1)  # sums in one order, so that bytes repeat
    # A path of n reflections is at least n - 1 times the shortest side long.
    order = 1 + int(room.rt60 * pyroomacoustics.constants.get("c") / min(room.size))
    box = pyroomacoustics.ShoeBox(
        room.size,
        fs=SAMPLING_RATE,
        materials=pyroomacoustics.Material({"coeffs": list(absorption(room)), "center_freqs": list(OCTAVES)}),
        max_order=min(order, MOST_REFLECTIONS),
    )
    box.add_source(room.mouth)
    box.add_microphone(room.microphone)
    box.compute_rir()
    distance = float(np.linalg.norm(np.subtract(room.mouth, room.microphone)))
    # Each path is a windowed sinc of this many samples around its arrival; a path of d metres has the gain 1/d.
    half = pyroomacoustics.constants.get("frac_delay_length") // 2
    delay = half + round(distance / pyroomacoustics.constants.get("c") * SAMPLING_RATE)
    response = box.rir[0][0] * distance
    left = np.cumsum(np.square(response[::-1]))[::-1]  # energy from here on
    audible = int(np.count_nonzero(left > left[0] * TAIL))
    return np.asarray(response[:audible], dtype=np.float32), int(delay)


def apply(speech: Samples, response: Samples, delay: int) -> Samples:
    """The speech as it is heard through an impulse response.

    The direct path's delay is taken out, so that words stay where they were within half a sample; the echo that
    rings on after the last sample is cut.

    Shape:
        (N,) -> (N,)
    """
    return convolved(speech, response)[delay : delay + speech.size]


def convolved(samples: Samples, response: Samples) -> Samples:
    """Samples through a filter by overlap-save: blocks overlap by the filter's length, and what wraps around is dropped.

    The first half of the signal is the real part of a complex one and the second half the imaginary part, for a filter that
    is real keeps them apart. Nearly twice as fast as `scipy.signal.oaconvolve`, which makes shorter blocks and adds up their
    ends.

    Shape:
        (N,), (K,) -> (at least N + K - 1,), zeros behind that
    """
    from scipy.fft import fft, ifft, next_fast_len  # takes longer to import than all else

    before = response.size - 1
    wanted = samples.size + before
    longest = max(BLOCK, 4 * response.size) - before
    # Four blocks are transformed in the time of two, so there are fours of them, the filter among them.
    blocks = TOGETHER * max(1, round((wanted / (2 * longest) + 1) / TOGETHER)) - 1
    size = next_fast_len(-(-wanted // (2 * blocks)) + before)
    step = size - before
    padded = np.zeros(2 * blocks * step + before, dtype=np.float32)
    padded[before : before + samples.size] = samples
    halves = as_strided(padded, (2, blocks, size), (4 * blocks * step, 4 * step, 4), writeable=False)
    spectra = np.zeros((1 + blocks, size), dtype=np.complex64)
    spectra.real[0, : response.size] = response
    spectra.real[1:], spectra.imag[1:] = halves
    spectra = fft(spectra, axis=1, overwrite_x=True)
    spectra[1:] *= spectra[0]
    heard = ifft(spectra, axis=1, overwrite_x=True)[1:, before:]
    return np.concatenate([heard.real.reshape(-1), heard.imag.reshape(-1)])
