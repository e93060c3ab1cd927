"""Rain on roof and windscreen, and the wipers that clear it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from synth.car.broadband import HZ, falling, hill, wander
from synth.car.drive import Drive
from synth.car.level import Track, full_scale, of_exposure, power, shaped
from synth.car.strikes import at_random, ring, strike
from synth.car.vehicle import Car

DROPS_DB = -5.0  # drops that are heard one by one, together, relative to all the others
DROP_SPREAD = 0.9  # of the logarithm of their strengths
PLACES = np.linspace(-1.0, 2.0, 12)  # octaves between the ring of roof, panels and glass and `roof_hz`
STROKE = 0.42  # of a cycle: out, a short rest, back, a short rest
THUMP_DB = -8.0  # sound exposure of the blades' turning, relative to a stroke's level


def shower(car: Car, drive: Drive, times: Track, rng: np.random.Generator) -> Track:
    """The drops that cannot be told apart, as power per frame and frequency.

    Shape:
        (T, F) at the T times
    """
    level = power(full_scale(drive.rain_dba + wander(times, 1.5, 1.0, rng)))
    shape = np.logaddexp(hill(HZ, 2.5 * car.equipment.roof_hz, 2.2), hill(HZ, 0.4 * car.equipment.roof_hz, 2.0))
    return level[:, None] * shaped(shape + car.cabin(HZ), HZ)


def drops(sound: NDArray[np.float32], car: Car, drive: Drive, times: Track, rng: np.random.Generator) -> None:
    """Add the drops that are heard one by one; each rings as the place does where it falls."""
    rate = np.full(times.size, drive.drops_per_second / PLACES.size)
    level = drive.rain_dba + DROPS_DB - 10.0 * np.log10(drive.drops_per_second)
    for octaves in PLACES:
        moments = at_random(rate, times, rng)
        gains = rng.lognormal(-(DROP_SPREAD**2), DROP_SPREAD, moments.size)  # whose mean square is 1
        hz = car.equipment.roof_hz * 2.0**octaves
        strike(sound, moments, gains, of_exposure(ring((hz, 1.5 / hz, 1.0), (2.7 * hz, 1.0 / hz, 0.5)), level))


def stroke_times(per_minute: float, phase: float, seconds: float) -> tuple[Track, Track]:
    """When the strokes out and the strokes back start, in seconds; some start before 0."""
    cycle = 60.0 / per_minute
    out = (np.arange(int(seconds / cycle) + 2) - phase) * cycle
    return out, out + 0.5 * cycle


def swish(car: Car, per_minute: float, phase: float, times: Track) -> Track:
    """The blades on the glass, as power per frame and frequency.

    Shape:
        (T, F) at the T times
    """
    kit = car.equipment
    length = STROKE * 60.0 / per_minute
    envelope = np.zeros(times.size)
    starts = stroke_times(per_minute, phase, float(times[-1]))
    for moments, gain_db in zip(starts, (0.0, kit.wiper_return_db), strict=True):
        done = (times[:, None] - moments) / length
        envelope += (power(gain_db) * np.where((done > 0) & (done < 1), np.sin(np.pi * np.clip(done, 0, 1)) ** 2, 0)).sum(
            axis=1
        )
    shape = shaped(hill(HZ, kit.wiper_hz, 1.2) + falling(HZ, 3000.0, 6.0) + car.cabin(HZ), HZ)
    return power(full_scale(kit.wiper_dba)) * envelope[:, None] * shape


def turns(sound: NDArray[np.float32], car: Car, per_minute: float, phase: float, seconds: float) -> None:
    """Add the knocks of the blades where they turn."""
    kit = car.equipment
    kernel = of_exposure(ring((0.3 * kit.wiper_hz, 0.02, 1.0), (kit.wiper_hz, 0.008, 0.2)), kit.wiper_dba + THUMP_DB)
    length = STROKE * 60.0 / per_minute
    starts = stroke_times(per_minute, phase, seconds)
    for moments, gain_db in zip(starts, (0.0, kit.wiper_return_db), strict=True):
        strike(sound, moments + length, np.full(moments.size, np.sqrt(power(gain_db))), kernel)
