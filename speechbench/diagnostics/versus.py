"""Two systems on the same sets, utterance by utterance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from speechbench.diagnostics.bootstrap import Estimate
from speechbench.diagnostics.paired import compare_words
from speechbench.diagnostics.scored import ScoredSet, change, measure_change
from speechbench.diagnostics.slices import label_utterances
from speechbench.errors import SpeechbenchError


def compare(
    after: Mapping[str, ScoredSet], before: Mapping[str, ScoredSet], name: str, seed: int, focus: str | None = None
) -> dict[str, Any]:
    """The change from an older system to a newer one.

    Args:
        after: The newer system's sets.
        before: The older system's sets.
        name: The older system's name.
        seed: Of the resampling.
        focus: The set whose slices are compared too.

    Returns:
        `name`; `changes`, by set: the older `rate`, then `value`, `low`, `high`, `separable` of the change, below 0 when the
        newer is better, `reason`, and what `paired.compare_words` tells; `slices` of the focus, by slice: rows of `name`,
        `words`, the older `rate`, and the change as before, by intervals that hold together for all parts of all slices.

    Raises:
        SpeechbenchError: A set was scored on different utterances, or there is no set that both have.
    """
    shared = [key for key in after if key in before]
    if not shared:
        raise SpeechbenchError(f"{name}: no set was scored for both systems; give the same sets for both")
    changes = {
        key: _change_row(before[key].score.total.rate, measure_change(key, after[key], before[key], seed))
        | compare_words(after[key].score, before[key].score)
        for key in shared
    }
    slices = _compare_slices(after[focus], before[focus], seed) if focus in shared else {}
    return {"name": name, "changes": changes, "slices": slices}


def _compare_slices(after: ScoredSet, before: ScoredSet, seed: int) -> dict[str, list[dict[str, Any]]]:
    utterances = after.manifest.utterances
    parts = [
        (slice_, part, np.flatnonzero(np.asarray(labels) == part))
        for slice_, labels in label_utterances(utterances).items()
        for part in sorted(set(labels))
    ]
    tables: dict[str, list[dict[str, Any]]] = {}
    for slice_, part, index in parts:
        errors, words = before.errors[index], after.words[index]
        chosen = [utterances[number] for number in index.tolist()]
        if slice_ == "speaker":  # what is said of one speaker is said of this one only, so his utterances are what varies
            chosen = [replace(utterance, speaker=None) for utterance in chosen]
        estimate = change(f"{slice_} {part}", chosen, after.errors[index] - errors, words, seed)
        row = _change_row(float(errors.sum() / words.sum()), estimate, 1 - 0.05 / len(parts))  # Bonferroni
        tables.setdefault(slice_, []).append({"name": part, "words": int(words.sum()), **row})
    return {name: sorted(rows, key=lambda row: row["value"]) for name, rows in tables.items()}


def _change_row(rate: float, estimate: Estimate, level: float = 0.95) -> dict[str, Any]:
    low, high = estimate.interval(level) or (None, None)
    certain = not estimate.doubt and low is not None and high is not None
    separable = (low > 0 or high < 0) if certain else None  # type: ignore[operator]
    return {
        "rate": rate,
        "value": estimate.value,
        "low": low,
        "high": high,
        "separable": separable,
        "reason": estimate.doubt or None,
    }


def mismatch_closed(newer: Mapping[str, Any], older: Mapping[str, Any]) -> dict[str, float] | None:
    """The share of the older system's data mismatch that the newer takes off dev.

    The mismatch is taken as it was measured, and the interval is that of the change of dev's error: a share of a drawn gap
    has no mean where the gap comes near 0.

    Args:
        newer: A report's document whose `versus` is the older system.
        older: That system's own document, with its own train-dev.

    Returns:
        `value`, `low`, `high`; None where the older system's mismatch is not known to be above 0.
    """
    gap, change = older["gaps"].get("data_mismatch"), newer["versus"]["changes"].get("dev")
    if not gap or not gap["separable"] or not change or change["low"] is None:
        return None
    ends = [-change[key] / gap["value"] for key in ("value", "high", "low")]
    return dict(zip(("value", "low", "high"), ends, strict=True))
