"""The verdict: which gaps to work on, largest first, and why, in plain words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from speechbench.diagnostics.bootstrap import Estimate
from speechbench.diagnostics.gaps import LEAST_SIZE, SETS, Gap, Human
from speechbench.diagnostics.needed import Size, more_needed, write_needed


@dataclass(frozen=True)
class Verdict:
    """The gaps to work on, the sentence that says so, and what else a reader must know."""

    names: tuple[str, ...]
    sentence: str
    notes: tuple[str, ...]
    at_human_level: bool = False


PLAIN = {"": "0", "human": "human", "train": "train", "train_dev": "train-dev", "dev": "dev", "test": "test"}


def points(value: float) -> str:
    """A rate as points of error: "3.0"."""
    return f"{100 * value:.1f}"


def words_of(name: str) -> str:
    """A gap's name as words: "variance or mismatch"."""
    return name.replace("_", " ")


def judge(errors: Mapping[str, Estimate], gaps: Mapping[str, Gap], human: Human | None, sizes: Mapping[str, Size]) -> Verdict:
    """Draw the verdict from the gap table.

    Args:
        errors: Error rate by set, without the human level.
        gaps: What `measure_gaps` found.
        human: The human level, where known.
        sizes: Of each set, to say how much more would decide.
    """
    rates = {name: estimate.value for name, estimate in errors.items()}
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
        return Verdict(names, sentence[0].upper() + sentence[1:], notes + tuple(_open(gaps, found[names[0]].value, sizes)))
    unseen = [name for name in ("train_dev", "dev", "test") if name in errors]
    if human and unseen and all(_at_human_level(errors[name], human) for name in unseen):
        told = f"{' and '.join(PLAIN[name] for name in unseen)} err{'s' if len(unseen) == 1 else ''}"
        sentence = f"At human level: {told} at most {100 * LEAST_SIZE:.0f} point more than humans."
        return Verdict((), sentence, notes, at_human_level=True)
    return Verdict((), _nothing(gaps, sizes), notes)


def _at_human_level(error: Estimate, human: Human) -> bool:
    """Whether even the upper end of the interval is near; a set that shows no spread of its own says nothing."""
    _, high = error.interval() or (error.value, error.value)
    return not error.doubt and round(high - human.low, 9) <= LEAST_SIZE


def _open(gaps: Mapping[str, Gap], largest: float, sizes: Mapping[str, Size]) -> Iterator[str]:
    """Gaps that look larger than the largest of the verdict, but are not decided."""
    for name, gap in gaps.items():
        if not gap.separable and gap.before and gap.value > largest:
            yield f"Undecided: {words_of(name)}, {points(gap.value)} points ({gap.reason}).{_need(name, gap, sizes)}"


def _need(name: str, gap: Gap, sizes: Mapping[str, Size]) -> str:
    needed = write_needed(more_needed(gap, sizes), PLAIN)
    if needed and gap.separable is None:
        return f" To decide {words_of(name)}, at least {needed} are needed."
    return f" {needed} would decide {words_of(name)}." if needed else ""


def _nothing(gaps: Mapping[str, Gap], sizes: Mapping[str, Size]) -> str:
    largest = max(gaps, key=lambda name: gaps[name].value)
    need = _need(largest, gaps[largest], sizes)
    unknown = {name: gap for name, gap in gaps.items() if gap.separable is None}
    if not unknown:
        listed = "; ".join(f"{words_of(name)} {points(gap.value)} points ({gap.reason})" for name, gap in gaps.items())
        return f"No gap stands out: {listed}.{need}"
    reasons = "; ".join(f"{words_of(name)}: {gap.reason}" for name, gap in unknown.items())
    return f"Nothing can be said for sure. {reasons[0].upper()}{reasons[1:]}.{need}"


def _notes(rates: Mapping[str, float], gaps: Mapping[str, Gap], human: Human | None) -> list[str]:
    notes = []
    bias = gaps.get("avoidable_bias")
    if human and bias and rates["train"] < human.low and (bias.high is None or bias.high < 0.0):
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
