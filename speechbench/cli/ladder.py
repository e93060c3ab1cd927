"""Decoding the rungs of the ladder: here the renderer and the recogniser meet.

What is decoded stays in the run folder and is decoded once; what is rendered for it does not stay.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from speechbench.diagnostics import ScoredSet
    from speechbench.diagnostics.ladder import Ladder
    from speechbench.errors import AudioError
    from speechbench.manifest import Manifest, Utterance
    from speechbench.recognizer import Hypothesis
    from speechbench.run import Run
    from synth.ladder import Seen
    from synth.scene import Scene

    Decoded = Mapping[str, tuple[Utterance, Hypothesis]]  # by utterance id

TOP = "level"  # the rung that is dev itself


def climb(run: Run, dev: ScoredSet, most: int, snrs: Sequence[float], seed: int) -> Ladder:
    """Decode a set's utterances on each rung of the ladder, and at fixed SNRs.

    Args:
        run: The recogniser.
        dev: The set, decoded: it is the last rung.
        most: Utterances to draw from it.
        snrs: In dB; each takes as long as a rung.
        seed: Of the draw, and of the noise that training heard.

    Raises:
        SpeechbenchError: `synth` made none of the utterances, or none of them can be rendered.
    """
    from speechbench.diagnostics.ladder import NEEDED, RUNGS, Ladder
    from speechbench.errors import SpeechbenchError
    from synth.ladder import at_snr, differing, scenes_of

    scenes = scenes_of(dev.manifest)
    if not scenes:
        raise SpeechbenchError(f"{dev.manifest.name}: 'speechbench synth' made none of it; {NEEDED}")
    drawn = dev.manifest.select(lambda utterance: utterance.id in scenes).sample(most, seed)
    seen, notes = _seen(run, [scenes[u.id] for u in drawn])
    ladders = _ladders(drawn, scenes, seen, seed)
    names = list(differing(ladders.values()))
    if unchanged := [RUNGS[name].adds for name in next(iter(ladders.values())) if name not in (*names, TOP)]:
        notes.append(f"Left out, for no utterance has it: {', '.join(unchanged)}.")

    def decode(name: str, some: Mapping[str, Scene]) -> Decoded:
        return _decode_scenes(run, name, drawn, some)

    below = {name: decode(name, {key: one[name] for key, one in ladders.items()}) for name in names if name != TOP}
    rungs = below | {TOP: {u.id: (u, dev.hypotheses[u.id]) for u in drawn if u.id in dev.hypotheses}}
    whole = [u.id for u in drawn if all(u.id in heard for heard in rungs.values())]
    if not whole:
        raise SpeechbenchError(f"{dev.manifest.name}: no utterance could be rendered and heard on all rungs of the ladder")
    if lost := len(drawn) - len(whole):
        notes.append(f"{lost} of {len(drawn)} utterances could not be rendered or heard on every rung.")
    noisy = {key: scenes[key] for key in whole if scenes[key].snr_db is not None}
    sweep = {snr: decode(f"snr{snr:g}", {key: at_snr(one, snr) for key, one in noisy.items()}) for snr in snrs if noisy}
    return Ladder(
        {name: _scored(dev, heard, whole) for name, heard in rungs.items()},
        len(dev.manifest),
        tuple(notes),
        {snr: _scored(dev, heard, list(heard)) for snr, heard in sweep.items()},
    )


def _ladders(drawn: Manifest, scenes: Mapping[str, Scene], seen: Seen | None, seed: int) -> dict[str, dict[str, Scene]]:
    """The rungs of each utterance whose clean recording can be read."""
    from speechbench.manifest import Skipped, usable

    skipped = Skipped()
    found = dict(usable(((u.id, _rungs(scenes[u.id], seen, seed)) for u in drawn), skipped))
    skipped.close(len(drawn))
    return found


def _rungs(one: Scene, seen: Seen | None, seed: int) -> dict[str, Scene] | AudioError:
    from speechbench.errors import AudioError
    from synth.ladder import rungs

    try:
        return rungs(one, seen, seed)
    except AudioError as error:
        return error


def _seen(run: Run, scenes: Sequence[Scene]) -> tuple[Seen | None, list[str]]:
    """The noise that a run's training heard, and what a reader must know of it."""
    from speechbench import manifest
    from synth.ladder import Seen, scenes_of

    path = run.provenance["manifests"].get("train", {}).get("path")
    if path is None or not Path(path).is_file():
        return None, [f"What training heard is not known, for {path or 'its manifest'} is gone; noise is one step."]
    seen = Seen.of(scenes_of(manifest.read(Path(path))).values())
    if not seen.backgrounds:
        return None, ["Training heard no noise that 'speechbench synth' laid under it; type and source of noise are one step."]
    backgrounds = [one.noise[0] for one in scenes if one.noise]
    notes = [f"Training heard noise of {len(seen.sources)} sources."]
    if known := sum(piece.source in seen.sources for piece in backgrounds):
        notes.append(f"{known} of {len(backgrounds)} utterances have noise of a source that training heard too.")
    if new := sorted({str(piece.condition) for piece in backgrounds if piece.condition not in seen.backgrounds}):
        notes.append(f"Training heard no noise of these conditions: {', '.join(new)}. Noise of any condition stands for it.")
    return seen, notes


def _decode_scenes(run: Run, name: str, drawn: Manifest, scenes: Mapping[str, Scene]) -> Decoded:
    """Render scenes into a folder that is removed afterwards, and decode them; what cannot be used is left out and named."""
    from speechbench.cli.recognition import decoded
    from speechbench.manifest import Manifest, Skipped, usable
    from speechbench.progress import track_audio

    with TemporaryDirectory(prefix="ladder-") as folder:
        skipped = Skipped()
        items = ((u.id, _render(u, scenes[u.id], Path(folder))) for u in drawn if u.id in scenes)
        known = {u.id: u.duration for u in drawn}
        seconds = sum(known[key] for key in scenes)
        rendered = track_audio(usable(items, skipped), f"render {name}", seconds, lambda item: known[item[0]])
        utterances = tuple(utterance for _, utterance in rendered)
        skipped.close(len(scenes))
        heard = decoded(run, f"ladder-{name}", Manifest(utterances, Path(f"ladder rung {name}")))
    return {u.id: (u, heard[u.id]) for u in utterances if u.id in heard}


def _render(utterance: Utterance, one: Scene, folder: Path) -> Utterance | AudioError:
    """The utterance as a scene makes it, or why that cannot be done.

    Its file is named for the scene, so that hypotheses of another scene are never taken for its own.
    """
    from speechbench.audio import SAMPLING_RATE
    from speechbench.errors import AudioError
    from synth.scene import folder_of
    from synth.utterance import rendered

    row = json.dumps(one.row("/"), sort_keys=True)
    path = Path(folder_of(folder)) / f"{hashlib.sha256(row.encode()).hexdigest()[:16]}.flac"
    try:
        data, facts = rendered(one)
    except AudioError as error:
        return error
    path.write_bytes(data)
    noise = [{"id": p.id, "source": p.source, "condition": p.condition} for p in one.noise]
    known = {"noise": noise or None, "snr_db": facts["snr_db"]}
    extra = {key: value for key, value in (dict(utterance.extra) | known).items() if value is not None}
    duration = facts["samples"] / SAMPLING_RATE
    return replace(utterance, audio_filepath=path, offset=0.0, duration=duration, sampling_rate=SAMPLING_RATE, extra=extra)


def _scored(dev: ScoredSet, decoded: Decoded, ids: Sequence[str]) -> ScoredSet:
    from speechbench.diagnostics import ScoredSet
    from speechbench.manifest import Manifest

    manifest = Manifest(tuple(decoded[key][0] for key in ids), dev.manifest.path)
    return ScoredSet(manifest, {key: decoded[key][1] for key in ids})
