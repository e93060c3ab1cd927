"""The stage: plan scenes, count their noise, render them, list the result.

A build folder holds scenes.jsonl and noise_budget.json (before rendering), the audio as its container keeps it,
manifest.jsonl, shards.jsonl with the SHA-256 of each shard's files where there are shards, skipped.jsonl where something
could not be used, and the marker speechbench.json, written last. Scenes are streamed: what grows with their number in
memory is the manifest of the clean speech and what the noise budget counts.
"""

from __future__ import annotations

import json
import shutil
from array import array
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from speechbench import files, jobs, manifest
from speechbench.errors import AudioError, SpeechbenchError
from speechbench.manifest import Manifest, Skipped
from speechbench.progress import say, track_audio
from synth import budget as noise_budget
from synth import cabin, containers, scene
from synth.cabin import Response, Room
from synth.chunk import RENDERED, Note, Planned, chunks, render
from synth.containers import Container
from synth.noise import NoiseBank
from synth.recipe import Recipe
from synth.recordings import RECORDINGS
from synth.scene import Scene, folder_of

SCENES, BUDGET, MANIFEST = "scenes.jsonl", "noise_budget.json", "manifest.jsonl"
SHARDS, SKIPPED = "shards.jsonl", "skipped.jsonl"


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


def build(
    plan: Plan,
    out: Path,
    worker_count: int = 1,
    resume: bool = False,
    strict: bool = False,
    overwrite: bool = False,
    container: str = "flac",
    run: jobs.Run = jobs.run,
) -> dict[str, Any]:
    """Synthesise a corpus.

    Args:
        plan: What from.
        out: The folder to make.
        worker_count: Processes; they change no byte.
        resume: Go on with a build that was stopped.
        strict: Any warning of the noise budget is an error, raised before anything is written.
        overwrite: Replace a folder that an earlier build made.
        container: How audio is kept, a name of `containers.CONTAINERS`.
        run: Where the work is done; it changes no byte either.

    Returns:
        The noise budget, with the measured SNR.

    Raises:
        SpeechbenchError: Bad input, an output that exists, warnings under `strict`, nothing that could be rendered.
    """
    kept_as = containers.of(container)
    rirs = [Path(plan.recipe.cabin.rirs)] if plan.recipe.cabin.rirs else []
    files.keep_inputs(out, [*manifest.inputs([plan.speech]), *plan.noise, *plan.against, *rirs])
    rooms = cabin.draw(plan.recipe.cabin, plan.seed) if worker_count > 1 else []
    with ThreadPoolExecutor(1) as beside:  # while the noise is heard; else each worker would compute them all
        responses = beside.submit(cabin.responses, rooms, run, worker_count)
        return _Build(plan, out, kept_as, worker_count, run, responses).make(resume, strict, overwrite)


def _drawn(plan: Plan, bank: NoiseBank) -> Iterator[Scene]:
    known = plan.speech.by_id if plan.recipe.keep_clean else {}
    for one in scene.draw(plan.speech, bank, plan.recipe, plan.seed):
        if one.id in known:
            raise SpeechbenchError(
                f"{plan.speech.name}: has an utterance {one.id}, which a noisy one would be named; rename it"
            )
        yield one


@dataclass
class _Build:
    """A build under way."""

    plan: Plan
    out: Path
    container: Container
    worker_count: int
    run: jobs.Run
    responses: Future[dict[Room, Response]]  # of the cabins, for the workers
    skipped: Skipped = field(default_factory=Skipped)
    recordings: int = 0  # of noise

    def make(self, resume: bool, strict: bool, overwrite: bool) -> dict[str, Any]:
        """Plan, claim the folder, and finish it."""
        plan, out = self.plan, self.out
        begun = resume and files.is_begun(out, "synth")
        resume = begun and (out / SCENES).is_file()
        if not resume:  # a build that was stopped before its scenes were written has nothing to go on with
            files.check_claim(out, overwrite or begun)
        bank = NoiseBank.load(plan.noise, self.skipped)
        files.keep_inputs(out, {Path(noise.audio_filepath).parent for noise in bank.recordings})
        bank = bank.listen(self.worker_count, self.skipped)
        self.recordings = len(bank.recordings)
        use = noise_budget.Use(bank)
        scenes = use.watch(_drawn(plan, bank), _splits(plan.speech))
        if resume:
            _same(scenes, self.container, out)
        else:
            deque(scenes, maxlen=0)
        budget = _strictly(use.budget(plan.against, plan.target, True, self.worker_count), strict)
        if not resume:
            files.claim(out, overwrite or begun)
            with files.making(out, "synth", container=self.container.name):
                # Drawn again, for a list of them would fill the memory.
                files.write_json_lines(out / SCENES, (one.row(folder_of(out)) for one in _drawn(plan, bank)))
                return self.finish(budget)
        if files.is_finished(out, "synth"):
            say(f"{out}: is finished already; 'speechbench rebuild' checks its audio")
            finished: dict[str, Any] = files.read_json(out / BUDGET)
            return finished
        files.remove_asides(out)
        return self.finish(budget)

    def finish(self, budget: dict[str, Any]) -> dict[str, Any]:
        """Render what is not there yet, and write everything that is known only then."""
        out = self.out
        files.write_json(out / BUDGET, budget)
        (out / RENDERED).mkdir(exist_ok=True)
        snr_db, shards = array("d"), []
        with files.writing(out / MANIFEST) as aside, aside.open("w", encoding="utf-8") as stream:
            rendered, last = 0, ""
            for number, note in enumerate(self._render(budget["speech_seconds"])):
                stream.writelines(note.lines)
                rendered += len(note.facts)
                snr_db.extend(facts["snr_db"] for facts in note.facts if facts["snr_db"] is not None)
                shards += [{"shard": number, "file": name, "sha256": sha256} for name, sha256 in note.sums.items()]
                for name, reason in note.skipped.items():
                    self.skipped.add(name, AudioError(reason))
                    last = reason
            if not rendered:
                raise SpeechbenchError(f"none of the {budget['utterances']} scenes can be rendered; the last: {last}")
        self.skipped.close(budget["utterances"] + self.recordings, out / SKIPPED)
        if shards:
            files.write_json_lines(out / SHARDS, shards)
        budget["snr_db"]["measured"] = noise_budget.summary(snr_db)
        files.write_json(out / BUDGET, budget)
        shutil.rmtree(out / RENDERED)
        files.remove_asides(out)  # once more, for the workers of a killed build end a moment after it
        facts = {"container": self.container.name, "seed": self.plan.seed, "recipe": asdict(self.plan.recipe)}
        files.mark(out, "synth", **facts, utterances=rendered, skipped=len(self.skipped.reasons))
        return budget

    def _render(self, seconds: float) -> Iterator[Note]:
        work = chunks(_planned(self.plan, self.out), self.container.scenes)
        with RECORDINGS.lent() if self.worker_count > 1 else nullcontext() as noise:
            each = partial(render, self.out.absolute(), self.container, noise, self.responses.result())
            notes = self.run(each, work, self.worker_count)
            yield from track_audio(notes, "render", seconds, lambda note: note.seconds)


def _planned(plan: Plan, out: Path) -> Iterator[Planned]:
    """The scenes as they were written, each with the utterance that it is made from."""
    by_id = plan.speech.by_id
    before = None
    with (out / SCENES).open(encoding="utf-8") as stream:
        for line in stream:
            clean = by_id[json.loads(line)["clean_id"]]
            yield Planned(line, clean, plan.recipe.keep_clean and clean.id != before)
            before = clean.id


def _splits(speech: Manifest) -> dict[str, str | None]:
    return {utterance.id: utterance.split for utterance in speech}


def _strictly(budget: dict[str, Any], strict: bool) -> dict[str, Any]:
    if strict and budget["warnings"]:
        raise SpeechbenchError(
            "--strict: " + "; ".join(f"{warning['code']}: {warning['message']}" for warning in budget["warnings"])
        )
    return budget


def _same(scenes: Iterator[Scene], container: Container, out: Path) -> None:
    """Refuse to go on with another build than was begun; sees every scene."""
    with (out / SCENES).open(encoding="utf-8") as stream:
        same = [json.dumps(one.row(folder_of(out)), ensure_ascii=False) + "\n" == stream.readline() for one in scenes]
        if not all(same) or stream.readline():
            raise SpeechbenchError(
                f"{out}: was begun with other speech, noise, recipe or seed; resume with the same, or name another folder"
            )
    begun = files.read_json(out / files.MARKER).get("container")
    if begun != container.name:
        raise SpeechbenchError(f"{out}: was begun with --container {begun}; resume with the same, or name another folder")
