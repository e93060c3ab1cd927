"""Procedural noise of car cabins: engine, tyres, wind, fan, rain and indicator of cars that are drawn, not recorded.

A stand-in for recordings, with the physics that tells a car from plain noise: engine orders that follow the revolutions,
most energy below 500 Hz, and levels that rise with the speed. Levels are RMS in dBFS at the microphone,
those of road and wind at `REFERENCE_SPEED`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len, rfft, rfftfreq
from scipy.signal import oaconvolve

from speechbench import audio
from speechbench.audio import SAMPLING_RATE, Samples
from speechbench.jobs import run as run_jobs
from speechbench.manifest import Manifest, Utterance
from speechbench.progress import track
from speechbench.seeds import generator_of

Track = NDArray[np.float64]  # one value a sample

REFERENCE_SPEED = 100.0  # km/h
ROAD_EXPONENT = 35.0  # dB per decade of speed: interior level ~ 35 log10 v
WIND_EXPONENT = 55.0  # power ~ U^5.5, between the dipole's 5 to 6 and what seals let through
SPEEDS = {"city": (20.0, 60.0), "highway": (90.0, 135.0), "rain": (40.0, 110.0), "parked": (0.0, 0.0)}  # km/h
CONDITIONS = tuple(SPEEDS)
RECORDINGS = 3  # per car and condition
CEILING_DBFS, FLOOR_DBFS = -20.0, -45.0  # RMS that recordings are kept between
PEAK = 0.9
# Engine orders of a four-stroke with four cylinders: two ignitions a revolution make order 2 the strongest.
ORDERS = {0.5: -14.0, 1.0: -9.0, 1.5: -15.0, 2.0: 0.0, 3.0: -15.0, 4.0: -7.0, 6.0: -12.0, 8.0: -18.0}  # dB


@dataclass(frozen=True)
class Car:
    """What stays the same in all recordings of one car."""

    idle_rpm: float
    rpm_per_kmh: float  # in the highest gear
    engine_dbfs: float  # at 3,000 rpm under full load
    order_spread_db: tuple[float, ...]  # by which each of `ORDERS` differs from the usual
    road_dbfs: float
    road_knee: float  # Hz, above which the road's rumble falls
    road_slope_db: float  # per octave above the knee: insulation
    cavity_hz: float  # resonance of the air in the tyres
    cavity_db: float
    wind_dbfs: float
    wind_knee: float  # Hz
    fan_dbfs: float  # of the air conditioner at full speed
    fan_hz: float  # its hump
    roof_hz: float  # where raindrops ring


@dataclass(frozen=True)
class Drive:
    """What differs from recording to recording."""

    condition: str
    speed_start: float  # km/h
    speed_end: float
    load: float  # of the engine, 0 to 1
    surface_db: float  # rough roads are louder
    fan: float  # 0 to 1
    rain: float  # drops a second
    indicator_per_minute: float  # 0: off


def draw_car(rng: np.random.Generator) -> Car:
    """A car; every figure from a range that real cars fill."""
    draw = partial(_between, rng)
    return Car(
        idle_rpm=draw(650, 900),
        rpm_per_kmh=draw(18, 32),
        engine_dbfs=draw(-40, -32),
        order_spread_db=tuple(draw(-5, 5) for _ in ORDERS),
        road_dbfs=draw(-33, -29),
        road_knee=draw(60, 140),
        road_slope_db=draw(8, 13),
        cavity_hz=draw(200, 250),
        cavity_db=draw(3, 10),
        wind_dbfs=draw(-38, -33),
        wind_knee=draw(150, 350),
        fan_dbfs=draw(-44, -37),
        fan_hz=draw(120, 350),
        roof_hz=draw(300, 900),
    )


def draw_drive(rng: np.random.Generator, condition: str) -> Drive:
    """A recording under one of `CONDITIONS`."""
    draw = partial(_between, rng)
    low, high = SPEEDS[condition]
    start = draw(low, high)
    change = {"city": 25.0, "highway": 12.0, "rain": 12.0, "parked": 0.0}[condition]
    end = float(np.clip(start + draw(-change, change), low, high))
    return Drive(
        condition=condition,
        speed_start=start,
        speed_end=round(end, 2),
        load=draw(0.05, 0.2) if condition == "parked" else draw(0.2, 0.9),
        surface_db=draw(-3, 4),
        fan=draw(0.2, 1.0),
        rain=draw(80, 400) if condition == "rain" else 0.0,
        indicator_per_minute=draw(60, 120) if condition == "city" and rng.random() < 0.4 else 0.0,
    )


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    return round(float(rng.uniform(low, high)), 2)


def render(car: Car, drive: Drive, seconds: float, rng: np.random.Generator) -> Samples:
    """The cabin's sound during a drive.

    Shape:
        (N,), N = round(seconds * 16000)
    """
    samples = round(seconds * SAMPLING_RATE)
    # Speed goes from start to end along half a cosine, as drivers do, with small corrections.
    way = 0.5 - 0.5 * np.cos(np.linspace(0.0, np.pi, samples))
    speed = np.asarray(drive.speed_start + (drive.speed_end - drive.speed_start) * way, dtype=np.float64)
    relative = np.log10(np.maximum(speed, 1.0) / REFERENCE_SPEED)
    sound = _engine(car, drive, speed, rng)
    if drive.speed_start > 0.0:
        road = _broadband(samples, partial(_road, car), rng)
        sound += road * _amplitude(car.road_dbfs + drive.surface_db + ROAD_EXPONENT * relative)
        wind = _broadband(samples, lambda hz: _falling(hz, car.wind_knee, 7.0), rng)
        gusts = _wander(samples, 0.7, 1.5, rng)
        sound += wind * gusts * _amplitude(car.wind_dbfs + WIND_EXPONENT * relative)
    fan = _broadband(samples, lambda hz: _hump(hz, car.fan_hz, 1.2, 0.0) + _falling(hz, 500.0, 6.0), rng)
    sound += fan * _amplitude(car.fan_dbfs + 50.0 * np.log10(drive.fan))
    if drive.rain:
        sound += _rain(samples, drive.rain, car.roof_hz, rng)
    if drive.indicator_per_minute:
        sound += _indicator(samples, drive.indicator_per_minute, rng)
    level = audio.rms_dbfs(sound.astype(np.float32))
    sound *= _amplitude(float(np.clip(level, FLOOR_DBFS + 0.5, CEILING_DBFS - 0.5)) - level)
    return (sound * min(1.0, PEAK / float(np.abs(sound).max()))).astype(np.float32)


def rpm_of(car: Car, speed: Track, rng: np.random.Generator) -> Track:
    """The revolutions per minute at each moment, in the gear that keeps them below 3,200, or as low as they go."""
    rpm = np.maximum(speed * car.rpm_per_kmh, car.idle_rpm)
    mean = float(speed.mean())
    for ratio in (4.0, 2.6, 1.8, 1.35):  # first to fourth gear, as multiples of the highest
        if car.idle_rpm * 1.3 < mean * car.rpm_per_kmh * ratio < 3200.0:
            rpm = np.maximum(speed * car.rpm_per_kmh * ratio, car.idle_rpm)
            break
    return np.asarray(rpm * _wander(speed.size, 1.5, 0.035, rng))  # 0.4 %


def _engine(car: Car, drive: Drive, speed: Track, rng: np.random.Generator) -> Track:
    rpm = rpm_of(car, speed, rng)
    turns = np.cumsum(rpm / 60.0) / SAMPLING_RATE  # the phase is the sum of the frequency, so that it never jumps
    sound = np.zeros(speed.size)
    for (order, usual), spread in zip(ORDERS.items(), car.order_spread_db, strict=True):
        strength = _amplitude(usual + spread * (order != 2.0)) * _wander(speed.size, 2.0, 1.5, rng)
        sound += strength * np.sin(2.0 * np.pi * (order * turns + rng.random()))
    level = car.engine_dbfs + 20.0 * np.log10(rpm / 3000.0) + 12.0 * (drive.load - 1.0)
    return sound * _amplitude(level)


def _road(car: Car, hz: Track) -> Track:
    rumble = _falling(hz, car.road_knee, car.road_slope_db)
    cavity = _hump(hz, car.cavity_hz, 0.08, car.cavity_db)
    tread = _hump(hz, 950.0, 0.5, 6.0)
    return rumble + cavity + tread


def _falling(hz: Track, knee: float, slope_db: float) -> Track:
    """A spectrum in dB that is flat below the knee and falls by `slope_db` per octave above; nothing below 15 Hz."""
    return -slope_db * 0.5 * np.log2(1.0 + np.square(hz / knee)) - 40.0 * (hz < 15.0)


def _hump(hz: Track, centre: float, octaves: float, height_db: float) -> Track:
    """A hump of so many dB and octaves; without a height, a hill that everything else falls from."""
    away = np.log2(np.maximum(hz, 1.0) / centre) / octaves
    return height_db * np.exp(-np.square(away)) if height_db else -3.0 * np.minimum(np.square(away), 12.0)


def _broadband(samples: int, spectrum_db: Callable[[Track], Track], rng: np.random.Generator) -> Track:
    """Gaussian noise of unit RMS with a spectrum: white noise shaped at each frequency of the whole recording."""
    size = next_fast_len(samples, real=True)
    white = rfft(rng.standard_normal(size))
    white *= _amplitude(spectrum_db(rfftfreq(size, 1.0 / SAMPLING_RATE)))
    white[0] = 0.0
    noise: Track = irfft(white, size)[:samples]
    return np.asarray(noise / np.sqrt(np.mean(np.square(noise))))


def _wander(samples: int, hz: float, depth_db: float, rng: np.random.Generator) -> Track:
    """A random factor around 1 that moves no faster than `hz`, with a standard deviation of about `depth_db`."""
    knots = _amplitude(depth_db * rng.standard_normal(int(samples / SAMPLING_RATE * hz) + 3))
    return np.interp(np.linspace(0.0, knots.size - 1.0, samples), np.arange(knots.size), knots)


def _rain(samples: int, rate: float, roof_hz: float, rng: np.random.Generator) -> Track:
    """Drops that fall by chance, each a short knock on the roof with a splash, over the hiss of all the others."""
    hits = np.zeros(samples)
    count = int(rng.poisson(rate * samples / SAMPLING_RATE))
    np.add.at(hits, rng.integers(samples, size=count), rng.lognormal(0.0, 0.7, count))
    time = np.arange(round(0.03 * SAMPLING_RATE)) / SAMPLING_RATE
    knock = np.sin(2.0 * np.pi * roof_hz * time) * np.exp(-time / 0.006)
    drops: Track = oaconvolve(hits, knock)[:samples]
    hiss = _broadband(samples, lambda hz: _hump(hz, 1200.0, 1.5, 0.0), rng)
    level = -47.0 + 10.0 * np.log10(rate / 100.0)
    drops /= max(float(np.sqrt(np.mean(np.square(drops)))), 1e-9)
    return np.asarray(drops * _amplitude(level) + hiss * _amplitude(level - 4.0))


def _indicator(samples: int, per_minute: float, rng: np.random.Generator) -> Track:
    """The relay's click on and its duller click off."""
    sound = np.zeros(samples)
    time = np.arange(round(0.012 * SAMPLING_RATE)) / SAMPLING_RATE
    half = 30.0 / per_minute * SAMPLING_RATE
    for number, start in enumerate(np.arange(rng.uniform(0, half), samples - time.size, half)):
        click = np.sin(2.0 * np.pi * (2600.0 if number % 2 == 0 else 1900.0) * time) * np.exp(-time / 0.0015)
        sound[int(start) : int(start) + time.size] += 0.03 * click
    return sound


def _amplitude(level_db: Track | float) -> Track:
    return np.asarray(10.0 ** (np.asarray(level_db) / 20.0))


def generate(out: Path, seed: int = 0, jobs: int = 1, cars: int = 24, seconds: float = 30.0) -> Manifest:
    """Write recordings of drawn cars to out/audio: each car under each condition, `RECORDINGS` times.

    Args:
        out: The folder.
        seed: Of all chance; a car's sound depends on it and the car's number alone.
        jobs: Processes; they change no byte.
        cars: How many cars; each is a noise source.
        seconds: Of each recording.

    Returns:
        The noise manifest, with `source`, `condition` and, under `car`, everything that was drawn.
    """
    names = [
        (f"car-{number:03d}", condition, f"car-{number:03d}-{condition}-{take}")
        for number in range(1, cars + 1)
        for condition in CONDITIONS
        for take in range(1, RECORDINGS + 1)
    ]
    results = run_jobs(partial(_generate_one, out, seed, seconds), names, jobs)
    return Manifest(tuple(track(results, "car noise", len(names))))


def _generate_one(out: Path, seed: int, seconds: float, names: tuple[str, str, str]) -> Utterance:
    source, condition, name = names
    car = draw_car(generator_of(seed, "car", source))
    rng = generator_of(seed, "drive", name)
    drive = draw_drive(rng, condition)
    samples = render(car, drive, seconds, rng)
    path = (out / "audio" / f"{name}.flac").absolute()
    audio.write(path, samples)
    return Utterance(
        id=name,
        audio_filepath=path,
        duration=samples.size / SAMPLING_RATE,
        sampling_rate=SAMPLING_RATE,
        extra={
            "source": source,
            "condition": condition,
            "car": asdict(car) | {"order_spread_db": list(car.order_spread_db)} | asdict(drive),
        },
    )
