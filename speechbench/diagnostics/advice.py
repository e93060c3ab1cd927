"""What to do next: an action per separable gap, largest gain first; or how much more data would decide."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from speechbench.diagnostics.gaps import Gap
from speechbench.diagnostics.verdict import PLAIN, points, words_of


@dataclass(frozen=True)
class Advice:
    """An action, why, what it could gain at most (as a fraction of words), and the command that does it."""

    action: str
    reason: str
    command: str
    ceiling: float | None
    low: float | None
    high: float | None


# By what a gap's name contains, in this order: the action and the command.
ACTIONS = (
    (
        "_or_",
        "Find out which of them it is: hold a train-dev set out of the training data, train on the rest, diagnose again",
        "speechbench split TRAIN.jsonl --out SPLIT --by speaker --fractions train=.9,train-dev=.1",
    ),
    (
        "avoidable_bias",
        "Fit the training data better: a larger model, longer training, other learning rates; more data will not help",
        "speechbench train --mode MODE --train TRAIN.jsonl --dev DEV.jsonl --out RUN2 --config LARGER.toml",
    ),
    (
        "variance",
        "Get more training data of the same kind, or regularise; copies in fresh noise are a cheap start",
        "speechbench synth --speech TRAIN.jsonl --noise NOISE.jsonl --out MORE --copies 3",
    ),
    (
        "data_mismatch",
        "Make the training data like dev: mix the training speech with noise of dev's conditions and SNRs, train on both",
        "speechbench synth --speech TRAIN.jsonl --noise NOISE.jsonl --out LIKE_DEV --snr {snr}",
    ),
    (
        "dev_overfitting",
        "Take a larger or a fresh dev set: choices were fitted to this one",
        "speechbench split POOL.jsonl --out SPLIT --by speaker --fractions dev=.5,test=.5",
    ),
)


def advise(
    gaps: Mapping[str, Gap], verdict: tuple[str, ...], sizes: Mapping[str, tuple[str, int]], snr: str | None
) -> list[Advice]:
    """The advice, most useful first.

    Args:
        gaps: The gap table.
        verdict: The gaps to work on, largest first.
        sizes: For each set, what its interval was measured over and how many there are, for example ("speaker", 12).
        snr: The range of dev's SNRs, "LOW:HIGH" in dB, where known.
    """
    if verdict:
        return [_act(name, gaps[name], snr) for name in verdict]
    return [_decide(name, gap, sizes) for name, gap in sorted(gaps.items(), key=lambda item: -item[1].value)[:1]]


def _act(name: str, gap: Gap, snr: str | None) -> Advice:
    _, action, command = next(row for row in ACTIONS if row[0] in name)
    reason = f"{words_of(name)} is {points(gap.value)} points, from {PLAIN[gap.before]} to {PLAIN[gap.after]}: {gap.reason}"
    return Advice(action, reason, command.format(snr=snr or "-5:20"), gap.value, gap.low, gap.high)


def _decide(name: str, gap: Gap, sizes: Mapping[str, tuple[str, int]]) -> Advice:
    """What would decide the largest gap: an interval shrinks with the square root of the blocks it is measured over."""
    action, reason = "", f"{words_of(name)} is {points(gap.value)} points: {gap.reason}"
    command = "speechbench diagnose RUN --train M --train-dev M --dev M --test M --human 0.04 --out DIR"
    if gap.before == "":
        action = (
            "Find the human level: have careful listeners transcribe some of dev, and give the best one's error with --human"
        )
    elif gap.low is None or gap.high is None or gap.value <= 0:
        action = "Read errors one by one; the gaps give no direction"
        if gap.low is None:
            action += " (with errors/words instead of fractions they would get intervals)"
    elif gap.separable is None:
        action = f"Record more speakers: at least 5 in each of {_sets(gap, sizes)}"
    else:
        growth = ((gap.value - gap.low) / gap.value) ** 2
        kinds = [
            f"{math.ceil(sizes[s][1] * growth):,} {sizes[s][0]}s in {PLAIN[s]}" for s in (gap.before, gap.after) if s in sizes
        ]
        action = f"Measure on about {growth:.1f} times as much data: {' and '.join(kinds)} would decide a gap of this size"
        command = "speechbench prepare CORPUS --out DIR"
    return Advice(action, reason, command, None, gap.low, gap.high)


def _sets(gap: Gap, sizes: Mapping[str, tuple[str, int]]) -> str:
    return " and ".join(PLAIN[name] for name in (gap.before, gap.after) if name in sizes) or PLAIN[gap.after]
