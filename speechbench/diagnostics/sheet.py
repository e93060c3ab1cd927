"""The error sheet: errors of dev drawn at random for a person to read, listen to and tag."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from speechbench.diagnostics.pace import measure_pace
from speechbench.diagnostics.scored import ScoredSet, noise_condition
from speechbench.diagnostics.sheet_cells import Row, write_table
from speechbench.diagnostics.sheet_ear import Ear
from speechbench.diagnostics.slices import UNKNOWN, snr_band
from speechbench.manifest import Utterance
from speechbench.score import Pair

COLUMNS = (
    "id",
    "tags",
    "comment",
    "suggested",
    "alignment",
    "reference",
    "hypothesis",
    "speaker",
    "audio",
    "errors",
    "words",
    "look",
)
TENTH = 90.0  # percentile over which an utterance of dev is long, or fast
RARE = 3  # a word that was trained on fewer times than this


@dataclass(frozen=True)
class Known:
    """What is known of a recogniser's words; None where it is not known."""

    trained: Mapping[str, int] | None = None  # how often a word occurs in the training texts
    lexicon: frozenset[str] | None = None

    @classmethod
    def of(cls, texts: Sequence[str] | None, lexicon: Sequence[str] | None) -> Known:
        """From training texts and the words of a lexicon."""
        trained = None if texts is None else Counter(word for text in texts for word in text.split())
        return cls(trained, None if lexicon is None else frozenset(lexicon))


def write_sheet(path: Path, scored: ScoredSet, ear: Ear, known: Known) -> int:
    """Write the errors of Ear's last look as a sheet, in random order, so that reading the first few is reading a sample.

    Returns:
        How many utterances with errors are in it.
    """
    suggested = suggest_tags(scored, known)
    by_id = scored.manifest.by_id
    look = len(ear.looks)
    wrong = [key for key in ear.ids[: ear.size] if scored.score.counts[key].errors]
    write_table(path, COLUMNS, [_row(by_id[key], scored, suggested[key], look) for key in wrong])
    return len(wrong)


def _row(utterance: Utterance, scored: ScoredSet, suggested: Sequence[str], look: int) -> Row:
    counts = scored.score.counts[utterance.id]
    hypothesis = scored.hypotheses.get(utterance.id)
    place = f" from {utterance.offset:.2f} s" if utterance.offset else ""
    return {
        "id": utterance.id,
        "tags": "",
        "comment": "",
        "suggested": "; ".join(suggested),
        "alignment": show_alignment(scored.score.alignments[utterance.id]),
        "reference": utterance.text or "",
        "hypothesis": hypothesis.text if hypothesis else "",
        "speaker": utterance.speaker or "",
        "audio": f"{utterance.audio_filepath}{place}",
        "errors": counts.errors,
        "words": counts.words,
        "look": look,
    }


def show_alignment(pairs: Sequence[Pair]) -> str:
    """An alignment in one line, errors as (REF->HYP): "turn (it->) (of->off)"."""
    return " ".join(r if r == h and r is not None else f"({r or ''}->{h or ''})" for r, h in pairs)


def suggest_tags(scored: ScoredSet, known: Known) -> dict[str, list[str]]:
    """Tags that follow from what is known of each utterance, whether it has errors or not."""
    utterances = scored.manifest.utterances
    pace, durations = measure_pace(scored), np.array([u.duration for u in utterances])
    fast, long = (column > np.percentile(column, TENTH) for column in (pace, durations))
    return {
        u.id: [
            *_of_noise(u),
            *_of_words(u.words, known),
            *(name for name, holds in (("fast speech", fast[number]), ("long", long[number])) if holds),
        ]
        for number, u in enumerate(utterances)
    }


def _of_noise(utterance: Utterance) -> list[str]:
    condition, band = noise_condition(utterance), snr_band(utterance)
    return ([f"noise {condition}"] if condition else []) + ([f"SNR {band}"] if band != UNKNOWN else [])


def _of_words(words: Sequence[str], known: Known) -> list[str]:
    tags = []
    if known.lexicon is not None and any(word not in known.lexicon for word in words):
        tags.append("OOV word")
    if known.trained is not None and any(known.trained.get(word, 0) < RARE for word in words):
        tags.append("rare word")
    return tags
