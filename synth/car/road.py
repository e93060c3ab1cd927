"""Tyres on a road: rumble through the suspension, the tyres' cavity, tread noise through the panels, joints and rattles."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from synth.car.broadband import HZ, falling, hill, hump, wander
from synth.car.drive import SURFACES, Drive
from synth.car.level import Track, full_scale, of_exposure, power, shaped
from synth.car.motion import Motion
from synth.car.strikes import at_random, ring, strike
from synth.car.vehicle import REFERENCE_KMH, Car

SLOWEST_KMH = 1.0  # below, tyres are silent
SPRAY_DB = 5.0  # wet tyres hiss, relative to their noise on a dry road
RATTLE_KMH = 40.0  # at which a loose part takes most of its knocks


def _relative_db(exponent: float, kmh: Track) -> Track:
    level = exponent * np.log10(np.maximum(kmh, SLOWEST_KMH) / REFERENCE_KMH)
    return np.where(kmh < SLOWEST_KMH, -np.inf, level)


def tyres(car: Car, drive: Drive, motion: Motion, times: Track, rng: np.random.Generator) -> Track:
    """The road's noise, as power per frame and frequency.

    Shape:
        (T, F) at the T times
    """
    body, surface = car.body, SURFACES[drive.surface]
    strays = wander(times, 3.0, surface.uneven_db, rng)
    level = body.road_dba + drive.surface_db + _relative_db(body.road_exponent, motion.at(times, motion.kmh)) + strays
    gain = power(full_scale(level))
    inside = falling(HZ, body.insulation_hz, 13.0) + car.cabin(HZ)
    rumble = falling(HZ, body.rumble_hz, body.rumble_slope_db) + hump(HZ, body.cavity_hz, 0.12, body.cavity_db)
    whole = 1.0 + power(body.airborne_db)  # `road_dba` is the sum of both on smooth asphalt
    spectrum = shaped(rumble + car.cabin(HZ), HZ) * power(surface.rumble_db) / whole
    tread = shaped(hill(HZ, body.tread_hz, 1.0) + inside, HZ)
    airborne = power(body.airborne_db) / whole
    spectrum += tread * airborne * power(surface.airborne_db)
    if drive.surface == "wet asphalt":
        spectrum += shaped(hill(HZ, 2500.0, 1.2) + inside, HZ) * airborne * power(SPRAY_DB)
    return gain[:, None] * spectrum


def joint_times(car: Car, drive: Drive, motion: Motion) -> tuple[Track, Track]:
    """When the front and the rear wheels meet a joint, in seconds: `wheelbase` over the speed apart."""
    way = np.cumsum(motion.kmh / 3.6) * (motion.times[1] - motion.times[0])  # m
    # The way stands still where the car does: a joint is met once, when it moves on.
    joints = np.arange(drive.joint_metres / 2.0, way[-1], drive.joint_metres)
    front = np.interp(joints, way, motion.times)
    rear = np.interp(joints + car.body.wheelbase, way, motion.times, right=np.inf)
    return front, rear[np.isfinite(rear)]


def joints(sound: NDArray[np.float32], car: Car, drive: Drive, motion: Motion) -> None:
    """Add the thumps of a concrete road: together about as loud as its noise, give or take `joint_db`."""
    if not drive.joint_metres:
        return
    kernel = of_exposure(ring((car.body.boom_hz, 0.03, 1.0), (2.3 * car.body.boom_hz, 0.015, 0.5)), 0.0)
    for share_db, moments in zip((0.0, -1.5), joint_times(car, drive, motion), strict=True):
        kmh = motion.at(moments, motion.kmh)
        per_second = 2.0 * np.maximum(kmh, SLOWEST_KMH) / 3.6 / drive.joint_metres
        road = car.body.road_dba + drive.surface_db + _relative_db(car.body.road_exponent, kmh)
        gains = road + drive.joint_db + share_db - 10.0 * np.log10(per_second)
        strike(sound, moments, np.sqrt(power(gains)), kernel)


def rattles(sound: NDArray[np.float32], car: Car, drive: Drive, motion: Motion, rng: np.random.Generator) -> None:
    """Add the knocks of loose parts, the more the rougher the road."""
    moving = np.minimum(motion.kmh / RATTLE_KMH, 1.0)
    moments = at_random(car.body.rattles_per_second * SURFACES[drive.surface].rattling * moving, motion.times, rng)
    kernel = of_exposure(ring((car.body.rattle_hz, 0.004, 1.0), (1.7 * car.body.rattle_hz, 0.003, 0.6)), car.body.rattle_dba)
    strike(sound, moments, rng.lognormal(0.0, 0.6, moments.size), kernel)
