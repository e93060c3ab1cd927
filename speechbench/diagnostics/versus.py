"""Two systems on the same sets, utterance by utterance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from speechbench.diagnostics.bootstrap import Estimate
from speechbench.diagnostics.scored import ScoredSet, measure_change


def compare(after: Mapping[str, ScoredSet], before: Mapping[str, ScoredSet], name: str, seed: int) -> dict[str, Any]:
    """The change from an older system to a newer one.

    Args:
        after: The newer system's sets.
        before: The older system's sets.
        name: The older system's name.
        seed: Of the resampling.

    Returns:
        `name`, and `changes` (by set: the older `rate`, then `value`, `low`, `high`, `separable` of the change, below 0 when
        the newer is better).

    Raises:
        SpeechbenchError: A set was scored on different utterances.
    """
    shared = [key for key in after if key in before]
    changes = {key: measure_change(key, after[key], before[key], seed) for key in shared}
    return {
        "name": name,
        "changes": {key: _change_row(before[key].score.total.rate, changes[key]) for key in shared},
    }


def _change_row(rate: float, change: Estimate) -> dict[str, Any]:
    low, high = change.interval() or (None, None)
    certain = not change.doubt and low is not None and high is not None
    separable = (low > 0 or high < 0) if certain else None  # type: ignore[operator]
    return {
        "rate": rate,
        "value": change.value,
        "low": low,
        "high": high,
        "separable": separable,
        "reason": change.doubt or None,
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
