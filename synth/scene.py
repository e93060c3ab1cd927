"""Scenes: all that chance decides about an output utterance, drawn before any audio is read."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from speechbench.errors import SpeechbenchError
from speechbench.manifest import Manifest, Utterance
from speechbench.seeds import chances_of, seed_of
from synth import cabin, lombard, spread
from synth.allotment import Allotment
from synth.cabin import Cabin
from synth.noise import FADE, NoiseBank, Piece
from synth.recipe import Recipe
from synth.rir import Rir

# Events may make up so much of the noise's power: the background is heard under them whatever was drawn.
MOST_OF_EVENTS = 0.8
UNFIT = re.compile(r"[^\w.+=@-]")  # for a file name


@dataclass(frozen=True, slots=True)
class Event:
    """A sound that comes over the background."""

    piece: Piece
    start: float  # s, in the utterance
    snr_db: float  # active speech level over the event's RMS level while it sounds


@dataclass(frozen=True, slots=True)
class Scene:
    """One output utterance; rendering needs nothing else and has no chance in it."""

    id: str
    clean_id: str
    clean_filepath: str  # absolute
    clean_offset: float  # s
    clean_duration: float  # s
    noise: tuple[Piece, ...]  # the background, laid end to end with cross-fades; none for speech without noise
    cabin: Cabin | Rir | None
    snr_db: float | None  # active speech level over the RMS level of background and events together
    level_dbfs: float
    seed: int
    events: tuple[Event, ...] = ()
    lombard_db: float = 0.0  # by which the speaker raises the voice; changes the spectrum, for levels are set afterwards
    clip: bool = False

    @property
    def heard(self) -> Iterator[tuple[Piece, float]]:
        """Every piece of noise with the place in its file, in seconds, from where it counts as used.

        Where two pieces cross-fade they make one noise between them: it counts for the earlier.
        """
        for number, piece in enumerate(self.noise):
            yield piece, piece.offset + (FADE if number else 0.0)
        for event in self.events:
            yield event.piece, event.piece.offset

    def row(self, folder: str) -> dict[str, Any]:
        """As one JSON line, with paths relative to `folder`."""

        def moved(row: dict[str, Any]) -> dict[str, Any]:
            return row | {"audio_filepath": relative(row["audio_filepath"], folder)} if "audio_filepath" in row else row

        return {
            "id": self.id,
            "clean_id": self.clean_id,
            "clean_filepath": relative(self.clean_filepath, folder),
            "clean_offset": self.clean_offset,
            "clean_duration": self.clean_duration,
            "noise": [moved(piece.row()) for piece in self.noise],
            "events": [moved(event.piece.row()) | {"start": event.start, "snr_db": event.snr_db} for event in self.events],
            "cabin": moved(self.cabin.row()) if self.cabin else None,
            "lombard_db": self.lombard_db,
            "snr_db": self.snr_db,
            "level_dbfs": self.level_dbfs,
            "clip": self.clip,
            "seed": self.seed,
        }

    @classmethod
    def of(cls, row: dict[str, Any], folder: str) -> Scene:
        """From its JSON line."""

        def absolute(path: str) -> str:
            return os.path.normpath(os.path.join(folder, path))  # noqa: PTH118 - Path would cost a third of the reading

        def piece(row: dict[str, Any]) -> Piece:
            return Piece(**({"condition": None} | row | {"audio_filepath": absolute(row["audio_filepath"])}))

        def event(row: dict[str, Any]) -> Event:
            start, snr_db = row["start"], row["snr_db"]
            return Event(piece({key: row[key] for key in row.keys() - {"start", "snr_db"}}), start, snr_db)

        room = row["cabin"]
        if room is not None and "audio_filepath" in room:
            room = Rir(room["id"], absolute(room["audio_filepath"]))
        elif room is not None:
            room = Cabin.of(room)
        known = {
            "noise": tuple(map(piece, row["noise"])),
            "events": tuple(map(event, row["events"])),
            "cabin": room,
            "clean_filepath": absolute(row["clean_filepath"]),
        }
        return cls(**(row | known))


def relative(path: str, folder: str) -> str:
    """The path from the folder; both absolute."""
    home, name = os.path.split(path)
    return os.path.normpath(os.path.join(_relative_folder(home, folder), name))  # noqa: PTH118 - as in `Scene.of`


@lru_cache(maxsize=1024)
def _relative_folder(path: str, folder: str) -> str:
    return os.path.relpath(path, folder)


def draw(speech: Manifest, bank: NoiseBank, recipe: Recipe, seed: int, allotment: Allotment | None = None) -> Iterator[Scene]:
    """All scenes of a build, in the order of the clean ids, so that the manifest's order changes nothing.

    What belongs to one utterance (SNR, level, cabin) depends on the seed and its id alone; which noise it gets also
    depends on who else is there, for noise is shared out fairly.

    Args:
        speech: The clean utterances.
        bank: The noise.
        recipe: The ranges.
        seed: Of everything.
        allotment: Of the same noise, where earlier draws have used some; None starts with all unused.

    Raises:
        SpeechbenchError: No noise for an utterance's split, a condition or an event; impulse responses that cannot be used.
    """
    allotment = allotment or allot(bank, recipe, seed)
    cabins = cabin.draw(recipe.cabin, seed)
    names: set[str] = set()
    for utterance in sorted(speech, key=lambda utterance: utterance.id):
        for copy in range(1, recipe.copies + 1):
            yield _draw(utterance, copy, allotment, cabins, recipe, seed, names)


def allot(bank: NoiseBank, recipe: Recipe, seed: int) -> Allotment:
    """All the noise, unused.

    Raises:
        SpeechbenchError: A condition or an event of the recipe that no recording has.
    """
    weights = {name: condition.weight for name, condition in recipe.conditions.items()}
    return Allotment(bank, weights, seed, recipe.events)


def _draw(
    clean: Utterance,
    copy: int,
    allotment: Allotment,
    cabins: list[Cabin | Rir],
    recipe: Recipe,
    seed: int,
    names: set[str],
) -> Scene:
    own = seed_of(seed, "scene", clean.id, copy)
    chance = chances_of(own).__next__
    noisy, share, level, which, condition = chance(), chance(), chance(), chance(), chance()
    noise: tuple[Piece, ...] = ()
    events: tuple[Event, ...] = ()
    snr_db = None
    if noisy < recipe.noise:
        noise = allotment.take(clean.duration, clean.split, condition)
        snr_db = spread.draw(recipe.snr_under(noise[0].condition), share)
        if recipe.events:
            events = _held_down(tuple(_events(clean, noise[0].condition, allotment, recipe, chance)), snr_db, clean.duration)
    return Scene(
        id=_name(f"{clean.id}-noisy{copy}", names),
        clean_id=clean.id,
        clean_filepath=str(clean.audio_filepath),
        clean_offset=clean.offset,
        clean_duration=clean.duration,
        noise=noise,
        cabin=cabins[int(which * len(cabins))] if cabins else None,
        snr_db=snr_db,
        level_dbfs=spread.draw(recipe.level_dbfs, level),
        seed=own,
        events=events,
        lombard_db=lombard.raised_db(snr_db, recipe.lombard) if snr_db is not None else 0.0,
        clip=recipe.clip,
    )


def _events(
    clean: Utterance, condition: str | None, allotment: Allotment, recipe: Recipe, chance: Callable[[], float]
) -> Iterator[Event]:
    """The events of an utterance; each takes three numbers whether it comes or not, so that none depends on another."""
    for name, ranges in recipe.events.items():
        comes, share, place = chance(), chance(), chance()
        if comes < ranges.probability and (not ranges.conditions or condition in ranges.conditions):
            piece = allotment.event(name, clean.duration, clean.split)
            start = round(place * (clean.duration - piece.duration), 4)
            yield Event(piece, max(0.0, start), spread.draw(ranges.snr_db, share))


def _held_down(events: tuple[Event, ...], snr_db: float, seconds: float) -> tuple[Event, ...]:
    """The events with their SNRs raised, all alike, where they would exceed `MOST_OF_EVENTS`.

    An event of duration d and SNR s has the share 10^((snr_db - s) / 10) d / seconds of the noise's power.
    """
    share = math.fsum(10.0 ** ((snr_db - event.snr_db) / 10.0) * event.piece.duration / seconds for event in events)
    if share <= MOST_OF_EVENTS:
        return events
    excess_db = 10.0 * math.log10(share / MOST_OF_EVENTS)
    return tuple(replace(event, snr_db=round(event.snr_db + excess_db, 3)) for event in events)


def _name(wanted: str, names: set[str]) -> str:
    """An id that is a file name too, and differs from the others where file names ignore case."""
    name = UNFIT.sub("_", wanted).lstrip(".")
    if name != wanted or name.lower() in names or len(name.encode()) > 200:
        name = f"{name[:150]}-{hashlib.sha256(wanted.encode()).hexdigest()[:10]}"
    names.add(name.lower())
    return name


def folder_of(path: Path) -> str:
    """The folder that paths in its files are relative to, as `Scene.row` and `Scene.of` take it."""
    return os.path.normpath(path.absolute())


def read(path: Path, folder: str) -> Iterator[Scene]:
    """The scenes of a scenes.jsonl, one by one.

    Raises:
        SpeechbenchError: A line that is no scene.
    """
    with path.open(encoding="utf-8") as stream:
        for number, line in enumerate(stream, start=1):
            try:
                yield Scene.of(json.loads(line), folder)
            except (ValueError, KeyError, TypeError) as error:
                raise SpeechbenchError(f"{path}: line {number}: no scene ({error}); build the folder anew") from error
