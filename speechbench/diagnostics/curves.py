"""WER against SNR, with bands: of a set by noise condition, and of the same utterances made again at fixed SNRs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from speechbench.diagnostics.scored import ScoredSet, measure_spread, noise_condition
from speechbench.diagnostics.slices import snr_curve

ALL = "all"


def snr_curves(scored: ScoredSet, seed: int) -> dict[str, list[dict[str, Any]]]:
    """The curve of each noise condition, as `snr_curve`; none where there are no two conditions."""
    parts = _by_condition(scored)
    return {name: snr_curve(part, seed) for name, part in parts.items()} if len(parts) > 1 else {}


def sweep_rows(sweep: Mapping[float, ScoredSet], seed: int) -> list[dict[str, Any]]:
    """The error rate at each SNR, of all utterances and of each condition. A point's utterances are those of every other.

    Returns:
        Rows of `condition` ("all" or a condition's name), `snr_db`, `rate`, `low`, `high`, `errors`, `words`, `utterances`,
        each condition's from the lowest SNR up.
    """
    rows = []
    for snr_db, scored in sorted(sweep.items()):
        parts = _by_condition(scored)
        for name, part in ({ALL: scored} | (parts if len(parts) > 1 else {})).items():
            total = part.score.total
            low, high = measure_spread(f"snr {snr_db} {name}", part, seed).estimate.interval() or (None, None)
            low = None if low is None else max(0.0, low)
            counts = {"errors": total.errors, "words": total.words, "utterances": len(part.manifest)}
            rows.append({"condition": name, "snr_db": snr_db, "rate": total.rate, "low": low, "high": high, **counts})
    return sorted(rows, key=lambda row: (row["condition"] != ALL, row["condition"], row["snr_db"]))


def _by_condition(scored: ScoredSet) -> dict[str, ScoredSet]:
    names = sorted({name for u in scored.manifest if (name := noise_condition(u)) is not None})
    return {name: scored.select(lambda u, name=name: noise_condition(u) == name) for name in names}  # type: ignore[misc]
