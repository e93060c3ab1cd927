"""How much of an error rate is the transcripts' fault, from those that a person has checked, and whether to mend them.

The set has three parts: the suspects, other errors, right answers. Each is estimated from what was checked in it, and the sums
are added (a stratified estimate): the suspects, which were not drawn at random, speak for themselves alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from speechbench.diagnostics.bootstrap import RESAMPLES, Array
from speechbench.diagnostics.labels_sheet import PARTS, RIGHT, Checks
from speechbench.diagnostics.patch import cost
from speechbench.diagnostics.scored import ScoredSet
from speechbench.seeds import generator_of

WORTH_FIXING = 0.2  # of the error: our line between Ng's two cases, 0.6 of 10 (6 %: leave) and 0.6 of 2 (30 %: fix)
UNSEEN = 1.0  # errors that a wrong transcript is taken to cause, or hide, where none was found to show how many


@dataclass(frozen=True)
class Part:
    """One part of a set: its transcripts, those checked, and the errors that each wrong one causes (or hides).

    Shape:
        costs: (K,), K wrong transcripts.
    """

    size: int
    checked: int
    costs: Array

    @property
    def found(self) -> float:
        """Errors of the wrong transcripts that were found."""
        return float(self.costs.sum())

    @property
    def value(self) -> float:
        """Errors of all its wrong transcripts, found or not."""
        return self.found * self.size / self.checked if self.checked else 0.0

    def draw(self, rng: np.random.Generator) -> Array:
        """What the errors may be: those found, and those of the unchecked ones by the posterior of Jeffreys' prior.

        Shape:
            (R,)
        """
        wrong = len(self.costs)
        chances = rng.beta(wrong + 0.5, self.checked - wrong + 0.5, RESAMPLES)
        more = rng.binomial(self.size - self.checked, chances)
        known = self.costs if wrong else np.array([UNSEEN])
        means = known[rng.integers(len(known), size=(RESAMPLES, len(known)))].mean(axis=1)
        draws: Array = self.found + more * means
        return draws


def estimate_labels(checks: Checks, scored: ScoredSet, seed: int = 0) -> dict[str, Any]:
    """Estimate what wrong transcripts do to an error rate.

    Args:
        checks: What a person has checked.
        scored: The set with what the recogniser heard.
        seed: Of the draws.

    Returns:
        `checked`, `wrong` (numbers of transcripts); `parts` (by part: `size`, `checked`, `wrong`); `rate`; `caused` (by wrong
        transcripts) and `hidden` (errors that count as right, for the transcript is wrong in the same way), each with `value`,
        `low`, `high` as error rates; `unchecked` (the part of `caused` that no correction has found); `verdict` ("fix",
        "leave" or "undecided") and its `sentence`; `notes`.
    """
    patch = checks.patch(scored)
    costs = cost(scored, patch) if patch else {}
    total = scored.score.total
    caused, hidden = (_by_part(checks, costs, sign) for sign in (1, -1))
    checked = {name: [one.id for one in checks.checked if one.part == name] for name in caused}
    figures = {name: _sum(parts, total.words, name, seed) for name, parts in (("caused", caused), ("hidden", hidden))}
    low, high = figures["caused"]["low"], figures["caused"]["high"]
    verdict, sentence = fix_or_leave(total.rate, figures["caused"]["value"], low, high)
    return {
        "checked": len(checks.checked),
        "wrong": len(costs),
        "parts": {
            name: {"size": checks.sizes[name], "checked": len(ids), "wrong": sum(key in costs for key in ids)}
            for name, ids in checked.items()
        },
        "rate": total.rate,
        **figures,
        "unchecked": figures["caused"]["value"] - sum(part.found for part in caused.values()) / total.words,
        "verdict": verdict,
        "sentence": sentence,
        "notes": _notes(caused),
    }


def _by_part(checks: Checks, costs: Mapping[str, int], sign: int) -> dict[str, Part]:
    """The parts with the costs of one sign; a right answer cannot have cost errors, so there is nothing to draw."""
    parts = {}
    for name in (name for name in PARTS if name in checks.sizes):
        ids = [one.id for one in checks.checked if one.part == name]
        found: Sequence[int] = [sign * costs[key] for key in ids if sign * costs.get(key, 0) > 0]
        size = len(ids) if (name == RIGHT) == (sign > 0) else checks.sizes[name]
        parts[name] = Part(size, len(ids), np.array(found, dtype=np.float64))
    return parts


def _sum(parts: Mapping[str, Part], words: int, name: str, seed: int) -> dict[str, float]:
    value = sum(part.value for part in parts.values())
    draws = sum(part.draw(generator_of(seed, "labels", name, key)) for key, part in parts.items())
    low, high = np.percentile(draws, [2.5, 97.5])
    return {"value": value / words, "low": min(float(low), value) / words, "high": max(float(high), value) / words}


def fix_or_leave(rate: float, labels: float, low: float | None = None, high: float | None = None) -> tuple[str, str]:
    """Whether mending the transcripts is worth while, and why.

    Args:
        rate: The error rate.
        labels: How much of it wrong transcripts cause.
        low: The end of its interval; both default to `labels`.
        high: The other end.

    Returns:
        "fix", "leave" or "undecided", and a sentence.
    """
    low, high = labels if low is None else low, labels if high is None else high
    line = WORTH_FIXING * rate
    share = labels / rate if rate else 0.0
    said = f"Wrong transcripts cause {100 * labels:.2f} of {100 * rate:.2f} points, {100 * share:.0f} %"
    if low >= line and labels > 0:
        return "fix", f"{said}: fix them, in dev and test alike."
    if high < line or rate == 0:
        return "leave", f"{said}: leave them; other causes have {100 * (rate - labels):.2f} points."
    return "undecided", f"{said}, but it may be {100 * low:.2f} to {100 * high:.2f} points: check more transcripts."


def _notes(parts: Mapping[str, Part]) -> list[str]:
    bare = [name for name, part in parts.items() if not part.checked]
    notes = [f"None was checked of: {', '.join(bare)}. Check some, or wrong ones among them stay unknown."] if bare else []
    return [*notes, "Treat dev and test alike: check and correct both by the same rule."]
