"""One cabin's sound, from what was drawn."""

from __future__ import annotations

import numpy as np

from speechbench.audio import SAMPLING_RATE, Samples
from synth.car import air, engine, road, weather
from synth.car.broadband import HZ, frame_times, noise
from synth.car.drive import Drive
from synth.car.level import Track, full_scale, power, shaped
from synth.car.motion import motion_of
from synth.car.vehicle import Car


def render(car: Car, drive: Drive, seconds: float, rng: np.random.Generator) -> Samples:
    """What the microphone hears during a drive: all that goes on, and no events.

    Args:
        car: The car.
        drive: The drive; its journey must last at least the seconds.
        seconds: How much of it.
        rng: Of the noise itself; the same state gives the same sound.

    Shape:
        (N,), N = round(seconds * 16000)
    """
    samples = round(seconds * SAMPLING_RATE)
    times = frame_times(samples)
    motion = motion_of(car, drive, seconds)
    wipes, phase = drive.wipes_per_minute, float(rng.random())
    spectra = engine.combustion(car, motion, times)
    spectra += road.tyres(car, drive, motion, times, rng)
    spectra += air.wind(car, drive, motion, times, rng)
    spectra += air.blower(car, drive, times, rng)
    spectra += self_noise(car)
    if drive.rain_dba:
        spectra += weather.shower(car, drive, times, rng)
    if wipes:
        spectra += weather.swish(car, wipes, phase, times)
    sound = noise(spectra, samples, rng)
    sound += engine.orders(car, motion, samples, rng)
    road.joints(sound, car, drive, motion)
    road.rattles(sound, car, drive, motion, rng)
    if drive.rain_dba:
        weather.drops(sound, car, drive, times, rng)
    if wipes:
        weather.turns(sound, car, wipes, phase, seconds)
    return sound


def self_noise(car: Car) -> Track:
    """The microphone's own noise, as power per frequency: white, the quietest that a recording can be.

    Shape:
        (F,)
    """
    return power(full_scale(car.body.self_noise_dba)) * shaped(np.zeros(HZ.size), HZ)
