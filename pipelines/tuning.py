"""The weights of acoustic scores and of their priors against the language model, chosen on dev.

Dividing by priors turns what a network tells, p(state | sound), into what the search wants, p(sound | state) (Bourlard and
Morgan 1994); for CTC it takes from the blank the advantage that deletes words (Miao et al. 2015).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.graph import BestPath, Graph
from speechbench.progress import track
from speechbench.score import Counts, align, count

MOST_UTTERANCES = 100  # of dev, drawn at random, which are enough for a choice among a few weights


def search(graph: Graph, scores: NDArray[np.float32], beam: float) -> BestPath | None:
    """The best path; searched wider where a narrow beam loses every path that ends."""
    return graph.decode(scores, beam) or graph.decode(scores, 3 * beam)


@dataclass(frozen=True)
class Weights:
    """How acoustic scores enter the search: `acoustic_scale` (scores - `prior_weight` log priors)."""

    acoustic_scale: float
    prior_weight: float

    def apply(self, scores: NDArray[np.float32], log_priors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Weighted scores, (T, S) and (S,) -> (T, S)."""
        weighted: NDArray[np.float32] = np.float32(self.acoustic_scale) * (scores - np.float32(self.prior_weight) * log_priors)
        return weighted


def tune_weights(
    graph: Graph,
    dev: Sequence[tuple[list[str], NDArray[np.float32]]],
    log_priors: NDArray[np.float32],
    candidates: Sequence[Weights],
    beam: float,
) -> tuple[Weights, list[dict[str, Any]]]:
    """The weights with the fewest word errors on dev; of equals, those that stand first.

    Args:
        graph: To decode with.
        dev: Reference words and log-posteriors (T, S) of each utterance.
        log_priors: Of the columns, (S,).
        candidates: To try, the likeliest first.
        beam: Of the search.

    Returns:
        The weights, and a row for each look at dev.
    """
    looks: list[dict[str, Any]] = []
    for weights in track(candidates, "tune decoding on dev"):
        total = Counts()
        for words, scores in dev:
            path = search(graph, weights.apply(scores, log_priors), beam)
            total += count(align(words, path.words if path else []))
        looks.append({**asdict(weights), "dev_wer": total.rate, "dev_errors": total.errors, "dev_words": total.words})
    best = min(range(len(looks)), key=lambda index: looks[index]["dev_errors"])
    return candidates[best], looks
