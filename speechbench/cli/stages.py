"""Decoding utterances with errors again, one part of the recogniser made perfect each time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from speechbench.diagnostics import ScoredSet
    from speechbench.diagnostics.repairs import Repairs
    from speechbench.manifest import Manifest, Utterance
    from speechbench.recognizer import Hypothesis
    from speechbench.run import Run
    from synth.scene import Scene


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
    from speechbench.diagnostics.repairs import Repairs
    from speechbench.diagnostics.stages import draw_errors
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
