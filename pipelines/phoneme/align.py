"""Forced alignment of a corpus: the HMM state of each frame, along the best pronunciation of each known sentence."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from pipelines.graph import Aligner, Graph, Topology
from speechbench.lexicon import Lexicon

Alignment = NDArray[np.int64]  # (T,), HMM states

ACOUSTIC_SCALE = 0.1  # frames overlap and depend on each other: at full weight each word's choice would be far too sure
BEAM = 20.0
NO_LIMIT = 2**31 - 1  # on states: the ends of a long sentence would be given up while all paths look alike


class Corpus:
    """Training utterances with their features and sentence graphs."""

    def __init__(self, topology: Topology, lexicon: Lexicon) -> None:
        self.topology, self.lexicon = topology, lexicon
        self.aligner, self.states = Aligner(topology, lexicon), topology.columns
        first = topology.units.index(topology.separator) * topology.states
        self.silent = list(range(first, first + topology.states))  # the states of silence
        self.ids: list[str] = []
        self.features: list[Tensor] = []  # to train on
        self.plain: list[Tensor] = []  # to align: of the clean twin, where there is one
        self.graphs: list[Graph] = []

    def add(self, utterance_id: str, features: Tensor, plain: Tensor, words: list[str]) -> bool:
        """Take one utterance; False where its text cannot fit into its frames.

        Args:
            utterance_id: For messages.
            features: Of its audio, (T, F).
            plain: Of the same speech without noise, (T, F), or `features` again.
            words: Of its text.
        """
        shortest = sum(min(map(len, self.lexicon[word])) for word in words) * self.topology.states
        if len(features) < shortest:  # each state takes a frame
            return False
        self.ids.append(utterance_id)
        self.features.append(features)
        self.plain.append(plain)
        self.graphs.append(self.aligner.graph(words))
        return True

    def align(self, score: Callable[[Tensor], Tensor]) -> list[Alignment]:
        """Align all utterances.

        Args:
            score: Features (T, F) to log-likelihoods (T, S).
        """
        return [
            align_one(graph, (ACOUSTIC_SCALE * score(features)).numpy())
            for features, graph in zip(self.plain, self.graphs, strict=True)
        ]


def align_one(graph: Graph, scores: NDArray[np.float32]) -> Alignment:
    """The best path through a sentence's graph, searched narrowly, then as widely as needed."""
    path = graph.decode(scores, BEAM) or graph.decode(scores, 10 * BEAM) or graph.decode(scores, math.inf, NO_LIMIT)
    assert path is not None, "there are frames for each state and the search is open"
    return path.columns


def flat_start(corpus: Corpus, energies: list[Tensor]) -> list[Alignment]:
    """A first alignment before anything is known: silence where it is quiet, the phonemes spread evenly over the rest.

    Args:
        corpus: The utterances.
        energies: Log energy of each frame, (T,) per utterance.
    """
    alignments = []
    for graph, energy in zip(corpus.graphs, energies, strict=True):
        quiet = _quiet(energy.numpy())
        scores = np.where(quiet, -1.0, 0.0).astype(np.float32)[:, None].repeat(corpus.states, axis=1)
        scores[:, corpus.silent] = np.where(quiet, 0.0, -1.0)[:, None]
        alignments.append(_spread(align_one(graph, scores), corpus.silent))
    return alignments


def _quiet(energy: NDArray[np.float32]) -> NDArray[np.bool_]:
    low, high = np.percentile(energy, [5, 95])
    return np.asarray(energy < low + 0.4 * (high - low))


def _spread(path: Alignment, silent: list[int]) -> Alignment:
    """The path with the frames of each stretch between silences shared evenly by its states."""
    result, start = path.copy(), 0
    is_silent = np.isin(path, silent)
    for end in [*np.flatnonzero(np.diff(is_silent)) + 1, len(path)]:
        order = path[start:end][np.concatenate([[True], np.diff(path[start:end]) != 0])]
        result[start:end] = order[np.arange(end - start) * len(order) // (end - start)]
        start = end
    return result
