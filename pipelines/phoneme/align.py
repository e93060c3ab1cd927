"""Forced alignment of a corpus: the column of each frame, along the best pronunciation of each known sentence."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipelines.graph import Aligner, BestPath, Graph, Topology, units_on
from pipelines.phoneme.corpus import Frames, Spoken
from speechbench.lexicon import Lexicon

Alignment = NDArray[np.int64]  # (T,), columns

ACOUSTIC_SCALE = 0.1  # frames overlap and depend on each other: at full weight each word's choice would be far too sure
BEAM = 20.0
NO_LIMIT = 2**31 - 1  # on states: the ends of a long sentence would be given up while all paths look alike
MOST_GRAPHS = 5000  # that are kept for the next alignment: some 100 MB


class Sentences:
    """The graphs of a corpus' sentences under a topology."""

    def __init__(self, topology: Topology, lexicon: Lexicon, spoken: Sequence[Spoken]) -> None:
        self.topology, self.lexicon, self.spoken = topology, lexicon, spoken
        self._aligner = Aligner(topology, lexicon)
        self._graphs: dict[int, Graph] = {}

    def graph(self, number: int) -> Graph:
        """The graph of one utterance's sentence."""
        found = self._graphs.get(number)
        if found is None:
            found = self._aligner.graph(self.spoken[number].words)
            if number < MOST_GRAPHS:
                self._graphs[number] = found
        return found

    def some(self, numbers: Sequence[int]) -> Sentences:
        """The sentences of some utterances alone."""
        return Sentences(self.topology, self.lexicon, [self.spoken[number] for number in numbers])

    def align(self, frames: Frames, score: Callable[[Tensor, Tensor], Tensor]) -> Alignment:
        """Align all utterances, several at a time: the search leaves Python's lock alone.

        Args:
            frames: The corpus' features.
            score: Features (T, F) and the columns of a sentence (C,) to log-likelihoods (T, C).

        Returns:
            The columns of the whole corpus' frames.
        """

        def align(number: int) -> Alignment:
            graph, values = self.graph(number), frames[number]
            scores = np.zeros((len(values), self.topology.columns), dtype=np.float32)
            scores[:, graph.columns] = ACOUSTIC_SCALE * score(values, torch.from_numpy(graph.columns)).numpy()
            return align_one(graph, scores)

        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            return np.concatenate(list(pool.map(align, range(len(frames)))))


def follow(graph: Graph, scores: NDArray[np.float32]) -> BestPath | None:
    """The best path through a sentence's graph, searched narrowly, then as widely as needed; None with too few frames."""
    return graph.decode(scores, BEAM) or graph.decode(scores, 10 * BEAM) or graph.decode(scores, math.inf, NO_LIMIT)


def align_one(graph: Graph, scores: NDArray[np.float32]) -> Alignment:
    """The columns on the best path through a sentence's graph, which must fit into the frames."""
    path = follow(graph, scores)
    assert path is not None, "there are frames for each state and the search is open"
    return path.columns


def retied(alignment: Alignment, old: Topology, new: Topology) -> Alignment:
    """One utterance's alignment in the columns of another tree over the same units."""
    numbers = {unit: number for number, unit in enumerate(old.units)}
    path = [(numbers[unit], start, end) for unit, start, end in units_on(alignment, old)]
    around = [-1, *(unit for unit, _, _ in path), -1]
    result = np.empty_like(alignment)
    for place, (unit, start, end) in enumerate(path):
        columns = new.chain(around[place], unit, around[place + 2])
        result[start:end] = [columns[old.state_of(column)[1]] for column in alignment[start:end]]
    return result


def flat_start(graph: Graph, topology: Topology, energy: NDArray[np.float32]) -> Alignment:
    """A first alignment before anything is known: silence where it is quiet, the phonemes spread evenly over the rest.

    Args:
        graph: Of the sentence.
        topology: Without a tree.
        energy: The logarithm of each frame's, (T,).
    """
    first = topology.units.index(topology.separator) * topology.states
    silent = list(range(first, first + topology.states))  # the states of silence
    quiet = _quiet(energy)
    scores = np.where(quiet, -1.0, 0.0).astype(np.float32)[:, None].repeat(topology.columns, axis=1)
    scores[:, silent] = np.where(quiet, 0.0, -1.0)[:, None]
    return _spread(align_one(graph, scores), silent)


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
