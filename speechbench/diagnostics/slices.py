"""Slices: which speakers, noise conditions, SNRs and lengths hold the errors, and what mending one could gain."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from speechbench.diagnostics.bootstrap import Blocks, count_noise, resample, widest
from speechbench.diagnostics.scored import ScoredSet, by_speaker, noise_condition
from speechbench.manifest import Utterance
from speechbench.seeds import generator_of

UNKNOWN = "unknown"
SNR_BAND = 5.0  # dB
LENGTHS = (2.0, 4.0, 8.0, 16.0)  # s, the ends of the bands


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


# A new slice is one line here.
SLICES: Mapping[str, Callable[[Utterance], str]] = {
    "speaker": lambda utterance: utterance.speaker or UNKNOWN,
    "condition": lambda utterance: noise_condition(utterance) or UNKNOWN,
    "snr": snr_band,
    "length": length_band,
}


def slice_errors(scored: ScoredSet) -> dict[str, list[dict[str, Any]]]:
    """Every slice of a set, the costliest part first; a slice in which all utterances are alike says nothing and is left out.

    Returns:
        By slice, rows of `name`, `utterances`, `words`, `errors`, `rate`, `share` of all errors, and two ceilings in points
        of the set's WER: `ceiling` if the part erred no more than the rest, `ceiling_perfect` if it did not err at all.
    """
    tables = {}
    for name, label in SLICES.items():
        parts, index = np.unique([label(utterance) for utterance in scored.manifest], return_inverse=True)
        if len(parts) > 1:
            columns = (np.bincount(index), np.bincount(index, scored.words), np.bincount(index, scored.errors))
            rows = [
                _row(part, *figures) for part, *figures in zip(parts.tolist(), *map(np.ndarray.tolist, columns), strict=True)
            ]
            _add_ceilings(rows)
            tables[name] = sorted(rows, key=lambda row: (-row["ceiling"], -row["errors"], row["name"]))
    return tables


def _row(name: str, utterances: int, words: float, errors: float) -> dict[str, Any]:
    return {"name": name, "utterances": utterances, "words": int(words), "errors": int(errors), "rate": errors / words}


def _add_ceilings(rows: list[dict[str, Any]]) -> None:
    errors, words = (sum(row[key] for row in rows) for key in ("errors", "words"))
    for row in rows:
        rest = (errors - row["errors"]) / (words - row["words"])
        row["share"] = row["errors"] / errors if errors else 0.0
        row["ceiling"] = max(0.0, row["errors"] - rest * row["words"]) / words
        row["ceiling_perfect"] = row["errors"] / words


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
