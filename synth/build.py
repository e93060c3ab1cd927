"""The stage: plan scenes, count their noise, render them, list the result.

A build folder holds scenes.jsonl and noise_budget.json (before rendering), audio/<id>.flac, manifest.jsonl,
skipped.jsonl where something could not be used, and the marker speechbench.json, written last. While it is under way
rendered.jsonl lists what is done, so that a build that was killed goes on where it was.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from speechbench import files, jobs, manifest
from speechbench.errors import AudioError, SpeechbenchError
from speechbench.manifest import Manifest, Skipped, Utterance
from speechbench.progress import say, track
from synth import budget as noise_budget
from synth import scene
from synth.noise import NoiseBank
from synth.recipe import Recipe
from synth.scene import Scene, folder_of
from synth.utterance import listed, rendered

SCENES, BUDGET, RENDERED = "scenes.jsonl", "noise_budget.json", "rendered.jsonl"
MANIFEST, SKIPPED, AUDIO = "manifest.jsonl", "skipped.jsonl", "audio"


@dataclass(frozen=True)
class Plan:
    """What a build is made from."""

    speech: Manifest
    noise: Sequence[Path]  # noise manifests
    recipe: Recipe
    seed: int = 0
    against: Sequence[Path] = ()  # built folders that shall share no noise with this one
    target: Manifest | None = None  # noisy recordings that the noise shall resemble


def preview(plan: Plan, strict: bool = False) -> dict[str, Any]:
    """The noise budget of a build from the files' headers alone; a target, and noise to compare with it, is read.

    Raises:
        SpeechbenchError: Nothing to build from, or warnings under `strict`.
    """
    use = noise_budget.Use(NoiseBank.load(plan.noise, Skipped()))
    for _ in use.watch(scene.draw(plan.speech, use.bank, plan.recipe, plan.seed), _splits(plan.speech)):
        pass
    return _strictly(use.budget(plan.against, plan.target), strict)


def _strictly(budget: dict[str, Any], strict: bool) -> dict[str, Any]:
    if strict and budget["warnings"]:
        raise SpeechbenchError(
            "--strict: " + "; ".join(f"{warning['code']}: {warning['message']}" for warning in budget["warnings"])
        )
    return budget


def build(
    plan: Plan, out: Path, worker_count: int = 1, resume: bool = False, strict: bool = False, overwrite: bool = False
) -> dict[str, Any]:
    """Synthesise a corpus.

    Args:
        plan: What from.
        out: The folder to make.
        worker_count: Processes; they change no byte.
        resume: Go on with a build that was stopped.
        strict: Any warning of the noise budget is an error, raised before anything is written.
        overwrite: Replace a folder that an earlier build made.

    Returns:
        The noise budget, with the measured SNR.

    Raises:
        SpeechbenchError: Bad input, an output that exists, warnings under `strict`, nothing that could be rendered.
    """
    responses = [Path(plan.recipe.cabin.rirs)] if plan.recipe.cabin.rirs else []
    files.keep_inputs(out, [*manifest.inputs([plan.speech]), *plan.noise, *plan.against, *responses])
    resume = resume and (out / SCENES).is_file()
    if not resume:
        files.check_claim(out, overwrite)
    skipped = Skipped()
    bank = NoiseBank.load(plan.noise, skipped)
    files.keep_inputs(out, {Path(noise.audio_filepath).parent for noise in bank.recordings})
    bank = bank.listen(worker_count, skipped)
    use = noise_budget.Use(bank)
    scenes = list(use.watch(scene.draw(plan.speech, bank, plan.recipe, plan.seed), _splits(plan.speech)))
    budget = _strictly(use.budget(plan.against, plan.target, True, worker_count), strict)
    if not resume:
        files.claim(out, overwrite)
        with files.making(out, "synth"):
            files.write_json_lines(out / SCENES, (one.row(folder_of(out)) for one in scenes))
            return _finish(plan, scenes, budget, bank, out, worker_count, skipped)
    _same_scenes(scenes, out)
    if files.is_finished(out, "synth"):
        say(f"{out}: is finished already; 'speechbench rebuild' checks its audio")
        finished: dict[str, Any] = files.read_json(out / BUDGET)
        return finished
    for left in (out / AUDIO).glob(".*"):
        left.unlink()  # what a killed worker was writing
    return _finish(plan, scenes, budget, bank, out, worker_count, skipped)


def _finish(
    plan: Plan, scenes: list[Scene], budget: dict[str, Any], bank: NoiseBank, out: Path, worker_count: int, skipped: Skipped
) -> dict[str, Any]:
    """Render what is not there yet, and write everything that is known only then."""
    files.write_json(out / BUDGET, budget)
    facts = _render_all(scenes, out, worker_count, skipped)
    utterances = _list(plan, scenes, facts, out)
    skipped.close(len(scenes) + len(bank.recordings), out / SKIPPED)
    Manifest(tuple(utterances)).write(out / MANIFEST)
    measured = noise_budget.summary(row["snr_db"] for row in facts.values() if row["snr_db"] is not None)
    budget["snr_db"]["measured"] = measured
    files.write_json(out / BUDGET, budget)
    (out / RENDERED).unlink()
    files.mark(out, "synth", seed=plan.seed, recipe=asdict(plan.recipe), utterances=len(facts), skipped=len(skipped.reasons))
    return budget


def _splits(speech: Manifest) -> dict[str, str | None]:
    return {utterance.id: utterance.split for utterance in speech}


def _same_scenes(scenes: list[Scene], out: Path) -> None:
    rows = [json.dumps(one.row(folder_of(out)), ensure_ascii=False) for one in scenes]
    if files.read_text(out / SCENES).split("\n") != [*rows, ""]:
        raise SpeechbenchError(
            f"{out}: was begun with other speech, noise, recipe or seed; resume with the same, or name another folder"
        )


def _render_all(scenes: list[Scene], out: Path, worker_count: int, skipped: Skipped) -> dict[str, dict[str, Any]]:
    """Render what is not there yet; note what was measured on each utterance as soon as it is written."""
    kept = _rendered(out / RENDERED)
    files.write_json_lines(out / RENDERED, kept.values())
    items = ((one, kept.get(one.id)) for one in scenes)
    results = track(jobs.run(partial(_render_one, out), items, worker_count), "render", len(scenes))
    facts: dict[str, dict[str, Any]] = {}
    first: str | None = None
    with (out / RENDERED).open("a", encoding="utf-8") as stream:
        for name, row in results:
            if isinstance(row, AudioError):
                skipped.add(name, row)
                first = first or str(row)
                continue
            facts[name] = row
            if row != kept.get(name):
                stream.write(json.dumps(row) + "\n")
                stream.flush()
    if not facts:
        raise SpeechbenchError(f"none of the {len(scenes)} scenes can be rendered; the first: {first}")
    return facts


def _rendered(path: Path) -> dict[str, dict[str, Any]]:
    """What a stopped build had rendered, by id; its last line may be cut off."""
    rows: dict[str, dict[str, Any]] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            break
        rows[row["id"]] = row
    return rows


def _render_one(out: Path, item: tuple[Scene, dict[str, Any] | None]) -> tuple[str, dict[str, Any] | AudioError]:
    one, kept = item
    path = audio_path(out, one.id)
    if kept is not None and path.is_file() and files.sha256(path) == kept["sha256"]:
        return one.id, kept
    try:
        data, facts = rendered(one)
    except AudioError as error:
        return one.id, error
    with files.writing(path) as aside:
        aside.write_bytes(data)
    return one.id, facts


def audio_path(folder: Path, scene_id: str) -> Path:
    """Where a build keeps an utterance's audio."""
    return folder / AUDIO / f"{scene_id}.flac"


def _list(plan: Plan, scenes: list[Scene], facts: dict[str, dict[str, Any]], out: Path) -> Iterator[Utterance]:
    """The manifest's utterances: the rendered ones and, if the recipe keeps them, their clean twins."""
    by_id = plan.speech.by_id
    for number, one in enumerate(scenes):
        if one.id in facts:
            clean = by_id[one.clean_id]
            if plan.recipe.keep_clean and (number == 0 or scenes[number - 1].clean_id != clean.id):
                yield clean
            yield listed(one, clean, facts[one.id], audio_path(out.absolute(), one.id), out)
