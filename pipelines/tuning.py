"""The weight of acoustic scores against the language model, chosen on dev."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.graph import BestPath, Graph
from speechbench.score import Counts, align, count

MOST_UTTERANCES = 150  # of dev, which are enough for a choice among a few scales


def search(graph: Graph, scores: NDArray[np.float32], beam: float) -> BestPath | None:
    """The best path; searched wider where a narrow beam loses every path that ends."""
    return graph.decode(scores, beam) or graph.decode(scores, 3 * beam)


def tune_scale(
    graph: Graph, dev: Sequence[tuple[list[str], NDArray[np.float32]]], scales: Sequence[float], beam: float
) -> tuple[float, list[dict[str, Any]]]:
    """The acoustic scale with the fewest word errors on dev; of equals, the one that stands first.

    Args:
        graph: To decode with.
        dev: Reference words and acoustic scores (T, S) of each utterance.
        scales: To try, the likeliest first.
        beam: Of the search.

    Returns:
        The scale, and a row for each look at dev.
    """
    looks = []
    for scale in scales:
        total = Counts()
        for words, scores in dev[:MOST_UTTERANCES]:
            path = search(graph, scale * scores, beam)
            total += count(align(words, path.words if path else []))
        looks.append({"acoustic_scale": scale, "dev_wer": total.rate, "dev_errors": total.errors, "dev_words": total.words})
    best = min(looks, key=lambda look: look["dev_errors"])
    return float(best["acoustic_scale"]), looks
