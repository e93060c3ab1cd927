"""What a filled error sheet says: how many errors carry each tag, and what mending them could gain at most.

An utterance may carry several tags, so that shares add up to more than all, and ceilings do not add up to what mending both
would gain.

Source: Ng, "Machine Learning Yearning", chapters 14 to 16: with 5 of 100 errors on dogs, an error of 10 % falls to 9.5 % at
best.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from speechbench.diagnostics.bootstrap import Blocks, Estimate, count_noise, resample, widest
from speechbench.diagnostics.sheet import COLUMNS
from speechbench.diagnostics.sheet_cells import read_table, read_whole
from speechbench.diagnostics.sheet_ear import Ear
from speechbench.errors import SpeechbenchError, name_some
from speechbench.seeds import generator_of

YES, NO = {"x", "1", "yes", "y", "true", "✓", "✔"}, {"", "0", "no", "n", "false", "-"}
WORTH = ((100, "very well"), (50, "well"), (20, "roughly"), (0, "very little"))  # Ng: errors read, and what they tell


@dataclass(frozen=True)
class Reading:
    """One utterance of the sheet with its errors, as a person tagged it."""

    id: str
    errors: int
    tags: frozenset[str]
    suggested: frozenset[str]
    commented: bool


@dataclass(frozen=True)
class Sheet:
    """A sheet that came back."""

    readings: tuple[Reading, ...]
    look: int

    @classmethod
    def read(cls, path: Path) -> Sheet:
        """Read it, whatever was done to its columns.

        Raises:
            SpeechbenchError: As `read_table`; numbers that were changed; rows of several looks.
        """
        columns, rows = read_table(path, [name for name in COLUMNS if name in ("id", "tags", "errors", "look")])
        own = [name for name in columns if name not in COLUMNS]
        looks = {read_whole(path, row, "look") for row in rows}
        if len(looks) > 1:
            raise SpeechbenchError(f"{path}: holds rows of {len(looks)} looks; count each sheet by itself")
        return cls(tuple(_reading(path, row, own) for row in rows), looks.pop())


def _reading(path: Path, row: Mapping[str, str], own: Sequence[str]) -> Reading:
    added = {_tag(name, row[name]) for name in own if row[name].lower() not in NO}
    tags, suggested = (frozenset(split_tags(row.get(name, ""))) for name in ("tags", "suggested"))
    return Reading(row["id"], read_whole(path, row, "errors"), tags | added, suggested, bool(row.get("comment")))


def split_tags(cell: str) -> list[str]:
    """The tags of a cell: "dog; blurry"."""
    return [tag for part in re.split(r"[;,|\n]", cell) if (tag := part.strip())]


def _tag(column: str, value: str) -> str:
    return column if value.lower() in YES else f"{column}: {value}"


def count_tags(sheet: Sheet, ear: Ear, seed: int = 0) -> dict[str, Any]:
    """Count a sheet.

    Args:
        sheet: What was read.
        ear: The set that it was drawn from.
        seed: Of the resampling.

    Returns:
        `read` (utterances), `errors` (in them), `tell` (how much so many errors tell), `rate` (dev's error), `tags` and
        `suggested` (rows of `count_tag`, largest ceiling first), `ear` (`Ear.judge`), `notes`.

    Raises:
        SpeechbenchError: A look or rows that Ear does not know.
    """
    if not 0 < sheet.look <= len(ear.looks):
        raise SpeechbenchError(
            f"the sheet is of look {sheet.look}, and Ear was looked at {len(ear.looks)} times; name its own --ear"
        )
    look = ear.looks[sheet.look - 1]
    drawn = {key: errors for key, errors in zip(ear.ids[: ear.size], look.errors, strict=False) if errors}
    if odd := [one.id for one in sheet.readings if drawn.get(one.id) != one.errors]:
        raise SpeechbenchError(
            f"rows whose id or errors were changed in the sheet: {name_some(odd)}; take them from the sheet as it was"
        )
    rate, readings = ear.rate(look), sheet.readings
    read = len(readings)
    return {
        "read": read,
        "errors": sum(one.errors for one in readings),
        "tell": tell(read),
        "rate": rate,
        "tags": _count_all([one.tags for one in readings], readings, rate, seed),
        "suggested": _count_all([one.suggested for one in readings], readings, rate, seed),
        "ear": ear.judge(seed),
        "notes": _notes(readings),
    }


def tell(read: int) -> str:
    """How much so many errors tell."""
    return next(words for least, words in WORTH if read >= least)


def _count_all(tags: Sequence[frozenset[str]], readings: Sequence[Reading], rate: float, seed: int) -> list[dict[str, Any]]:
    errors = [one.errors for one in readings]
    rows = []
    for name in sorted(frozenset().union(*tags)):
        has = [name in held for held in tags]
        alone = sum(one == {name} for one in tags)
        rows.append({"tag": name, **count_tag(has, errors, rate, name, seed), "alone": alone})
    return sorted(rows, key=lambda row: (-row["ceiling"], row["tag"]))


def count_tag(has: Sequence[bool], errors: Sequence[int], rate: float, name: str = "", seed: int = 0) -> dict[str, Any]:
    """What mending all errors of one kind could gain.

    The interval is over utterances, whose errors come together, and never narrower than if each error were by itself.

    Args:
        has: Whether an utterance that was read is of this kind.
        errors: Its errors.
        rate: The error rate of dev.
        name: Of the kind, for the seed.
        seed: Of the resampling.

    Returns:
        `utterances`, `errors`, `share` of the errors read; `ceiling`, `low`, `high`: what dev's error rate could fall by, and
        `best`: what it could fall to.
    """
    weights = np.asarray(errors, dtype=np.float64)
    held = weights * np.asarray(has, dtype=np.float64)
    spreads: list[Estimate] = [
        resample(Blocks("utterance", held, weights), generator_of(seed, "tag", name)),
        count_noise(held.sum(), weights.sum(), generator_of(seed, "tag count noise", name)),
    ]
    estimate = spreads[widest(spreads)]
    low, high = estimate.interval() or (0.0, 1.0)
    return {
        "utterances": int(np.sum(has)),
        "errors": int(held.sum()),
        "share": estimate.value,
        "ceiling": rate * estimate.value,
        "low": rate * max(0.0, low),
        "high": rate * min(1.0, high),
        "best": rate * (1.0 - estimate.value),
    }


def _notes(readings: Sequence[Reading]) -> list[str]:
    read, bare = len(readings), sum(not one.tags and not one.commented for one in readings)
    notes = [f"{read} utterances read: they tell {tell(read)} what the errors are."] if read < WORTH[0][0] else []
    if bare:
        notes.append(
            f"{bare} of {read} rows carry neither tag nor comment and count as read; delete those that were not read, "
            "which must be the last ones of the sheet as it was."
        )
    return notes
