"""Which parts of a set are weak: worse than the rest by more than chance, though many were looked at.

A part must stand out by every way of cutting the set into blocks, each of which misleads alone: by its words, by its
utterances, by speakers and by noise sources. One speaker is weak only when he errs more than speakers usually differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from speechbench.diagnostics.bootstrap import FEWEST_BLOCKS, Array
from speechbench.diagnostics.scored import by_source, by_speaker, noise_source
from speechbench.manifest import Utterance

Index = NDArray[np.intp]
Mask = NDArray[np.bool_]

LEVEL = 0.05  # the chance of calling any part weak where none is


@dataclass(frozen=True)
class Excess:
    """By how much a part errs more than the rest of its set."""

    value: float  # difference of the rates
    half_width: float  # of its 95 % interval; infinite where one utterance stands against the rest
    p_value: float  # of no difference against worse, not corrected


@dataclass(frozen=True)
class Cuts:
    """A set's counts by utterance, and the blocks that an utterance is in by each way of cutting.

    Shape:
        errors, words, each way: (B,)
    """

    errors: Array
    words: Array
    ways: tuple[Index, ...]  # the utterances themselves first

    @classmethod
    def of(cls, utterances: Sequence[Utterance], errors: Array, words: Array) -> Cuts:
        """By utterance, by speaker, and by noise source where there are enough."""
        ways = [np.arange(len(utterances), dtype=np.intp)]
        if any(u.speaker for u in utterances):
            ways.append(_number([by_speaker(u) for u in utterances]))
        if len({noise_source(u) for u in utterances}) >= FEWEST_BLOCKS:
            ways.append(_number([by_source(u) for u in utterances]))
        return cls(errors, words, tuple(ways))

    def excess(self, part: Mask) -> Excess:
        """How much more the utterances of a part err than the rest."""
        inside, outside = (_rate(self.errors[mask], self.words[mask]) for mask in (part, ~part))
        value, words = inside - outside, float(self.words.sum())
        total = int(self.errors.sum())
        by_word = float(stats.binom.sf(self.errors[part].sum() - 1, total, self.words[part].sum() / words)) if total else 1.0
        p_values, half_widths = [by_word], [0.0]
        for number, way in enumerate(self.ways):
            if number and _is_nested(way, part):
                p_values.append(self._against_usual(way, part))
                continue
            if number and way.max() + 1 < FEWEST_BLOCKS:
                continue  # what is said of a set of so few speakers is said of these alone
            error, freedom = self._standard_error(way, part, inside, outside)
            p_values.append(float(stats.t.sf(value / error, freedom)) if freedom and error else 1.0)
            half_widths.append(float(stats.t.ppf(0.975, freedom)) * error if freedom else float("inf"))
        return Excess(value, max(half_widths), max(p_values))

    def _standard_error(self, way: Index, part: Mask, inside: float, outside: float) -> tuple[float, int]:
        """Of the difference of the rates, over blocks; its degrees of freedom, by the side that has fewer blocks.

        Source: the linearised ratio of Cochran 1977, "Sampling Techniques", section 6.4.
        """
        deviation = np.where(
            part,
            (self.errors - inside * self.words) / self.words[part].sum(),
            (outside * self.words - self.errors) / self.words[~part].sum(),
        )
        sums = np.bincount(way, deviation)
        sides = [np.unique(way[mask]).size for mask in (part, ~part)]
        return float(np.sqrt(len(sums) / max(1, len(sums) - 1) * np.square(sums).sum())), min(sides) - 1

    def _against_usual(self, way: Index, part: Mask) -> float:
        """The chance of such blocks where all blocks are alike: Student's t for two samples, of the logarithm of the rate.

        Of a single block it is the chance that the next one would err so much.
        """
        errors, words = np.bincount(way, self.errors), np.bincount(way, self.words)
        inside = np.bincount(way, part) > 0
        if len(inside) < FEWEST_BLOCKS:
            return 1.0
        logs = np.log((errors + 0.5) / (words + 1.0))
        groups = [logs[mask] for mask in (inside, ~inside)]
        freedom = len(logs) - 2
        spread = np.sqrt(sum(np.square(group - group.mean()).sum() for group in groups) / freedom)
        error = spread * np.sqrt(sum(1 / len(group) for group in groups))
        return float(stats.t.sf((groups[0].mean() - groups[1].mean()) / error, freedom)) if error else 1.0


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for many looks, so that at `LEVEL` any false one is as rare as for one look alone.

    Source: Holm 1979, "A Simple Sequentially Rejective Multiple Test Procedure". It needs no independence, which slices of
    the same utterances do not have.
    """
    order = np.argsort(p_values)
    raised = np.asarray(p_values)[order] * np.arange(len(order), 0, -1)
    corrected = np.empty(len(order))
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(raised))
    return [float(value) for value in corrected]


def _number(labels: Sequence[str]) -> Index:
    return np.unique(np.asarray(labels), return_inverse=True)[1].astype(np.intp)


def _rate(errors: Array, words: Array) -> float:
    return float(errors.sum() / words.sum())


def _is_nested(way: Index, part: Mask) -> bool:
    """Whether each block lies wholly in the part or wholly outside."""
    inside = np.bincount(way, part)
    return bool(np.all((inside == 0) | (inside == np.bincount(way))))
