"""What one worker does at a time: some scenes in a row become audio and manifest lines, and a note of that.

The note of a chunk (rendered/<number>.json) is written after its audio and is whole or absent. A build that was killed
therefore does again the chunks that have no note, checks those that have one, and ends in the same bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from speechbench import archive, files
from speechbench.audio import SAMPLING_RATE
from speechbench.errors import AudioError
from speechbench.jobs import Item
from speechbench.manifest import Utterance
from synth import cabin
from synth.cabin import Response, Room
from synth.containers import Container, Entry, Sums
from synth.recordings import RECORDINGS, Lent
from synth.scene import Scene, folder_of
from synth.utterance import listed, rendered

RENDERED = "rendered"  # the folder of notes, while a build is under way


@dataclass(frozen=True, slots=True)
class Planned:
    """A scene, and the utterance that it is made from."""

    line: str  # of scenes.jsonl
    clean: Utterance
    with_clean: bool  # whether the manifest lists the clean utterance before it


@dataclass(frozen=True, slots=True)
class Chunk:
    """Scenes that are rendered together; in a sharded container they are one shard."""

    number: int
    planned: tuple[Planned, ...]


@dataclass
class Note:
    """What came out of a chunk."""

    lines: list[str] = field(default_factory=list)  # of the manifest
    facts: list[dict[str, Any]] = field(default_factory=list)  # measured on each utterance
    skipped: dict[str, str] = field(default_factory=dict)  # reason by scene id
    sums: Sums = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """Of audio."""
        return sum(int(row["samples"]) for row in self.facts) / SAMPLING_RATE


def batches(items: Iterable[Item], size: int) -> Iterator[tuple[Item, ...]]:
    """The items in rows of so many."""
    stream = iter(items)
    while some := tuple(islice(stream, size)):
        yield some


def chunks(planned: Iterable[Planned], size: int) -> Iterator[Chunk]:
    """The scenes in chunks of so many, numbered from 0."""
    return (Chunk(number, some) for number, some in enumerate(batches(planned, size)))


def render(out: Path, container: Container, noise: Lent | None, responses: dict[Room, Response], chunk: Chunk) -> Note:
    """Render what is not there yet.

    Args:
        out: The build folder, absolute, with the folder of notes in it.
        container: How its audio is kept.
        noise: Recordings that another process has decoded.
        responses: Impulse responses that it has computed.
        chunk: The scenes.
    """
    _keep_freed_memory()
    if noise:
        RECORDINGS.borrow(noise)
    cabin.borrow(responses)
    path = out / RENDERED / f"{chunk.number:06d}.json"
    before = Note(**files.read_json(path)) if path.is_file() else Note()
    if before.sums and not before.skipped and holds(out, before.sums):
        return before
    note = Note()
    kept = {facts["id"]: facts for facts in before.facts}
    note.sums = container.write(out, container, chunk.number, _entries(out, container, chunk, kept, note))
    if note != before:
        # A worker that outlives its killed build must not bring back the folder when another has finished that build.
        with files.writing(path, make_folder=False) as aside:
            aside.write_text(json.dumps(vars(note)), encoding="utf-8")
    return note


@cache
def _keep_freed_memory() -> None:
    """Let this process keep what is freed for its next arrays: else half a megabyte is asked of the system for each.

    glibc learns from the largest block that is given back, up to 32 MiB, what is worth keeping; elsewhere this does nothing.

    Source: mallopt(3), M_MMAP_THRESHOLD.
    """
    np.empty(32 * 2**20 - 2**16, np.uint8)


def holds(out: Path, sums: Sums) -> bool:
    """Whether the files are there with these sums."""
    return all((out / name).is_file() and files.sha256(out / name) == expected for name, expected in sums.items())


def _entries(out: Path, container: Container, chunk: Chunk, kept: dict[str, dict[str, Any]], note: Note) -> Iterator[Entry]:
    """The chunk's utterances one by one, so that memory holds one; fills in the note."""
    folder, home = folder_of(out), container.shard(out, chunk.number)
    for planned in chunk.planned:
        one = Scene.of(json.loads(planned.line), folder)
        path = home / container.file_name(one.id)
        facts = kept.get(one.id)
        data = existing(path, facts["sha256"]) if facts else None
        if data is None or facts is None:
            try:
                data, facts = rendered(one, container.suffix)
            except AudioError as error:
                note.skipped[one.id] = str(error)
                continue
        utterance = listed(one, planned.clean, facts, path, folder)
        note.lines += [utterance_line(each, out) for each in ((planned.clean,) if planned.with_clean else ()) + (utterance,)]
        note.facts.append(facts)
        yield utterance, note.lines[-1], data


def existing(path: Path, sha256: str) -> bytes | None:
    """The bytes of an audio file or of a shard's member, if they are there and have this sum."""
    try:
        data = archive.read(path) if archive.is_member(path) else path.read_bytes()
    except OSError:
        return None
    return data if hashlib.sha256(data).hexdigest() == sha256 else None


def utterance_line(utterance: Utterance, out: Path) -> str:
    """An utterance's line in the manifest of a build folder, with the line feed."""
    return json.dumps(utterance.row(out), ensure_ascii=False, allow_nan=False) + "\n"
