"""What diagnose needs decoded once more: the utterances of a ladder, and those with errors once a part is repaired.

Here the renderer and the recogniser meet. Everything that is decoded stays in the run folder and is decoded once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from speechbench.diagnostics import ScoredSet
    from speechbench.diagnostics.ladder import Ladder
    from speechbench.diagnostics.stages import Repairs
    from speechbench.errors import AudioError
    from speechbench.manifest import Manifest, Utterance
    from speechbench.recognizer import Hypothesis
    from speechbench.run import Run
    from synth.ladder import Seen
    from synth.scene import Scene


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
    from speechbench.manifest import Skipped, usable
    from synth.ladder import at_snr, differing, scenes_of

    scenes = scenes_of(dev.manifest)
    if not scenes:
        raise SpeechbenchError(f"{dev.manifest.name}: 'speechbench synth' made none of it; {NEEDED}")
    drawn = dev.manifest.select(lambda utterance: utterance.id in scenes).sample(most, seed)
    seen, notes = _seen(run, [scenes[u.id] for u in drawn])
    skipped = Skipped()
    ladders = dict(usable(((u.id, _rungs(scenes[u.id], seen, seed)) for u in drawn), skipped))
    skipped.close(len(drawn))
    wanted = [name for name in differing(ladders.values()) if name != "level"]
    unchanged = [RUNGS[name].adds for name in _rung_names(ladders) if name not in (*wanted, "level")]
    notes += [f"Left out, for no utterance has it: {', '.join(unchanged)}."] if unchanged else []
    made: dict[str, dict[str, Scene]] = {name: {key: one[name] for key, one in ladders.items()} for name in wanted}
    noisy = {key: scenes[key] for key in ladders if scenes[key].snr_db is not None}
    made |= {f"snr{snr:g}": {key: at_snr(one, snr) for key, one in noisy.items()} for snr in snrs if noisy}
    decoded = {name: _decode_scenes(run, name, drawn, some) for name, some in made.items()}
    decoded["level"] = {u.id: (u, dev.hypotheses[u.id]) for u in drawn if u.id in dev.hypotheses}
    climbed = [name for name in _rung_names(ladders) if name in decoded]
    whole = [u.id for u in drawn if all(u.id in decoded[name] for name in climbed)]
    if not whole:
        raise SpeechbenchError(f"{dev.manifest.name}: no utterance could be rendered and heard on all rungs of the ladder")
    if len(whole) < len(drawn):
        notes.append(f"{len(drawn) - len(whole)} of {len(drawn)} utterances could not be rendered or heard on every rung.")
    sweep = {snr: _scored(dev, decoded[f"snr{snr:g}"], list(decoded[f"snr{snr:g}"])) for snr in snrs if noisy}
    return Ladder({name: _scored(dev, decoded[name], whole) for name in climbed}, len(dev.manifest), tuple(notes), sweep)


def _rungs(one: Scene, seen: Seen | None, seed: int) -> dict[str, Scene] | AudioError:
    from speechbench.errors import AudioError
    from synth.ladder import rungs

    try:
        return rungs(one, seen, seed)
    except AudioError as error:
        return error


def _rung_names(ladders: Mapping[str, Mapping[str, Scene]]) -> list[str]:
    return list(next(iter(ladders.values())))


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
        notes.append(f"Training heard no noise of the conditions {', '.join(new)}; for it stands noise of any other condition.")
    return seen, notes


def _decode_scenes(
    run: Run, name: str, drawn: Manifest, scenes: Mapping[str, Scene]
) -> dict[str, tuple[Utterance, Hypothesis]]:
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
    import hashlib
    import json

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


def _scored(dev: ScoredSet, decoded: Mapping[str, tuple[Utterance, Hypothesis]], ids: Sequence[str]) -> ScoredSet:
    from speechbench.diagnostics import ScoredSet
    from speechbench.manifest import Manifest

    manifest = Manifest(tuple(decoded[key][0] for key in ids), dev.manifest.path)
    return ScoredSet(manifest, {key: decoded[key][1] for key in ids})


def repair(run: Run, dev: ScoredSet, most: int, seed: int) -> Repairs:
    """Decode a set's utterances with errors again, a part of the recogniser made perfect each time.

    A wider search is not tried, for in noise it takes longer than the audio: the reference's score tells where it is needed.

    Args:
        run: The recogniser.
        dev: The set, decoded.
        most: Utterances with errors to draw from it.
        seed: Of the draw.
    """
    from pipelines.words import open_lexicon
    from speechbench.cli.recognition import decoded
    from speechbench.diagnostics.stages import Repairs, draw_errors
    from speechbench.manifest import Manifest
    from speechbench.recognizer import Request
    from synth.ladder import scenes_of

    sample = draw_errors(dev, most, seed)
    lexicon = frozenset(open_lexicon(run.path))
    heard = sample.hypotheses
    wrong = sample.select(lambda u: sample.score.counts[u.id].errors > 0 and u.id in heard).manifest

    def ask(oracle: str, some: Manifest) -> dict[str, Hypothesis]:
        return decoded(run, f"oracle-{oracle}", some, Request(oracle=oracle)) if len(some) else {}

    scenes = scenes_of(wrong)
    twins = Manifest(tuple(_twin(u, scenes[u.id]) for u in wrong if u.id in scenes), wrong.path)
    return Repairs(
        sample,
        len(dev.manifest),
        lexicon,
        aligned=ask("words", wrong),
        clean=decoded(run, "clean-twins", twins) if len(twins) else {},
        phonemes=ask("phonemes", wrong),
        language_model=ask("language-model", wrong),
    )


def _twin(utterance: Utterance, one: Scene) -> Utterance:
    """The clean recording of an utterance, under its id."""
    path, offset, duration = Path(one.clean_filepath), one.clean_offset, one.clean_duration
    return replace(utterance, audio_filepath=path, offset=offset, duration=duration, sampling_rate=None)
