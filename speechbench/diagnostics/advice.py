"""What to do next: an action for each gap and each weak slice; or how much more data would decide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from speechbench.diagnostics.bootstrap import FEWEST_BLOCKS
from speechbench.diagnostics.gaps import Gap
from speechbench.diagnostics.needed import Size, more_needed, write_needed
from speechbench.diagnostics.verdict import PLAIN, Verdict, points, words_of


@dataclass(frozen=True)
class Advice:
    """An action, why, what it could gain at most, and the command that does it: what every section hands in."""

    cause: str | None  # its code: the gap, step, stage or slice that it mends; None where it gains knowledge only
    action: str
    reason: str
    command: str
    ceiling: float | None  # of what it could gain, as a fraction of words; None where it gains knowledge only
    low: float | None  # of the ceiling's interval
    high: float | None
    section: str = "gaps"  # that it comes from


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
SYNTH = "speechbench synth --speech TRAIN.jsonl --noise NOISE.jsonl --out MORE"
TRAIN = "speechbench train --mode MODE --train TRAIN.jsonl --dev DEV.jsonl --out RUN2"

# By slice, what to do about a weak part of it.
REMEDIES: Mapping[str, tuple[str, str]] = {
    "speaker": (
        "Listen to speaker {part} (microphone, level, accent, transcripts) and get training speech like it",
        "speechbench check DEV.jsonl",
    ),
    "accent": ("Get training speech of the accent {part}", "speechbench prepare CORPUS --out DIR"),
    "condition": ("Mix the training speech with more noise of the condition {part}", SYNTH),
    "snr": ("Mix more training speech at an SNR of {part}", SYNTH + " --snr LOW:HIGH"),
    "length": ("Get training speech of {part}, or join utterances to that length", TRAIN),
    "speech rate": ("Get training speech at {part}, or change its speed", TRAIN),
    "rarest word": ("Add sentences and pronunciations for utterances with {part}", TRAIN + " --set language_model.text=TEXT"),
    "order": ("Find out what differs in the {part} of the recordings", "speechbench check DEV.jsonl"),
}


def advise_on_gaps(gaps: Mapping[str, Gap], verdict: Verdict, sizes: Mapping[str, Size], snr: str | None) -> list[Advice]:
    """An action for each gap of the verdict; without one, what would decide the largest gap.

    Args:
        gaps: The gap table.
        verdict: What was made of it.
        sizes: Of each set.
        snr: The range of dev's SNRs, "LOW:HIGH" in dB, where known.
    """
    if verdict.names:
        return [_act(name, gaps[name], snr) for name in verdict.names]
    if verdict.at_human_level:
        command = "speechbench diagnose RUN --test TEST.jsonl --human HUMAN --out DIR"
        return [
            Advice(
                None, "Nothing for the errors at hand; confirm it on a test set", verdict.sentence, command, None, None, None
            )
        ]
    return [_decide(name, gap, sizes) for name, gap in sorted(gaps.items(), key=lambda item: -item[1].value)[:1]]


def advise_on_slices(weak: Sequence[Mapping[str, Any]]) -> list[Advice]:
    """An action for the costliest weak part of each slice.

    Args:
        weak: What `slices.weak_parts` found.
    """
    first = {row["slice"]: row for row in reversed(weak)}
    return [
        Advice(
            name.replace(" ", "_"),
            REMEDIES[name][0].format(part=row["name"]),
            f"{100 * row['rate']:.1f} % errors there, {100 * row['share']:.0f} % of all; if it erred no more than the rest, "
            f"the set would have {points(row['ceiling'])} points less",
            REMEDIES[name][1],
            row["ceiling"],
            row["low"],
            row["high"],
            "slices",
        )
        for name, row in first.items()
    ]


def _act(name: str, gap: Gap, snr: str | None) -> Advice:
    _, action, command = next(row for row in ACTIONS if row[0] in name)
    reason = f"{words_of(name)} is {points(gap.value)} points, from {PLAIN[gap.before]} to {PLAIN[gap.after]}: {gap.reason}"
    return Advice(name, action, reason, command.format(snr=snr or "-5:20"), gap.value, gap.low, gap.high)


def _decide(name: str, gap: Gap, sizes: Mapping[str, Size]) -> Advice:
    """What would decide the largest gap."""
    reason = f"{words_of(name)} is {points(gap.value)} points: {gap.reason}"
    command = "speechbench diagnose RUN --train M --train-dev M --dev M --test M --human 0.04 --out DIR"
    needed = write_needed(more_needed(gap, sizes), PLAIN)
    if gap.before == "":
        action = (
            "Find the human level: have careful listeners transcribe some of dev, and give the best one's error with --human"
        )
    elif needed:
        action = (
            f"Collect at least {needed}: fewer than {FEWEST_BLOCKS} show no spread"
            if gap.separable is None
            else f"Collect more: {needed} would decide, if the gap is as large as it looks"
        )
        command = "speechbench prepare CORPUS --out DIR"
    else:
        action = "Read errors one by one; the gaps give no direction"
        if gap.low is None:
            action += " (with errors/words instead of fractions they would get intervals)"
    return Advice(None, action, reason, command, None, gap.low, gap.high)
