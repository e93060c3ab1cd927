"""Scenes: all that chance decides about an output utterance, drawn before any audio is read."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speechbench.errors import SpeechbenchError
from speechbench.manifest import Manifest, Utterance
from speechbench.seeds import seed_of
from synth import cabin
from synth.cabin import Cabin
from synth.noise import FADE, Allotment, NoiseBank, Piece
from synth.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Scene:
    """One output utterance; rendering needs nothing else and has no chance in it."""

    id: str
    clean_id: str
    clean_filepath: str  # absolute
    clean_offset: float  # s
    clean_duration: float  # s
    noise: tuple[Piece, ...]  # laid end to end with cross-fades; none for speech without noise
    cabin: Cabin | None
    snr_db: float | None
    level_dbfs: float
    seed: int

    @property
    def heard(self) -> Iterator[tuple[Piece, float]]:
        """Every piece of noise with the place in its file, in seconds, from where it counts as used.

        Where two pieces cross-fade they make one noise between them: it counts for the earlier.
        """
        for number, piece in enumerate(self.noise):
            yield piece, piece.offset + (FADE if number else 0.0)

    def row(self, folder: str) -> dict[str, Any]:
        """As one JSON line, with paths relative to `folder`."""
        return {
            "id": self.id,
            "clean_id": self.clean_id,
            "clean_filepath": relative(self.clean_filepath, folder),
            "clean_offset": self.clean_offset,
            "clean_duration": self.clean_duration,
            "noise": [piece.row() | {"audio_filepath": relative(piece.audio_filepath, folder)} for piece in self.noise],
            "cabin": self.cabin.row() if self.cabin else None,
            "snr_db": self.snr_db,
            "level_dbfs": self.level_dbfs,
            "seed": self.seed,
        }

    @classmethod
    def of(cls, row: dict[str, Any], folder: str) -> Scene:
        """From its JSON line."""

        def absolute(path: str) -> str:
            return os.path.normpath(os.path.join(folder, path))  # noqa: PTH118 - Path would cost a third of the reading

        noise = (
            Piece(**({"condition": None} | piece | {"audio_filepath": absolute(piece["audio_filepath"])}))
            for piece in row["noise"]
        )
        known = {
            "noise": tuple(noise),
            "cabin": Cabin.of(row["cabin"]) if row["cabin"] else None,
            "clean_filepath": absolute(row["clean_filepath"]),
        }
        return cls(**(row | known))


def relative(path: str, folder: str) -> str:
    """The path from the folder; both absolute."""
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
        allotment: Of the same bank, from which an earlier draw took its noise; None starts with all noise unused.

    Raises:
        SpeechbenchError: No noise for an utterance's split or a condition.
    """
    allotment = allotment or Allotment(bank, recipe.conditions, seed)
    cabins = cabin.draw(recipe.cabin, seed)
    names: set[str] = set()
    for utterance in sorted(speech, key=lambda utterance: utterance.id):
        for copy in range(1, recipe.copies + 1):
            yield _draw(utterance, copy, allotment, cabins, recipe, seed, names)


def _draw(
    clean: Utterance,
    copy: int,
    allotment: Allotment,
    cabins: list[Cabin],
    recipe: Recipe,
    seed: int,
    names: set[str],
) -> Scene:
    own = seed_of(seed, "scene", clean.id, copy)
    chance = random.Random(own).random  # a third of the time that NumPy takes to start a generator, for five numbers
    noisy, snr, level, which, condition = (chance() for _ in range(5))
    has_noise = noisy < recipe.noise
    return Scene(
        id=_name(f"{clean.id}-noisy{copy}", names),
        clean_id=clean.id,
        clean_filepath=str(clean.audio_filepath),
        clean_offset=clean.offset,
        clean_duration=clean.duration,
        noise=allotment.take(clean.duration, clean.split, condition) if has_noise else (),
        cabin=cabins[int(which * len(cabins))] if cabins else None,
        snr_db=_between(recipe.snr_db, snr) if has_noise else None,
        level_dbfs=_between(recipe.level_dbfs, level),
        seed=own,
    )


def _between(bounds: tuple[float, float], share: float) -> float:
    return round(bounds[0] + share * (bounds[1] - bounds[0]), 3)


def _name(wanted: str, names: set[str]) -> str:
    """An id that is a file name too, and differs from the others where file names ignore case."""
    name = re.sub(r"[^\w.+=@-]", "_", wanted).lstrip(".")
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
