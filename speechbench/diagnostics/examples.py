"""Which utterances to listen to: drawn among those with errors, in proportion to their errors."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from speechbench.diagnostics.scored import ScoredSet, noise_condition
from speechbench.diagnostics.slices import snr_db
from speechbench.manifest import Manifest, Utterance
from speechbench.seeds import generator_of

MOST = 10


def choose_examples(scored: ScoredSet, seed: int, most: int = MOST) -> list[dict[str, Any]]:
    """Utterances that show the errors of a set as they weigh, not its worst ones alone.

    Returns:
        Rows of `id`, `speaker`, `condition`, `snr_db`, `errors`, `words`, `alignment` ([reference, hypothesis] pairs), `audio`
        and `clean` ({path, offset, duration}; None where there is no clean recording), in the set's order.
    """
    wrong = int((scored.errors > 0).sum())
    if not wrong:
        return []
    chances = scored.errors / scored.errors.sum()
    rng = generator_of(seed, "examples")
    chosen = sorted(rng.choice(len(chances), size=min(most, wrong), replace=False, p=chances).tolist())
    utterances = scored.manifest.utterances
    return [_example(utterances[number], scored) for number in chosen]


def _example(utterance: Utterance, scored: ScoredSet) -> dict[str, Any]:
    counts = scored.score.counts[utterance.id]
    place = {"offset": utterance.offset, "duration": utterance.duration}
    clean = _clean_path(utterance, scored.manifest)
    return {
        "id": utterance.id,
        "speaker": utterance.speaker,
        "condition": noise_condition(utterance),
        "snr_db": snr_db(utterance),
        "errors": counts.errors,
        "words": counts.words,
        "alignment": [list(pair) for pair in scored.score.alignments[utterance.id]],
        "audio": {"path": str(utterance.audio_filepath), **place},
        # A synthesised utterance is a whole file made from a clean one; `clean_offset` says where in it the speech was.
        "clean": clean
        and {"path": clean, "offset": float(utterance.extra.get("clean_offset") or 0.0), "duration": utterance.duration},
    }


def _clean_path(utterance: Utterance, manifest: Manifest) -> str | None:
    name = utterance.extra.get("clean_filepath")
    if not isinstance(name, str) or not name:
        return None
    folder = manifest.path.parent.absolute() if manifest.path else Path.cwd()
    return os.path.normpath(folder / name)
