"""Drives: everything that differs from recording to recording of one car."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from synth.car.vehicle import Draw, between


class Surface(NamedTuple):
    """What a road does to a car, relative to smooth asphalt."""

    rumble_db: float  # through the suspension
    airborne_db: float
    uneven_db: float  # by which the level strays
    rattling: float  # share of the rattles that cobbles bring


SURFACES = {
    "smooth asphalt": Surface(0.0, 0.0, 0.7, 0.05),
    "rough asphalt": Surface(4.0, 2.0, 1.2, 0.3),
    "cobbles": Surface(9.0, 4.0, 2.0, 1.0),
    "concrete": Surface(2.0, 3.0, 0.8, 0.3),  # its joints come on top
    "wet asphalt": Surface(0.0, 2.0, 0.9, 0.05),  # its spray comes on top
}


class Kind(NamedTuple):
    """What is usual under a condition."""

    kmh: tuple[float, float]
    stops: float  # share of the changes of speed that end at rest
    hold: tuple[float, float]  # s, for which a speed is held
    acceleration: tuple[float, float]  # m/s^2
    surfaces: dict[str, float]


KINDS = {
    "city": Kind(
        (15, 60), 0.3, (1, 9), (0.8, 2.2), {"smooth asphalt": 0.5, "rough asphalt": 0.3, "cobbles": 0.15, "concrete": 0.05}
    ),
    "highway": Kind((90, 135), 0.0, (4, 20), (0.2, 0.9), {"smooth asphalt": 0.5, "rough asphalt": 0.25, "concrete": 0.25}),
    "rain": Kind((35, 110), 0.05, (3, 15), (0.4, 1.5), {"wet asphalt": 1.0}),
    "parked": Kind((0, 0), 1.0, (600, 600), (1, 1), {"smooth asphalt": 1.0}),
}
CONDITIONS = tuple(KINDS)


@dataclass(frozen=True)
class Drive:
    """What a recording holds besides the car."""

    condition: str  # of `CONDITIONS`
    speed: tuple[tuple[float, float], ...]  # (s, km/h) where the speed starts or ends to change
    grade: float  # load that climbing adds, below 0 downhill
    running: bool = True  # the engine
    surface: str = "smooth asphalt"  # of `SURFACES`
    surface_db: float = 0.0  # no two stretches are alike
    joint_metres: float = 0.0  # between a concrete road's joints; 0: none
    joint_db: float = 0.0  # how loud they are, relative to the rest of the road
    headwind_kmh: float = 0.0
    gust_db: float = 1.5
    blower: float = 0.0  # 0 to 1
    rain_dba: float = 0.0  # 0: dry
    drops_per_second: float = 0.0  # that are heard one by one
    wipes_per_minute: float = 0.0  # 0: off


def draw_drive(rng: Draw, condition: str, seconds: float) -> Drive:
    """A recording under one of `CONDITIONS`, with as much of a journey as its seconds need."""
    draw = partial(between, rng)
    kind = KINDS[condition]
    surface = str(rng.choice(list(kind.surfaces), p=list(kind.surfaces.values())))
    raining = condition == "rain"
    concrete = surface == "concrete"
    return Drive(
        condition=condition,
        grade=draw(-0.1, 0.25) if condition != "parked" else 0.0,
        running=bool(condition != "parked" or rng.random() < 0.6),
        surface=surface,
        surface_db=draw(-1.5, 1.5),
        joint_metres=draw(4, 7) if concrete else 0.0,
        joint_db=draw(-3, 4) if concrete else 0.0,
        headwind_kmh=draw(-15, 25) if condition != "parked" else 0.0,
        gust_db=draw(0.8, 2.5),
        blower=draw(0.25, 1.0) if condition == "parked" or rng.random() < 0.8 else 0.0,
        rain_dba=draw(48, 66) if raining else 0.0,
        drops_per_second=draw(20, 150) if raining else 0.0,
        wipes_per_minute=draw(40, 70) if raining and rng.random() < 0.9 else 0.0,
        speed=_journey(rng, kind, seconds),  # last: how much chance it takes depends on the seconds
    )


def _journey(rng: Draw, kind: Kind, seconds: float) -> tuple[tuple[float, float], ...]:
    """Speeds that are held and changed in turn; the first is already under way."""
    draw = partial(between, rng)
    speed = 0.0 if rng.random() < kind.stops else draw(*kind.kmh)
    knots = [(0.0, speed), (draw(0, kind.hold[1]), speed)]
    while knots[-1][0] < seconds:
        target = 0.0 if speed and rng.random() < kind.stops else draw(*kind.kmh)
        changed = knots[-1][0] + abs(target - speed) / 3.6 / draw(*kind.acceleration)
        knots += [(round(changed, 2), target), (round(changed + draw(*kind.hold), 2), target)]
        speed = target
    return tuple(knots)
