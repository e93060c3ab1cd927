"""A drive over time: speed, gear, revolutions and load. No chance is left in it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d, uniform_filter1d

from speechbench.audio import SAMPLING_RATE
from synth.car.drive import Drive
from synth.car.level import Track
from synth.car.vehicle import Car, Engine

STEP_SAMPLES = 320
STEP = STEP_SAMPLES / SAMPLING_RATE  # s
SMOOTH = 0.8  # s, in which a driver starts to brake or to accelerate
RAMP = np.arange(STEP_SAMPLES, dtype=np.float32) / np.float32(STEP_SAMPLES)
DWELL = 1.5  # s, for which a gear is kept at least
OVERRUN = 0.05  # load while the clutch is open or the car slows down


@dataclass(frozen=True)
class Motion:
    """The course of a drive, each field (T,) in steps of `STEP`; the last step is at or after the end."""

    times: Track  # s
    kmh: Track
    gear: NDArray[np.int64]  # 1: the lowest
    rpm: Track  # 0: the engine is off
    load: Track  # 0 to 1

    @property
    def shifts(self) -> list[tuple[float, int]]:
        """When the gear changes (s), and to which."""
        changed = np.flatnonzero(np.diff(self.gear)) + 1
        return [(round(float(self.times[place]), 2), int(self.gear[place])) for place in changed]

    def at(self, times: Track, values: Track) -> Track:
        """One of the fields at other times."""
        return np.interp(times, self.times, values)


def motion_of(car: Car, drive: Drive, seconds: float) -> Motion:
    """The course that this car takes on this drive."""
    times = np.arange(int(np.ceil(seconds / STEP)) + 2) * STEP
    knots = np.array(drive.speed)
    kmh = uniform_filter1d(np.interp(times, knots[:, 0], knots[:, 1]), round(SMOOTH / STEP), mode="nearest")
    kmh = np.maximum(kmh, 0.0)  # the running sum of the filter leaves -1e-14 at rest
    engine = car.engine
    acceleration = np.gradient(kmh / 3.6, STEP)
    cruising = 0.08 + 0.3 * np.square(kmh / 130.0) + drive.grade * (kmh > 1.0)
    load = np.clip(cruising + acceleration / engine.agility, OVERRUN, 1.0)
    gear = _gears(engine, kmh, load)
    width = max(2, round(engine.shift_seconds / STEP))
    shifting = maximum_filter1d(np.abs(np.diff(gear, prepend=gear[0])), width) > 0
    load = uniform_filter1d(np.where(shifting, OVERRUN, load), 5, mode="nearest")
    # Below the idling speed the clutch slips: the more load, the higher the engine turns.
    slipping = engine.idle_rpm * (1.0 + 0.8 * load * (kmh > 0.5))
    rpm = np.maximum(kmh * engine.rpm_per_kmh * _ratios(engine)[gear], slipping)
    rpm = uniform_filter1d(rpm, width, mode="nearest") * drive.running
    return Motion(times, kmh, gear + 1, np.asarray(rpm), np.asarray(load))


def _ratios(engine: Engine) -> Track:
    """Each gear's ratio over the highest's, in even steps."""
    return np.asarray(engine.gear_span ** np.linspace(1.0, 0.0, engine.gears) if engine.gears > 1 else np.ones(1))


def _gears(engine: Engine, kmh: Track, load: Track) -> NDArray[np.int64]:
    """The gear at each step, 0 the lowest: up where the engine turns fast for its load, down where it turns slowly."""
    ratios = (engine.rpm_per_kmh * _ratios(engine)).tolist()
    up = engine.upshift_rpm * (0.75 + 0.5 * load)
    down = up * (ratios[1] / ratios[0] * 0.85 if len(ratios) > 1 else 0.0)  # so that no shift calls for its undoing
    top = len(ratios) - 1
    gear = max((n for n in range(top + 1) if kmh[0] * ratios[n] > down[0]), default=0)
    gears, free = [], 0
    for place, (speed, low, high) in enumerate(zip(kmh.tolist(), down.tolist(), up.tolist(), strict=True)):
        if place >= free:
            rpm = speed * ratios[gear]
            step = 1 if rpm > high and gear < top else -1 if rpm < low and gear > 0 else 0
            if step:
                gear += step
                free = place + round(DWELL / STEP)
        gears.append(gear)
    return np.array(gears, dtype=np.int64)


def upsampled(values: Track, samples: int) -> NDArray[np.float32]:
    """A field of a motion, or what follows from it, at each sample: straight lines between the steps.

    Shape:
        (T,) to (samples,)
    """
    light = values.astype(np.float32)
    lines = np.diff(light)[:, None] * RAMP
    lines += light[:-1, None]
    return np.asarray(lines.reshape(-1)[:samples])
