"""Cars: everything that stays the same in all recordings of one car, drawn from what real cars fill."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from synth.car.broadband import hump
from synth.car.level import Track

Draw = np.random.Generator

REFERENCE_KMH = 100.0  # levels of tyres and wind are those at this speed
REFERENCE_RPM = 3000.0  # those of engines are at these revolutions and full load
CABIN_HZ = np.array([31.5, 63.0, 125.0, 250.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0])  # of `cabin_db`
POWERTRAINS = {"petrol3": 0.15, "petrol4": 0.35, "petrol6": 0.1, "diesel4": 0.2, "diesel6": 0.05, "electric": 0.15}
HIGHEST_ORDER = 14
NOISY = 0.25  # share of cars that are louder than today's usual one


@dataclass(frozen=True)
class Engine:
    """What drives the car; an electric motor has one gear and no idle."""

    powertrain: str  # of `POWERTRAINS`
    cylinders: int  # 0: electric
    idle_rpm: float
    rpm_per_kmh: float  # in the highest gear
    gears: int
    gear_span: float  # the lowest gear's ratio over the highest's
    upshift_rpm: float  # at half load
    shift_seconds: float
    agility: float  # m/s^2 at full load
    dba: float  # of all orders together at `REFERENCE_RPM` and full load
    rpm_exponent: float  # dB per decade of revolutions
    load_range_db: float  # between no load and full load
    orders: tuple[float, ...]  # per revolution
    order_db: tuple[float, ...]
    combustion_db: float  # of the broadband part, relative to the orders
    combustion_hz: float


@dataclass(frozen=True)
class Body:
    """What the road and the air meet, and what lies between them and the microphone."""

    wheelbase: float  # m
    road_dba: float  # on smooth asphalt at `REFERENCE_KMH`
    road_exponent: float  # dB per decade of speed
    rumble_hz: float  # above which what comes through the suspension falls
    rumble_slope_db: float  # per octave
    cavity_hz: float  # the air in the tyres resonates
    cavity_db: float
    airborne_db: float  # tyre noise through panels and glass, relative to that through the suspension
    tread_hz: float  # peak of the tyre noise outside
    insulation_hz: float  # above which little comes in
    wind_dba: float  # at `REFERENCE_KMH`
    wind_exponent: float  # dB per decade: power ~ U^5 to U^6
    wind_hz: float  # knee of its spectrum at `REFERENCE_KMH`; it moves with the speed
    wind_slope_db: float  # per octave above the knee
    seal_db: float  # hiss of gaps and mirrors, relative to the rest of the wind
    rattle_hz: float
    rattle_dba: float  # sound exposure of one
    rattles_per_second: float  # on cobbles
    boom_hz: float  # first mode of the cabin's air
    boom_db: float
    cabin_db: tuple[float, ...]  # colour of cabin and microphone at `CABIN_HZ`
    microphone_hz: float  # below which the microphone hears less
    self_noise_dba: float  # of the microphone


@dataclass(frozen=True)
class Equipment:
    """What the driver switches on."""

    blower_dba: float  # at full speed
    blower_hz: float  # hill of its spectrum
    roof_hz: float  # where raindrops ring
    wiper_dba: float  # during a stroke
    wiper_hz: float
    wiper_return_db: float  # the stroke back, relative to the stroke out
    relay_hz: tuple[float, float]  # of the indicator, on and off
    relay_dba: float  # sound exposure of one click
    horn_hz: tuple[float, float]
    horn_dba: float


@dataclass(frozen=True)
class Car:
    """A noise source."""

    engine: Engine
    body: Body
    equipment: Equipment

    def cabin(self, hz: Track) -> Track:
        """What cabin and microphone do to every sound, in dB."""
        colour = np.interp(np.log2(np.maximum(hz, 1.0)), np.log2(CABIN_HZ), self.body.cabin_db)
        rumble_filter = 10.0 * np.log10(1.0 + (self.body.microphone_hz / np.maximum(hz, 1.0)) ** 4)
        return np.asarray(colour + hump(hz, self.body.boom_hz, 0.2, self.body.boom_db) - rumble_filter)


def draw_car(rng: Draw) -> Car:
    """A car."""
    powertrain = str(rng.choice(list(POWERTRAINS), p=list(POWERTRAINS.values())))
    return Car(_draw_motor(rng) if powertrain == "electric" else _draw_engine(rng, powertrain), _draw_body(rng), _equip(rng))


def between(rng: Draw, low: float, high: float) -> float:
    """A number as it will stand in the manifest: what is rendered is what is read there."""
    return round(float(rng.uniform(low, high)), 2)


def _draw_engine(rng: Draw, powertrain: str) -> Engine:
    """Ignitions, every second revolution in each cylinder, make half of that number the strongest order."""
    draw = partial(between, rng)
    diesel, cylinders = powertrain.startswith("diesel"), int(powertrain[-1])
    firing = cylinders / 2.0
    orders = np.arange(1, 2 * HIGHEST_ORDER + 1) / 2.0
    multiple = orders / firing
    whole = multiple == np.rint(multiple)
    usual = np.where(whole, -4.5 * (multiple - 1.0), -14.0 - 2.5 * np.abs(multiple - 1.0))
    spread = np.where(orders == firing, 0.0, rng.uniform(-5.0, 5.0, orders.size))
    return Engine(
        powertrain=powertrain,
        cylinders=cylinders,
        idle_rpm=draw(620, 780) if cylinders == 6 else draw(700, 900),
        rpm_per_kmh=draw(16, 22) if diesel else draw(19, 29),
        gears=int(rng.integers(5, 8)),
        gear_span=draw(4.3, 6.5),
        upshift_rpm=draw(1700, 2300) if diesel else draw(2000, 3000),
        shift_seconds=draw(0.2, 0.6),
        agility=draw(2.0, 3.5),
        dba=draw(59, 69),
        rpm_exponent=draw(25, 40),
        load_range_db=draw(7, 13),
        orders=tuple(orders.tolist()),
        order_db=tuple(np.round(usual + spread, 2).tolist()),
        combustion_db=draw(-3, 3) if diesel else draw(-9, -2),
        combustion_hz=draw(700, 1600) if diesel else draw(250, 800),
    )


def _draw_motor(rng: Draw) -> Engine:
    """Poles and gear teeth whine at high orders of few revolutions; there is little else."""
    draw = partial(between, rng)
    pairs, teeth = int(rng.integers(3, 6)), int(rng.integers(17, 30))
    return Engine(
        powertrain="electric",
        cylinders=0,
        idle_rpm=0.0,
        rpm_per_kmh=draw(65, 95),
        gears=1,
        gear_span=1.0,
        upshift_rpm=20_000.0,
        shift_seconds=0.2,
        agility=draw(2.5, 5.0),
        dba=draw(40, 54),
        rpm_exponent=draw(10, 20),
        load_range_db=draw(4, 12),
        orders=(float(2 * pairs), float(6 * pairs), float(12 * pairs), float(teeth), float(2 * teeth)),
        order_db=(draw(-8, 0), draw(-6, 2), draw(-14, -4), draw(-6, 2), draw(-14, -6)),
        combustion_db=-20.0,
        combustion_hz=1000.0,
    )


def _draw_body(rng: Draw) -> Body:
    draw = partial(between, rng)
    whole = draw(69, 77) if rng.random() < NOISY else draw(62.5, 69.5)  # tyres and wind at 100 km/h
    wind_over_road = draw(-1.5, 1.5)  # so that wind dominates from about 120 km/h
    road = whole - 10.0 * np.log10(1.0 + 10.0 ** (wind_over_road / 10.0))
    return Body(
        wheelbase=draw(2.4, 3.0),
        road_dba=round(road, 2),
        road_exponent=draw(26, 33),
        rumble_hz=draw(60, 140),
        rumble_slope_db=draw(9, 14),
        cavity_hz=draw(200, 250),
        cavity_db=draw(4, 11),
        airborne_db=draw(-8, 0),
        tread_hz=draw(700, 1300),
        insulation_hz=draw(1200, 2200),
        wind_dba=round(road + wind_over_road, 2),
        wind_exponent=draw(50, 60),
        wind_hz=draw(120, 300),
        wind_slope_db=draw(6, 9),
        seal_db=draw(-14, -4),
        rattle_hz=draw(900, 3500),
        rattle_dba=draw(28, 40),
        rattles_per_second=draw(0.5, 8.0),
        boom_hz=draw(65, 130),
        boom_db=draw(0, 6),
        cabin_db=tuple(np.round(rng.uniform(-4.5, 4.5, CABIN_HZ.size), 2).tolist()),
        microphone_hz=draw(40, 90),
        self_noise_dba=draw(26, 32),
    )


def _equip(rng: Draw) -> Equipment:
    draw = partial(between, rng)
    click, horn = draw(1500, 3200), draw(380, 450)
    return Equipment(
        blower_dba=draw(54, 64),
        blower_hz=draw(110, 300),
        roof_hz=draw(300, 900),
        wiper_dba=draw(52, 62),
        wiper_hz=draw(350, 1100),
        wiper_return_db=draw(-5, -1.5),
        relay_hz=(click, round(click * draw(0.65, 0.9), 2)),
        relay_dba=draw(36, 48),
        horn_hz=(horn, round(horn * draw(1.18, 1.28), 2)),
        horn_dba=draw(68, 84),
    )
