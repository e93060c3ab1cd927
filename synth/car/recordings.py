"""A noise corpus: recordings of drawn cars, each a noise source."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from speechbench import audio
from speechbench.audio import SAMPLING_RATE, Samples
from speechbench.jobs import run as run_jobs
from speechbench.manifest import Manifest, Utterance
from speechbench.progress import track
from speechbench.seeds import generator_of
from synth.car.drive import CONDITIONS, draw_drive
from synth.car.events import EVENTS
from synth.car.motion import motion_of
from synth.car.render import render
from synth.car.vehicle import draw_car

RECORDINGS = 3  # per car and condition
EVENT_RECORDINGS = 2  # per car and kind of event


class Take(NamedTuple):
    """Which recording: all chance in it comes from the seed and its name."""

    source: str
    condition: str
    number: int

    @property
    def name(self) -> str:
        """Its id."""
        return f"{self.source}-{self.condition}-{self.number}"


def generate(out: Path, seed: int = 0, jobs: int = 1, cars: int = 24, seconds: float = 30.0) -> Manifest:
    """Write recordings of drawn cars to out/audio: backgrounds under each condition, then events of each kind.

    Car number N of a seed is the same however many cars there are, and each of its recordings is, whatever else is made.

    Args:
        out: The folder.
        seed: Of all chance.
        jobs: Processes; they change no byte.
        cars: How many cars; each is a noise source.
        seconds: Of each background; events last as long as they last.

    Returns:
        The noise manifest, with `source`, `condition` and, under `car`, everything that was drawn; events have
        `event: true`.
    """
    counts = dict.fromkeys(CONDITIONS, RECORDINGS) | dict.fromkeys(EVENTS, EVENT_RECORDINGS)
    takes = [
        Take(f"car-{car:03d}", condition, number)
        for car in range(1, cars + 1)
        for condition, count in counts.items()
        for number in range(1, count + 1)
    ]
    results = run_jobs(partial(_record, out, seed, seconds), takes, jobs)
    return Manifest(tuple(track(results, "car noise", len(takes))))


def _record(out: Path, seed: int, seconds: float, take: Take) -> Utterance:
    samples, drawn = recording(seed, take, seconds)
    path = (out / "audio" / f"{take.name}.flac").absolute()
    audio.write(path, samples)
    kind = {"event": True} if take.condition in EVENTS else {}
    return Utterance(
        id=take.name,
        audio_filepath=path,
        duration=samples.size / SAMPLING_RATE,
        sampling_rate=SAMPLING_RATE,
        extra={"source": take.source, "condition": take.condition, **kind, "car": drawn},
    )


def recording(seed: int, take: Take, seconds: float) -> tuple[Samples, dict[str, Any]]:
    """One recording, and everything that was drawn for it.

    The course of a drive follows from the rest; of it, the gear changes and each second's speed and revolutions are
    given too, so that a reader sees what happens when.
    """
    car = draw_car(generator_of(seed, "car", take.source))
    rng = generator_of(seed, "recording", take.name)
    if take.condition in EVENTS:
        event = EVENTS[take.condition].draw(rng)
        return event.render(car, rng), asdict(car) | {"event": asdict(event)}
    drive = draw_drive(rng, take.condition, seconds)
    motion = motion_of(car, drive, seconds)
    whole = np.arange(int(seconds) + 1.0)
    course = {
        "kmh": [round(float(value), 1) for value in motion.at(whole, motion.kmh)],
        "rpm": [round(float(value)) for value in motion.at(whole, motion.rpm)],
        "shifts": motion.shifts,
    }
    return render(car, drive, seconds, rng), asdict(car) | {"drive": asdict(drive), "course": course}
