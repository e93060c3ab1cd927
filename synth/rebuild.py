"""A built folder afterwards: what is known of an utterance, and its audio made again from its scene."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from speechbench import files, jobs, manifest
from speechbench.errors import AudioError, SpeechbenchError, unknown_name
from speechbench.progress import track
from synth import scene
from synth.build import MANIFEST, SCENES, audio_path
from synth.scene import Scene, folder_of
from synth.utterance import rendered

STATES = ("verified", "rebuilt", "failed")


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


def rebuild(folder: Path, ids: Sequence[str] = (), worker_count: int = 1) -> list[dict[str, Any]]:
    """Verify audio by its SHA-256 and render again what is missing or differs.

    Args:
        folder: A built folder.
        ids: Utterances; none takes all.
        worker_count: Processes.

    Returns:
        For each utterance `id`, `state` (one of `STATES`) and the `reason` of a failure. A file is only written when
        its bytes are those of the first build.

    Raises:
        SpeechbenchError: No built folder, or an unknown id.
    """
    sums = {utterance.id: utterance.extra["sha256"] for utterance in _open(folder) if "sha256" in utterance.extra}
    for name in ids:
        if name not in sums:
            raise SpeechbenchError(f"{folder}: {unknown_name('synthesised utterance', name, list(sums)[:10_000])}")
    wanted = set(ids or sums)
    scenes = (one for one in scene.read(folder / SCENES, folder_of(folder)) if one.id in wanted)
    items = ((one, sums[one.id]) for one in scenes)
    return list(track(jobs.run(partial(_rebuild_one, folder), items, worker_count), "verify", len(wanted)))


def _open(folder: Path) -> manifest.Manifest:
    if not files.is_finished(folder, "synth") or not (folder / SCENES).is_file():
        raise SpeechbenchError(f"{folder}: holds no finished build; name a folder that 'speechbench synth' wrote")
    return manifest.read(folder / MANIFEST)


def _rebuild_one(folder: Path, item: tuple[Scene, str]) -> dict[str, Any]:
    one, expected = item
    path = audio_path(folder, one.id)
    if path.is_file() and files.sha256(path) == expected:
        return {"id": one.id, "state": "verified", "reason": None}
    try:
        data, facts = rendered(one)
    except AudioError as error:
        return {"id": one.id, "state": "failed", "reason": f"{one.id}: {error}"}
    if facts["sha256"] != expected:
        fault = "renders to other bytes than at first; its speech or noise has changed, or library versions have"
        return {"id": one.id, "state": "failed", "reason": f"{one.id}: {fault}"}
    with files.writing(path) as aside:
        aside.write_bytes(data)
    return {"id": one.id, "state": "rebuilt", "reason": None}
