"""The weights of acoustic scores, of their priors and of words against the language model, chosen on dev.

Dividing by priors turns what a network tells, p(state | sound), into what the search wants, p(sound | state) (Bourlard and
Morgan 1994); for CTC it takes from the blank the advantage that deletes words (Miao et al. 2015).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipelines.searching import graphs, opened, processes_for, search
from speechbench.jobs import workers
from speechbench.progress import say
from speechbench.score import Counts, align, count

if TYPE_CHECKING:  # a machine without the graph's packages trains with the candidates' names alone
    from pipelines.graph import BestPath, Graph

MOST_UTTERANCES = 100  # of dev, drawn at random, which are enough for a choice among a few weights

Scores = NDArray[np.float32]  # (T, S)


@dataclass(frozen=True)
class Weights:
    """How acoustic scores and words enter the search: `acoustic_scale` (scores - `prior_weight` log priors)."""

    acoustic_scale: float
    prior_weight: float
    word_cost: float = 0.0  # of each word, in log-likelihood; a reward below 0

    def apply(self, scores: NDArray[np.float32], log_priors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Weighted scores, (T, S) and (S,) -> (T, S)."""
        weighted: NDArray[np.float32] = np.float32(self.acoustic_scale) * (scores - np.float32(self.prior_weight) * log_priors)
        return weighted


@dataclass(frozen=True)
class Candidates:
    """The values of each weight to try, the likeliest first."""

    acoustic_scale: tuple[float, ...]
    prior_weight: tuple[float, ...]
    word_cost: tuple[float, ...]

    @property
    def first(self) -> Weights:
        """Where the search for weights starts."""
        return Weights(self.acoustic_scale[0], self.prior_weight[0], self.word_cost[0])

    def one(self) -> Candidates:
        """The first of each alone: a single look."""
        return Candidates(self.acoustic_scale[:1], self.prior_weight[:1], self.word_cost[:1])

    @property
    def looks(self) -> int:
        """How often dev is looked at."""
        return 1 + sum(len(getattr(self, field.name)) - 1 for field in fields(self))

    def around(self, weights: Weights, name: str) -> Iterator[Weights]:
        """The weights with another value of one of them."""
        return (replace(weights, **{name: value}) for value in getattr(self, name) if value != getattr(weights, name))


@dataclass(frozen=True)
class Tuned:
    """What was chosen on dev."""

    weights: Weights
    looks: list[dict[str, Any]]  # a row for each look at dev
    paths: list[BestPath | None]  # what is heard of each utterance with these weights


def _find(
    graph: Graph | Path, weights: Weights, log_priors: NDArray[np.float32], beam: float, scores: Scores
) -> BestPath | None:
    """Search in a graph, or in the file of one that another process wrote."""
    return search(opened(graph), weights.apply(scores, log_priors), beam)


def tune_weights(
    graph: Graph,
    dev: Sequence[tuple[list[str], NDArray[np.float32]]],
    log_priors: NDArray[np.float32],
    candidates: Candidates,
    beam: float,
    most: int = 1,
) -> Tuned:
    """The weights with the fewest word errors on dev, one weight after the other; of equals, those that were tried first.

    Args:
        graph: To decode with.
        dev: Reference words and log-posteriors (T, S) of each utterance.
        log_priors: Of the columns, (S,).
        candidates: To try.
        beam: Of the search.
        most: Processes that search side by side, each with the graph in its memory; fewer where there is little to do.
    """
    looks: list[dict[str, Any]] = []
    processes = processes_for(sum(len(scores) for _, scores in dev) * candidates.looks, most)

    def look_with(weights: Weights) -> tuple[int, list[BestPath | None]]:
        find = partial(_find, graph_with(weights.word_cost), weights, log_priors, beam)
        paths = list(run(find, (scores for _, scores in dev), processes))
        counts = (count(align(words, path.words if path else [])) for (words, _), path in zip(dev, paths, strict=True))
        total = sum(counts, Counts())
        looks.append({**asdict(weights), "dev_wer": total.rate, "dev_errors": total.errors, "dev_words": total.words})
        say(f"decoding of dev, look {len(looks)} of {candidates.looks}: WER {100 * total.rate:.2f} % with {weights}")
        return total.errors, paths

    with workers(processes, "pipelines.graph") as run, graphs(graph, processes) as graph_with:
        best = candidates.first
        fewest, heard = look_with(best)
        for field in fields(candidates):
            for weights in candidates.around(best, field.name):
                errors, paths = look_with(weights)
                if errors < fewest:
                    best, fewest, heard = weights, errors, paths
    return Tuned(best, looks, heard)
