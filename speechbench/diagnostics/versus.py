"""Two systems on the same sets, utterance by utterance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from speechbench.diagnostics.bootstrap import Estimate, difference
from speechbench.diagnostics.scored import ScoredSet, measure_change, measure_spread


def compare(after: Mapping[str, ScoredSet], before: Mapping[str, ScoredSet], name: str, seed: int) -> dict[str, Any]:
    """The change from an older system to a newer one.

    Args:
        after: The newer system's sets.
        before: The older system's sets.
        name: The older system's name.
        seed: Of the resampling.

    Returns:
        `name`, `changes` (by set: the older `rate`, then `value`, `low`, `high`, `separable` of the change, below 0 when the
        newer is better), and `mismatch_closed`: the share of the older system's data mismatch that the newer takes off
        dev, with `low` and `high`; None where that mismatch is not known to be above 0.

    Raises:
        SpeechbenchError: A set was scored on different utterances.
    """
    shared = [key for key in after if key in before]
    changes = {key: measure_change(key, after[key], before[key], seed) for key in shared}
    return {
        "name": name,
        "changes": {key: _change_row(before[key].score.total.rate, changes[key]) for key in shared},
        "mismatch_closed": _closed(changes["dev"], before, seed) if {"dev", "train_dev"} <= set(shared) else None,
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


def _closed(change: Estimate, before: Mapping[str, ScoredSet], seed: int) -> dict[str, Any] | None:
    mismatch = difference(
        measure_spread("dev", before["dev"], seed).estimate, measure_spread("train_dev", before["train_dev"], seed).estimate
    )
    low, _ = mismatch.interval() or (0.0, 0.0)
    if low <= 0 or change.doubt or mismatch.doubt or change.draws is None:
        return None
    # The gap is taken as it was measured, and what is drawn is how much of dev's error went: a share of a drawn gap would
    # need the two drawn together, and has no mean where the gap comes near 0.
    share = Estimate(-change.value / mismatch.value, -change.draws / mismatch.value, change.freedom)
    ends = share.interval() or (share.value, share.value)
    return {"value": share.value, "low": ends[0], "high": ends[1], "mismatch": mismatch.value}
