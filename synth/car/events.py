"""Events: what is heard now and then, recorded alone, so that a mixer can lay it over any background at an SNR of its own.

Each kind is drawn (`draw`) and then rendered in a car (`render`: (N,), N = round(seconds * 16000)), at the level at which
that car's microphone would hear it, and without the microphone's own noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from speechbench.audio import SAMPLING_RATE, Samples
from synth.car.broadband import HZ, falling, frame_times, hill, noise
from synth.car.level import Track, a_weighting_db, amplitude, full_scale, of_exposure, power
from synth.car.strikes import ring, strike
from synth.car.vehicle import Car, Draw, between
from synth.car.weather import swish, turns

SOUND_SPEED = 343.0  # m/s
RUMBLE_DB = 10.0  # by which low frequencies must be stronger to sound as loud
FADE = 0.25  # s, in which a passing vehicle comes and goes


@dataclass(frozen=True)
class Indicator:
    """The relay's click on and its duller click off."""

    seconds: float
    per_minute: float

    @classmethod
    def draw(cls, rng: Draw) -> Indicator:
        """Some seconds of it."""
        return cls(seconds=between(rng, 2.5, 7), per_minute=between(rng, 60, 120))

    def render(self, car: Car, rng: Draw) -> Samples:
        """Each click rings at two frequencies; it is struck a little differently each time."""
        sound = np.zeros(round(self.seconds * SAMPLING_RATE), dtype=np.float32)
        cycle = 60.0 / self.per_minute
        first = rng.uniform(0.0, 0.2 * cycle)
        for hz, start in zip(car.equipment.relay_hz, (first, first + 0.5 * cycle), strict=True):
            moments = np.arange(start, self.seconds, cycle)
            kernel = of_exposure(ring((hz, 0.002, 1.0), (0.37 * hz, 0.004, 0.5)), car.equipment.relay_dba)
            strike(sound, moments, amplitude(rng.normal(0.0, 0.7, moments.size)), kernel)
        return sound


@dataclass(frozen=True)
class Wiper:
    """Some strokes of the wipers."""

    seconds: float
    per_minute: float

    @classmethod
    def draw(cls, rng: Draw) -> Wiper:
        """Some seconds of it."""
        return cls(seconds=between(rng, 3, 7), per_minute=between(rng, 40, 70))

    def render(self, car: Car, rng: Draw) -> Samples:
        """From the start of a stroke."""
        samples = round(self.seconds * SAMPLING_RATE)
        sound = noise(swish(car, self.per_minute, 0.0, frame_times(samples)), samples, rng)
        turns(sound, car, self.per_minute, 0.0, self.seconds)
        return sound


@dataclass(frozen=True)
class Horn:
    """The car's own horn: two tones a third apart."""

    blasts: tuple[tuple[float, float], ...]  # (s, s) from and to
    harmonic_db: float  # each overtone against the one below

    @property
    def seconds(self) -> float:
        """To the end of the last blast's echo."""
        return round(self.blasts[-1][1] + 0.15, 2)

    @classmethod
    def draw(cls, rng: Draw) -> Horn:
        """One to three blasts."""
        blasts, start = [], 0.05
        for _ in range(int(rng.integers(1, 4))):
            end = round(start + between(rng, 0.15, 0.9), 2)
            blasts.append((start, end))
            start = round(end + between(rng, 0.1, 0.4), 2)
        return cls(tuple(blasts), between(rng, -3.5, -1.5))

    def render(self, car: Car, rng: Draw) -> Samples:
        """Overtones up to 7.5 kHz through the cabin; attack and decay of a membrane."""
        time = np.arange(round(self.seconds * SAMPLING_RATE)) / SAMPLING_RATE
        blown = sum(np.minimum(_rise(time - start, 0.015), 1.0 - _rise(time - end, 0.03)) for start, end in self.blasts)
        hz = np.concatenate([np.arange(tone, 7500.0, tone) for tone in car.equipment.horn_hz])
        rank = np.concatenate([np.arange(np.arange(tone, 7500.0, tone).size) for tone in car.equipment.horn_hz])
        level = self.harmonic_db * rank + car.cabin(hz)
        level += full_scale(car.equipment.horn_dba) - 10.0 * np.log10(power(level + a_weighting_db(hz)).sum() / 2.0)
        sound = np.zeros(time.size)
        for tone, peak, phase in zip(hz, amplitude(level), rng.random(hz.size), strict=True):
            sound += peak * np.sin(2.0 * np.pi * (tone * time + phase))
        return np.asarray(sound * blown, dtype=np.float32)


def _rise(time: Track, seconds: float) -> Track:
    """From 0 at time 0 to 1."""
    return np.asarray(1.0 - np.exp(-np.maximum(time, 0.0) / seconds))


@dataclass(frozen=True)
class Passing:
    """A vehicle that passes by on a straight line: its level swells, its spectrum shifts down."""

    seconds: float
    closest: float  # s, when it is nearest
    metres: float  # how near
    kmh: float  # relative to the car
    dba: float  # at the nearest point, inside
    tread_hz: float
    rumble_db: float  # its body, relative to its tyres: lorries rumble
    engine_hz: float  # its ignitions
    engine_db: float  # relative to its tyres

    @classmethod
    def draw(cls, rng: Draw) -> Passing:
        """Oncoming or overtaking; every fourth is a lorry."""
        draw = partial(between, rng)
        lorry, oncoming = rng.random() < 0.25, rng.random() < 0.6
        seconds = draw(4, 8)
        return cls(
            seconds=seconds,
            closest=round(seconds * draw(0.35, 0.65), 2),
            metres=draw(2.5, 6),
            kmh=draw(70, 200) if oncoming else draw(15, 50),
            dba=draw(58, 70) if lorry else draw(50, 65),
            tread_hz=draw(450, 800) if lorry else draw(700, 1300),
            rumble_db=draw(-3, 5) if lorry else draw(-12, -3),
            engine_hz=draw(60, 110) if lorry else draw(60, 150),
            engine_db=draw(-8, 0) if lorry else draw(-16, -6),
        )

    def render(self, car: Car, rng: Draw) -> Samples:
        """Power falls with the square of the distance; what comes nearer is heard higher."""
        samples = round(self.seconds * SAMPLING_RATE)
        times, clock = frame_times(samples), np.arange(samples) / SAMPLING_RATE
        along = (times - self.closest) * self.kmh / 3.6  # m
        distance = np.hypot(self.metres, along)
        shift = 1.0 / (1.0 + self.kmh / 3.6 * along / distance / SOUND_SPEED)
        shown = np.clip(np.minimum(times, self.seconds - times) / FADE, 0.0, 1.0)
        gain = power(full_scale(self.dba)) * np.square(self.metres / distance) * shown
        inside = power(falling(HZ, car.body.insulation_hz, 13.0) + car.cabin(HZ))
        nearest = self._outside(HZ) * inside
        heard = (nearest * power(a_weighting_db(HZ))).sum()
        sound = noise(gain[:, None] * self._outside(HZ / shift[:, None]) * (inside / heard), samples, rng)
        return sound + self._engine(car, np.interp(clock, times, gain), np.interp(clock, times, shift), rng)

    def _engine(self, car: Car, gain: Track, shift: Track, rng: Draw) -> Samples:
        """Its ignitions and their overtones: (N,), as are the power at the microphone and the shift of frequencies."""
        rank = np.arange(1.0, 7.0)
        level = -4.0 * rank + car.cabin(rank * self.engine_hz)
        level -= 10.0 * np.log10(power(level + a_weighting_db(rank * self.engine_hz)).sum() / 2.0)
        level += self.engine_db
        turns = np.cumsum(self.engine_hz * shift) / SAMPLING_RATE
        lines = sum(amplitude(db) * np.sin(2.0 * np.pi * (n * turns + rng.random())) for n, db in zip(rank, level, strict=True))
        return np.asarray(np.sqrt(gain) * lines, dtype=np.float32)

    def _outside(self, hz: Track) -> Track:
        """The spectrum that it sends out: tyres, and below them its body."""
        return power(hill(hz, self.tread_hz, 1.2)) + power(hill(hz, 100.0, 1.0) + self.rumble_db + RUMBLE_DB)


Event = Indicator | Wiper | Horn | Passing
EVENTS: dict[str, type[Event]] = {"indicator": Indicator, "wiper": Wiper, "horn": Horn, "passing": Passing}
