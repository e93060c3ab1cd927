"""Slices: which speakers, noise conditions, SNRs, lengths and so on hold the errors, and what mending one could gain."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from speechbench.diagnostics.bootstrap import Blocks, count_noise, resample, widest
from speechbench.diagnostics.scored import ScoredSet, by_speaker, noise_condition
from speechbench.diagnostics.weak import LEVEL, Cuts, Mask, holm
from speechbench.manifest import Utterance
from speechbench.seeds import generator_of

UNKNOWN = "unknown"
SNR_BAND = 5.0  # dB
LENGTHS = (2.0, 4.0, 8.0, 16.0)  # s, the ends of the bands
RARITIES = (1, 6, 51)  # times a word occurs in the training text, the ends of the bands
QUARTERS = ("first quarter", "second quarter", "third quarter", "last quarter")


def snr_db(utterance: Utterance) -> float | None:
    """The measured SNR of a synthesised utterance; None where there is none."""
    value = utterance.extra.get("snr_db")
    finite = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if finite else None  # type: ignore[arg-type]


def snr_band(utterance: Utterance) -> str:
    """The 5 dB band of the SNR: "5 to 10 dB"."""
    value = snr_db(utterance)
    if value is None:
        return UNKNOWN
    low = SNR_BAND * math.floor(value / SNR_BAND)
    return f"{low:.0f} to {low + SNR_BAND:.0f} dB"


def length_band(utterance: Utterance) -> str:
    """The band of the duration: "2 to 4 s"."""
    ends = (0.0, *LENGTHS)
    band = sum(utterance.duration >= end for end in LENGTHS)
    return f"{ends[band]:.0f} s or more" if band == len(LENGTHS) else f"{ends[band]:.0f} to {ends[band + 1]:.0f} s"


def speech_rates(utterances: Sequence[Utterance]) -> list[str]:
    """The quarter of the set by words per second, from the first word's start to the last one's end where that is known."""
    rates = np.array([_words_per_second(utterance) for utterance in utterances])
    ends = np.unique(np.round(np.quantile(rates, (0.25, 0.5, 0.75)), 1))
    names = [f"under {ends[0]:.1f} words/s"]
    names += [f"{low:.1f} to {high:.1f} words/s" for low, high in pairwise(ends)]
    names += [f"{ends[-1]:.1f} words/s or more"]
    return [names[band] for band in np.searchsorted(ends, rates, side="right")]


def _words_per_second(utterance: Utterance) -> float:
    alignments = utterance.extra.get("alignments")
    words = alignments.get("words") if isinstance(alignments, Mapping) else None
    seconds = words[-1][1] - words[0][0] if words else utterance.duration
    return len(utterance.words) / max(seconds, 1e-3)


def orders(utterances: Sequence[Utterance]) -> list[str]:
    """The quarter of the set by `recorded_at` (ISO 8601) where every utterance has one, else by the manifest's order."""
    moments = [utterance.get("recorded_at") for utterance in utterances]
    known = all(isinstance(moment, str) for moment in moments)
    order = sorted(range(len(moments)), key=lambda number: moments[number]) if known else range(len(moments))
    labels = [""] * len(moments)
    for place, number in enumerate(order):
        labels[number] = QUARTERS[4 * place // len(moments)]
    return labels


def rarities(utterances: Sequence[Utterance], train_words: Mapping[str, int]) -> list[str]:
    """The band of the utterance's rarest word in the training text."""
    first, second, third = RARITIES
    names = (
        "a word that is not in the training text",
        f"a word that is {first} to {second - 1} times in the training text",
        f"a word that is {second} to {third - 1} times in the training text",
        "frequent words only",
    )
    rarest = [min((train_words.get(word, 0) for word in utterance.words), default=0) for utterance in utterances]
    return [names[sum(count >= end for end in RARITIES)] for count in rarest]


# A new slice is one line here, or where it needs the whole set, in `label_utterances`.
SLICES: Mapping[str, Callable[[Utterance], str]] = {
    "speaker": lambda utterance: utterance.speaker or UNKNOWN,
    "accent": lambda utterance: str(utterance.get("accent") or UNKNOWN),
    "condition": lambda utterance: noise_condition(utterance) or UNKNOWN,
    "snr": snr_band,
    "length": length_band,
}


def label_utterances(utterances: Sequence[Utterance], train_words: Mapping[str, int] | None = None) -> dict[str, list[str]]:
    """The part of each slice that an utterance is in; a slice in which all are alike says nothing and is left out.

    Args:
        utterances: The set.
        train_words: How often each word occurs in the training text, where known.
    """
    labels = {name: [label(utterance) for utterance in utterances] for name, label in SLICES.items()}
    labels |= {"speech rate": speech_rates(utterances), "order": orders(utterances)}
    if train_words:
        labels["rarest word"] = rarities(utterances, train_words)
    return {name: column for name, column in labels.items() if len(set(column)) > 1}


def slice_errors(scored: ScoredSet, train_words: Mapping[str, int] | None = None) -> dict[str, list[dict[str, Any]]]:
    """Every slice of a set, the costliest part first.

    Args:
        scored: The set.
        train_words: How often each word occurs in the training text, where known.

    Returns:
        By slice, rows of `name`, `utterances`, `words`, `errors`, `rate`, `share` of all errors, and two ceilings in points
        of the set's WER: `ceiling` if the part erred no more than the rest, with its 95 % interval `low` to `high` (None
        where a single utterance stands against the rest), and `ceiling_perfect` if it did not err at all. `p_value` is
        corrected for all parts of all slices (Holm), the same utterances under two names being one part, and `weak` is
        whether it is below 5 %.
    """
    utterances = scored.manifest.utterances
    cuts = Cuts.of(utterances, scored.errors, scored.words)
    tables: dict[str, list[dict[str, Any]]] = {}
    looks: dict[bytes, list[dict[str, Any]]] = {}  # by the utterances looked at: one speaker's accent is no second look
    for name, column in label_utterances(utterances, train_words).items():
        tables[name] = []
        for part in sorted(set(column)):
            mask = np.asarray(column) == part
            row = _row(part, mask, cuts)
            tables[name].append(row)
            looks.setdefault(mask.tobytes(), []).append(row)
    corrected = holm([rows[0]["p_value"] for rows in looks.values()])
    for rows, p_value in zip(looks.values(), corrected, strict=True):
        for row in rows:
            row |= {"p_value": p_value, "weak": p_value < LEVEL}
    return {
        name: sorted(table, key=lambda row: (-row["ceiling"], -row["errors"], row["name"])) for name, table in tables.items()
    }


def _row(name: str, part: Mask, cuts: Cuts) -> dict[str, Any]:
    all_words, all_errors = float(cuts.words.sum()), float(cuts.errors.sum())
    words, errors = float(cuts.words[part].sum()), float(cuts.errors[part].sum())
    excess = cuts.excess(part)
    known = math.isfinite(excess.half_width)
    return {
        "name": name,
        "utterances": int(part.sum()),
        "words": int(words),
        "errors": int(errors),
        "rate": errors / words,
        "share": errors / all_errors if all_errors else 0.0,
        "ceiling": max(0.0, excess.value) * words / all_words,
        "low": (excess.value - excess.half_width) * words / all_words if known else None,
        "high": (excess.value + excess.half_width) * words / all_words if known else None,
        "ceiling_perfect": errors / all_words,
        "p_value": excess.p_value,
    }


def weak_parts(tables: Mapping[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The weak parts of all slices, the largest ceiling first, each with the `slice` it is of.

    Parts of different slices share utterances: their ceilings do not add up.
    """
    weak = [{"slice": name, **row} for name, rows in tables.items() for row in rows if row["weak"]]
    return sorted(weak, key=lambda row: -row["ceiling"])


def snr_curve(scored: ScoredSet, seed: int) -> list[dict[str, Any]]:
    """WER against SNR, a point per band, from the lowest band up.

    Returns:
        Rows of `snr_db` (the mean in the band), `rate`, `low`, `high`, `errors`, `words`, `utterances`.
    """
    known = [(number, value) for number, u in enumerate(scored.manifest) if (value := snr_db(u)) is not None]
    bands: dict[int, list[tuple[int, float]]] = {}
    for number, value in known:
        bands.setdefault(math.floor(value / SNR_BAND), []).append((number, value))
    utterances = list(scored.manifest)
    points = []
    for band, members in sorted(bands.items()):
        index = [number for number, _ in members]
        errors, words = scored.errors[index], scored.words[index]
        blocks = Blocks.of("speaker", [by_speaker(utterances[number]) for number in index], errors, words)
        spreads = [
            resample(blocks, generator_of(seed, "snr", band)),
            count_noise(errors.sum(), words.sum(), generator_of(seed, "snr count noise", band)),
        ]
        low, high = spreads[widest(spreads)].interval() or (None, None)
        points.append(
            {
                "snr_db": float(np.mean([value for _, value in members])),
                "rate": blocks.rate,
                "low": low,
                "high": high,
                "errors": int(errors.sum()),
                "words": int(words.sum()),
                "utterances": len(index),
            }
        )
    return points
