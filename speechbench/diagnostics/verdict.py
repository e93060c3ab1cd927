"""The verdict: which gaps to work on, largest first, and why, in plain words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from speechbench.diagnostics.gaps import SETS, Gap, Human


@dataclass(frozen=True)
class Verdict:
    """The gaps to work on, the sentence that says so, and what else a reader must know."""

    names: tuple[str, ...]
    sentence: str
    notes: tuple[str, ...]


PLAIN = {"": "0", "human": "human", "train": "train", "train_dev": "train-dev", "dev": "dev", "test": "test"}


def points(value: float) -> str:
    """A rate as points of error: "3.0"."""
    return f"{100 * value:.1f}"


def words_of(name: str) -> str:
    """A gap's name as words: "variance or mismatch"."""
    return name.replace("_", " ")


def judge(rates: Mapping[str, float], gaps: Mapping[str, Gap], human: Human | None) -> Verdict:
    """Draw the verdict from the gap table.

    Args:
        rates: Error rate by set, without the human level.
        gaps: What `measure_gaps` found.
        human: The human level, where known.
    """
    below = human is not None and max(rates.values()) < human.low
    notes = tuple(_notes(rates, gaps, None if below else human))
    if below:
        return Verdict(
            (), "Below human: direction unknown. No set errs more than humans, so no gap says what is left to gain.", notes
        )
    found = {name: gap for name, gap in gaps.items() if gap.separable}
    names = tuple(sorted(found, key=lambda name: -round(found[name].value, 9)))
    if names:
        parts = [
            f"{words_of(name)} adds {points(gap.value)} points between {PLAIN[gap.before]} and {PLAIN[gap.after]}"
            for name, gap in ((name, found[name]) for name in names)
        ]
        sentence = "; ".join(parts) + "."
        return Verdict(names, sentence[0].upper() + sentence[1:], notes)
    return Verdict((), _nothing(gaps), notes)


def _nothing(gaps: Mapping[str, Gap]) -> str:
    unknown = {name: gap for name, gap in gaps.items() if gap.separable is None}
    if not unknown:
        return (
            "No gap stands out: "
            + "; ".join(f"{words_of(n)} {points(g.value)} points ({g.reason})" for n, g in gaps.items())
            + "."
        )
    reasons = "; ".join(f"{words_of(name)}: {gap.reason}" for name, gap in unknown.items())
    return f"Nothing can be said for sure. {reasons[0].upper()}{reasons[1:]}."


def _notes(rates: Mapping[str, float], gaps: Mapping[str, Gap], human: Human | None) -> list[str]:
    notes = []
    if human and "train" in rates and rates["train"] < human.low:
        notes.append("Train is below human: the training data are over-memorised; reduce variance.")
    if "variance" in gaps and gaps["variance"].after == "dev":
        notes.append(
            "Without train_dev, dev is taken to be of the training distribution; if it is not, part of the variance is data "
            "mismatch, and a train-dev set held out of the training data would tell."
        )
    if "variance_or_mismatch" in gaps:
        notes.append(
            "Without a train-dev set, variance and data mismatch cannot be told apart. Hold one out of the training data; "
            "or, if dev is of the training distribution, name it train_dev."
        )
    for gap in gaps.values():
        easier = gap.value < 0 and gap.after in ("dev", "test") and gap.before in ("train", "train_dev")
        if easier and (gap.high is None or gap.high < 0):
            notes.append(
                f"{PLAIN[gap.after].capitalize()} is easier than {PLAIN[gap.before]}: measure humans and a model trained on it "
                "on the dev distribution too, to fill the table of distributions by {human, seen, unseen}."
            )
    missing = [PLAIN[name] for name in SETS[1:4] if name not in rates]
    if missing and "variance_or_mismatch" not in gaps:
        notes.append(f"No {' and no '.join(missing)} set was given.")
    return notes
