"""The counterfactual ladder: the same utterances from their clean recordings up to dev, with one thing more on each rung.

Whoever made the data can make them again without their noise, or with other noise. The changes from rung to rung are paired
differences, and add up to the whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from speechbench.diagnostics.bootstrap import Estimate, difference
from speechbench.diagnostics.curves import sweep_rows
from speechbench.diagnostics.gaps import JOINT_LEVEL
from speechbench.diagnostics.scored import ScoredSet, measure_change, measure_spread

NEEDED = (
    "the ladder needs clean twins: make dev with 'speechbench synth' from clean speech; of noise that was recorded with the "
    "speech, only a second, close microphone or the clean text read again in quiet would tell what the noise costs"
)


@dataclass(frozen=True)
class Ladder:
    """The same utterances on each rung, decoded."""

    rungs: Mapping[str, ScoredSet]  # from the lowest; names of `RUNGS`
    of: int  # utterances of the set that they were drawn from
    notes: tuple[str, ...] = ()
    sweep: Mapping[float, ScoredSet] = field(default_factory=dict)  # the top at fixed SNRs, by dB


@dataclass(frozen=True)
class Rung:
    """What a rung adds, and what to do where that costs much."""

    adds: str  # in plain words
    action: str
    command: str


SYNTH = "speechbench synth --speech TRAIN.jsonl --noise NOISE.jsonl --out LIKE_DEV"
RUNGS = {
    "clean": Rung("the clean recordings", "", ""),
    "raised_voice": Rung("raised voices", "Raise the voices of training as dev's are", f"{SYNTH} --set lombard=0.5"),
    "room": Rung("the room", "Put the training speech into rooms like dev's", f"{SYNTH} --recipe car"),
    "seen_noise": Rung(
        "noise, of sources that training heard",
        "Hear more of the noise in training: further copies at dev's SNRs, a longer training, a larger model",
        f"{SYNTH} --copies 3",
    ),
    "own_noise": Rung(
        "noise",
        "Mix the training speech with noise of dev's conditions and SNRs, of many sources",
        SYNTH,
    ),
    "level": Rung("dev's levels", "Train at the levels that dev has", f"{SYNTH} --set level_dbfs=[-40,-15]"),
}
# What the step to `own_noise` is where `seen_noise` lies below it.
UNSEEN = Rung(
    "noise of sources that training did not hear",
    "Collect or make noise of more sources: more cars, sessions and microphones, not more hours of the same",
    "speechbench prepare car_noise --out MORE_NOISE",
)
STEPS = {"seen_noise": "noise_type", "own_noise": "noise", "unseen": "unseen_source"}  # others are named for their rung


def measure_ladder(ladder: Ladder, train_dev: ScoredSet | None, seed: int) -> dict[str, Any]:
    """Split the error that was added on the way from the clean recordings to dev.

    Args:
        ladder: The rungs.
        train_dev: For what is not in the ladder: how clean dev differs from train-dev. Left out where that has noise itself.
        seed: Of the resampling.

    Returns:
        `utterances` on each rung and `of` how many they were drawn; `rungs`, rows of `name`, `rate`, `low`, `high`, `errors`,
        `words`; `steps`, rows of `name`, `adds` (in words), `before` and `after` (rungs), `value`, `low`, `high` (intervals
        that hold together), `share` of the whole, `separable`, `reason`; `whole`, the top less the bottom; `speech`, the
        bottom less train-dev, or None; `sentence`; `notes`; `advice`, rows as in the report; `snr_sweep` as `sweep_rows`.

        Steps sum to the whole, apart from rounding. Shares can be below 0, for something may help; of a whole that is not
        surely above 0 there are none.
    """
    names = list(ladder.rungs)
    top, bottom = ladder.rungs[names[-1]], ladder.rungs[names[0]]
    pairs = list(pairwise(names))
    changes = {pair: measure_change(pair[1], ladder.rungs[pair[1]], ladder.rungs[pair[0]], seed) for pair in pairs}
    whole = measure_change("whole", top, bottom, seed)
    level = 1 - (1 - JOINT_LEVEL) / max(1, len(pairs))  # Bonferroni
    total = _change_row(whole, JOINT_LEVEL)
    steps = [_step_row(*pair, change, whole.value if total["separable"] else 0.0, level) for pair, change in changes.items()]
    return {
        "utterances": len(top.manifest),
        "of": ladder.of,
        "rungs": [_rung_row(name, scored, seed) for name, scored in ladder.rungs.items()],
        "steps": steps,
        "whole": total,
        "speech": _speech(bottom, train_dev, seed),
        "sentence": _sentence(whole.value, steps),
        "notes": list(ladder.notes),
        "advice": _advise(steps),
        "snr_sweep": sweep_rows(ladder.sweep, seed),
    }


def _rung_of(before: str, after: str) -> tuple[str, Rung]:
    """The name of a step, and what its rung adds."""
    if (before, after) == ("seen_noise", "own_noise"):
        return STEPS["unseen"], UNSEEN
    return STEPS.get(after, after), RUNGS[after]


def _rung_row(name: str, scored: ScoredSet, seed: int) -> dict[str, Any]:
    total = scored.score.total
    low, high = measure_spread(f"rung {name}", scored, seed).estimate.interval() or (None, None)
    low = None if low is None else max(0.0, low)
    return {"name": name, "rate": total.rate, "low": low, "high": high, "errors": total.errors, "words": total.words}


def _change_row(change: Estimate, level: float) -> dict[str, Any]:
    low, high = change.interval(level) or (None, None)
    known = not change.doubt and low is not None and high is not None
    separable = (low > 0 or high < 0) if known else None  # type: ignore[operator]
    reason = change.doubt or ("its interval includes 0" if not separable else "its interval leaves 0 out")
    return {"value": change.value, "low": low, "high": high, "separable": separable, "reason": reason}


def _step_row(before: str, after: str, change: Estimate, whole: float, level: float) -> dict[str, Any]:
    name, rung = _rung_of(before, after)
    share = change.value / whole if whole > 0 else None
    row = {"name": name, "adds": rung.adds, "before": before, "after": after}
    return row | _change_row(change, level) | {"share": share}


def _speech(bottom: ScoredSet, train_dev: ScoredSet | None, seed: int) -> dict[str, Any] | None:
    """What the speech itself adds: other speakers, texts, recordings."""
    if train_dev is None or any("clean_id" in utterance.extra for utterance in train_dev.manifest):
        return None
    spreads = [measure_spread(name, scored, seed) for name, scored in (("clean dev", bottom), ("train_dev", train_dev))]
    return _change_row(difference(spreads[0].estimate, spreads[1].estimate), JOINT_LEVEL)


def _sentence(whole: float, steps: list[dict[str, Any]]) -> str:
    parts = [f"{row['adds']} {_points(row['value'])}" for row in sorted(steps, key=lambda row: -row["value"])]
    return f"From the clean recordings to dev {_points(whole)} points are added: {', '.join(parts)}."


def _points(value: float) -> str:
    return f"{100 * value:+.1f}"


def _advise(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """An action for each step that surely adds errors, the costliest first."""
    found = []
    for row in sorted(steps, key=lambda row: -row["value"]):
        if row["separable"] and row["value"] > 0:
            _, rung = _rung_of(row["before"], row["after"])
            reason = f"{row['adds']} adds {_points(row['value'])[1:]} points to the same words heard without"
            bounds = {"ceiling": row["value"], "low": row["low"], "high": row["high"]}
            found.append({"cause": row["name"], "action": rung.action, "reason": reason, "command": rung.command, **bounds})
    return found
