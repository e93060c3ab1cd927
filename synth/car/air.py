"""Moving air: the wind around the car and the blower inside."""

from __future__ import annotations

import numpy as np

from synth.car.broadband import HZ, falling, hill, wander
from synth.car.drive import Drive
from synth.car.level import Track, full_scale, power, shaped
from synth.car.motion import Motion
from synth.car.vehicle import REFERENCE_KMH, Car

GUST_HZ = 0.8
BLOWER_EXPONENT = 45.0  # dB per decade of the blower's speed: a fan's power ~ U^4 to U^5
BLOWER_DB = 0.7  # by which its level strays
VENTS_DB = -16.0  # hiss of the air's way into the cabin, relative to the blower's hill
BLADES = 0.9  # the blade tone lies this many octaves above the blower's hill


def wind(car: Car, drive: Drive, motion: Motion, times: Track, rng: np.random.Generator) -> Track:
    """The wind's noise, as power per frame and frequency.

    Its frequencies move with the air's speed (a constant Strouhal number), gusts change level and colour together.

    Shape:
        (T, F) at the T times
    """
    body = car.body
    gusts = wander(times, GUST_HZ, drive.gust_db, rng)
    kmh = np.maximum(motion.at(times, motion.kmh) + drive.headwind_kmh, 1.0) * 10.0 ** (gusts / body.wind_exponent)
    level = body.wind_dba + body.wind_exponent * np.log10(kmh / REFERENCE_KMH)
    knee = body.wind_hz * kmh / REFERENCE_KMH
    rush = shaped(falling(HZ, knee[:, None], body.wind_slope_db) + car.cabin(HZ), HZ)
    hiss = shaped(hill(HZ, 1600.0, 1.4) + car.cabin(HZ), HZ)
    seal = power(body.seal_db)
    return np.asarray(power(full_scale(level))[:, None] * ((rush + seal * hiss) / (1.0 + seal)))


def blower(car: Car, drive: Drive, times: Track, rng: np.random.Generator) -> Track:
    """The air conditioner's noise, as power per frame and frequency; its hill moves with its speed.

    Shape:
        (T, F) at the T times
    """
    if not drive.blower:
        return np.zeros((times.size, HZ.size))
    kit = car.equipment
    centre = kit.blower_hz * (0.6 + 0.4 * drive.blower)
    tone = np.square(np.maximum(0.0, 1.0 - np.abs(HZ - centre * 2.0**BLADES) / 16.0))  # within two or three bins
    vents = power(falling(HZ, 800.0, 6.0) + VENTS_DB)
    rush = 10.0 * np.log10(power(hill(HZ, centre, 1.2)) + vents) + car.cabin(HZ)
    spectrum = shaped(rush, HZ) + 0.03 * tone / tone.sum()
    level = kit.blower_dba + BLOWER_EXPONENT * np.log10(drive.blower) + wander(times, 1.0, BLOWER_DB, rng)
    return np.asarray(power(full_scale(level))[:, None] * spectrum)
