"""Engine orders: lines at whole and half multiples of the revolutions, and the noise of combustion between them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from speechbench.audio import SAMPLING_RATE
from synth.car.broadband import HZ, falling, hill, wander
from synth.car.level import Track, a_weighting_db, amplitude, full_scale, power, shaped
from synth.car.motion import Motion, upsampled
from synth.car.vehicle import REFERENCE_RPM, Car

RPM_JITTER = 0.003  # no two revolutions are alike
STROKE_DB = 1.2  # nor two ignitions: each order's level strays by this
LEAST_RPM = 60.0  # below, a motor is not heard
NYQUIST = SAMPLING_RATE / 2.0


def level_dba(car: Car, motion: Motion) -> Track:
    """How loud the engine is at each step of the motion, apart from what the cabin makes of each frequency.

    Shape:
        (T,)
    """
    engine = car.engine
    turning = np.maximum(motion.rpm, LEAST_RPM)
    level = engine.dba + engine.rpm_exponent * np.log10(turning / REFERENCE_RPM) - engine.load_range_db * (1.0 - motion.load)
    return np.where(motion.rpm < LEAST_RPM, -np.inf, level)


def orders(car: Car, motion: Motion, samples: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """The sum of all orders.

    Shape:
        (samples,)
    """
    sound = np.zeros(samples, dtype=np.float32)
    if not motion.rpm.any():
        return sound
    numbers, relative = np.array(car.engine.orders), np.array(car.engine.order_db)
    reference = numbers * REFERENCE_RPM / 60.0
    heard = power(relative + car.cabin(reference) + a_weighting_db(reference)).sum()
    level = full_scale(level_dba(car, motion)) - 10.0 * np.log10(heard) + 10.0 * np.log10(2.0)  # a sine's peak over its RMS
    rpm = motion.rpm * (1.0 + RPM_JITTER * wander(motion.times, 3.0, 1.0, rng))
    # The phase is the sum of the frequency, so that it never jumps; it repeats every other turn.
    turns = (np.cumsum(upsampled(rpm / 60.0, samples), dtype=np.float64) / SAMPLING_RATE % 2.0).astype(np.float32)
    for order, order_db in zip(numbers, relative, strict=True):
        hz = order * rpm / 60.0
        strays = wander(motion.times, 8.0, STROKE_DB, rng)
        phase = rng.random()
        if hz.min() < NYQUIST:
            track = amplitude(level + order_db + car.cabin(hz) + strays) * (hz < 0.98 * NYQUIST)
            angle = np.float32(2.0 * np.pi) * (np.float32(order) * turns + np.float32(phase))
            sound += upsampled(track, samples) * np.sin(angle)
    return sound


def combustion(car: Car, motion: Motion, times: Track) -> Track:
    """The broadband part, as power per frame and frequency.

    Shape:
        (T, F) at the T times
    """
    level = motion.at(times, power(full_scale(level_dba(car, motion) + car.engine.combustion_db)))
    shape = shaped(hill(HZ, car.engine.combustion_hz, 1.3) + falling(HZ, 2500.0, 6.0) + car.cabin(HZ), HZ)
    return level[:, None] * shape
