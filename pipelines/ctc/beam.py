"""Prefix beam search: the likeliest texts of a network trained by CTC, by the sum over all their alignments.

The greedy text is that of the one likeliest alignment; a text with many fairly likely alignments may be likelier than it.

Source: Graves 2012 (chapter 7.5.3), Hannun et al. 2014.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

LEAST = 1e-3  # tokens less likely than this in a step are left out there: the texts of 1e-4, in half the time

# By prefix the probability of its alignments so far: of those that end in a blank, and of those that end in its last token.
Beam = dict[int, tuple[float, float]]


def prefix_beam(scores: NDArray[np.float32], width: int, least: float = LEAST) -> list[tuple[list[int], float]]:
    """The likeliest token sequences with their log-probabilities, the best first; of equals the one that was met first.

    Args:
        scores: Log-probabilities; token 0 is the blank.
        width: How many prefixes are kept after each step.
        least: Probability below which a token is left out of a step; with 0, and a width that drops nothing, sums are exact.

    Shape:
        scores: (T, V)
    """
    prefixes = _Prefixes()
    beam: Beam = {0: (1.0, 0.0)}
    log_scale = 0.0  # what the beam's probabilities were divided by, so that they do not vanish
    for step in np.exp(scores.astype(np.float64)):
        said = np.flatnonzero(step[1:] >= least) + 1
        beam = prefixes.extend(beam, float(step[0]), dict(zip(said.tolist(), step[said].tolist(), strict=True)))
        kept = sorted(beam.items(), key=lambda item: (-sum(item[1]), item[0]))[:width]
        scale = sum(kept[0][1])
        log_scale += math.log(scale)
        beam = {prefix: (blank / scale, token / scale) for prefix, (blank, token) in kept}
    return [(prefixes.tokens(prefix), math.log(sum(ends)) + log_scale) for prefix, ends in beam.items()]


class _Prefixes:
    """Token sequences by number, each told by the one before it and its last token; 0 is the empty one."""

    def __init__(self) -> None:
        self.links = [(0, 0)]
        self.numbers: dict[tuple[int, int], int] = {}

    def extend(self, beam: Beam, blank: float, said: Mapping[int, float]) -> Beam:
        """The beam one step later: each prefix stays as it is, or gets one of the tokens that may be said."""
        longer: Beam = {}
        for prefix, (after_blank, after_token) in beam.items():
            last, whole = self.links[prefix][1], after_blank + after_token
            # The last token again, without a blank between, is still the same one.
            _add(longer, prefix, whole * blank, after_token * said.get(last, 0.0))
            for token, probability in said.items():
                _add(longer, self._with(prefix, token), 0.0, probability * (after_blank if token == last else whole))
        return longer

    def tokens(self, prefix: int) -> list[int]:
        """The tokens of a prefix."""
        tokens: list[int] = []
        while prefix:
            prefix, token = self.links[prefix]
            tokens.append(token)
        return tokens[::-1]

    def _with(self, prefix: int, token: int) -> int:
        number = self.numbers.setdefault((prefix, token), len(self.links))
        if number == len(self.links):
            self.links.append((prefix, token))
        return number


def _add(beam: Beam, prefix: int, after_blank: float, after_token: float) -> None:
    if after_blank + after_token > 0:  # 0 where no alignment says it: a token twice takes a blank between
        blank, token = beam.get(prefix, (0.0, 0.0))
        beam[prefix] = (blank + after_blank, token + after_token)
