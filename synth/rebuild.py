"""A built folder afterwards: what is known of an utterance, and its audio made again from its scene."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from speechbench import files, jobs, manifest
from speechbench.errors import AudioError, SpeechbenchError, unknown_name
from speechbench.manifest import Utterance
from speechbench.progress import track_audio
from synth import containers, scene
from synth.build import MANIFEST, SCENES, SHARDS
from synth.chunk import batches, existing, holds, utterance_line
from synth.containers import Container, Entry, Sums
from synth.scene import Scene, folder_of
from synth.utterance import rendered

STATES = ("verified", "rebuilt", "failed")
State = dict[str, Any]  # id, state and reason


def explain(folder: Path, utterance_id: str) -> dict[str, Any]:
    """All that the manifest and the scenes know of one utterance.

    Raises:
        SpeechbenchError: No built folder, or no such utterance in it.
    """
    utterances = _open(folder).by_id
    if utterance_id not in utterances:
        raise SpeechbenchError(f"{folder}: {unknown_name('utterance', utterance_id, list(utterances)[:10_000])}")
    facts = utterances[utterance_id].row(folder.absolute())
    found = next((one for one in scene.read(folder / SCENES, folder_of(folder)) if one.id == utterance_id), None)
    if found is None:
        return facts
    drawn = found.row(folder_of(folder))
    return facts | {"level_dbfs": drawn["level_dbfs"], "scene": drawn}


@dataclass(frozen=True, slots=True)
class _Part:
    """A chunk of a build: the utterances that came out of it, and the sums of its files where it is a shard."""

    number: int
    made: tuple[tuple[Scene, Utterance], ...]
    sums: Sums


def rebuild(folder: Path, ids: Sequence[str] = (), worker_count: int = 1, run: jobs.Run = jobs.run) -> list[State]:
    """Verify audio by its SHA-256 and render again what is missing or differs; a shard is made again as a whole.

    Args:
        folder: A built folder.
        ids: Utterances; none takes all.
        worker_count: Processes.
        run: Where the work is done.

    Returns:
        For each utterance `id`, `state` (one of `STATES`) and the `reason` of a failure. A file is only written when
        its bytes are those of the first build.

    Raises:
        SpeechbenchError: No built folder, or an unknown id.
    """
    made = {utterance.id: utterance for utterance in _open(folder) if "sha256" in utterance.extra}
    for name in ids:
        if name not in made:
            raise SpeechbenchError(f"{folder}: {unknown_name('synthesised utterance', name, list(made)[:10_000])}")
    wanted = set(ids or made)
    container = containers.of(files.read_json(folder / files.MARKER)["container"])
    parts = _parts(folder, container, made, wanted)
    done = run(partial(_rebuild, folder.absolute(), container), parts, worker_count)
    states = ([state for state in some if state["id"] in wanted] for some in done)
    seconds = sum(made[name].duration for name in wanted)
    tracked = track_audio(states, "verify", seconds, lambda some: sum(made[state["id"]].duration for state in some))
    return list(chain.from_iterable(tracked))


def _open(folder: Path) -> manifest.Manifest:
    if not files.is_finished(folder, "synth") or not (folder / SCENES).is_file():
        raise SpeechbenchError(f"{folder}: holds no finished build; name a folder that 'speechbench synth' wrote")
    return manifest.read(folder / MANIFEST)


def _parts(folder: Path, container: Container, made: dict[str, Utterance], wanted: set[str]) -> Iterator[_Part]:
    """The chunks that hold wanted utterances; of those that are files, these alone."""
    sums: dict[int, Sums] = {}
    for row in map(json.loads, files.read_lines(folder / SHARDS)) if (folder / SHARDS).is_file() else ():
        sums.setdefault(row["shard"], {})[row["file"]] = row["sha256"]
    for number, some in enumerate(batches(scene.read(folder / SCENES, folder_of(folder)), container.scenes)):
        if any(one.id in wanted for one in some):
            kept = [one for one in some if one.id in made and (sums or one.id in wanted)]
            yield _Part(number, tuple((one, made[one.id]) for one in kept), sums.get(number, {}))


def _rebuild(folder: Path, container: Container, part: _Part) -> list[State]:
    if part.sums:
        return _rebuild_shard(folder, container, part)
    return [_rebuild_file(container, one, utterance) for one, utterance in part.made]


def _rebuild_file(container: Container, one: Scene, utterance: Utterance) -> State:
    try:
        data, is_new = _bytes(container, one, utterance)
    except AudioError as error:
        return _state(one, "failed", f"{one.id}: {error}")
    if is_new:
        with files.writing(utterance.audio_filepath) as aside:
            aside.write_bytes(data)
    return _state(one, "rebuilt" if is_new else "verified")


def _rebuild_shard(folder: Path, container: Container, part: _Part) -> list[State]:
    if holds(folder, part.sums):
        return [_state(one, "verified") for one, _ in part.made]
    with TemporaryDirectory(dir=folder, prefix=".rebuild-") as scratch:
        try:
            sums = container.write(Path(scratch), container, part.number, _entries(folder, container, part))
        except AudioError as error:
            return [_state(one, "failed", f"its shard {part.number} cannot be made again: {error}") for one, _ in part.made]
        if sums != part.sums:
            fault = f"its shard {part.number} comes out in other bytes than at first, for library versions have changed"
            return [_state(one, "failed", fault) for one, _ in part.made]
        for name in sums:
            (Path(scratch) / name).replace(folder / name)
    return [_state(one, "rebuilt") for one, _ in part.made]


def _entries(folder: Path, container: Container, part: _Part) -> Iterator[Entry]:
    for one, utterance in part.made:
        yield utterance, utterance_line(utterance, folder), _bytes(container, one, utterance)[0]


def _bytes(container: Container, one: Scene, utterance: Utterance) -> tuple[bytes, bool]:
    """The bytes of an utterance's audio, and whether they had to be rendered.

    Raises:
        AudioError: They are neither there nor can be rendered.
    """
    expected = utterance.extra["sha256"]
    data = existing(utterance.audio_filepath, expected)
    if data is not None:
        return data, False
    data, facts = rendered(one, container.suffix)
    if facts["sha256"] != expected:
        raise AudioError("renders to other bytes than at first; its speech or noise has changed, or library versions have")
    return data, True


def _state(one: Scene, state: str, reason: str | None = None) -> State:
    return {"id": one.id, "state": state, "reason": reason}
