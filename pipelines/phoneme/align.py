"""Forced alignment of a corpus: the column of each frame, along the best pronunciation of each known sentence."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache, partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipelines.ahead import side_by_side
from pipelines.frames import Frames
from pipelines.graph import Aligner, BestPath, Graph, Topology, pieces_of
from pipelines.phoneme.trellis import Trellis, Trellises, best_paths, groups
from speechbench.lexicon import Lexicon, Pronunciation

Alignment = NDArray[np.int64]  # (T,), columns
Score = Callable[[Tensor, Tensor], Tensor]  # features (T, F) and some columns (C,) to log-likelihoods (T, C)
Scores = Callable[[int, NDArray[np.int64]], NDArray[np.float32]]  # the number of an utterance and some columns to the same

CLICK, PAUSE = 5, 15  # frames; what is loud for less is no speech, what is quiet for less between words no pause
MARGIN = 30  # frames of silence before and behind what is said that are trained on
ACOUSTIC_SCALE = 0.1  # of a search that gives paths up: frames overlap and depend on each other
BEAM = 20.0
NO_LIMIT = 2**31 - 1  # on states: the ends of a long sentence would be given up while all paths look alike
MOST_KEPT = 5000  # sentences that are kept for the next alignment: some 100 MB
MOST_CELLS = 64_000_000  # states times frames of an utterance that is aligned as a whole, which takes 256 MB


class Sentences:
    """What can be said for a corpus' sentences under a topology."""

    def __init__(self, topology: Topology, lexicon: Lexicon, texts: Sequence[Sequence[str]]) -> None:
        self.topology, self.lexicon, self.texts = topology, lexicon, texts
        self._make = Trellises(topology, lexicon)
        self._kept: dict[int, Trellis] = {}
        self._aligner = cache(partial(Aligner, topology, lexicon))

    def some(self, numbers: Sequence[int]) -> Sentences:
        """The sentences of some utterances alone."""
        found = Sentences(self.topology, self.lexicon, [self.texts[number] for number in numbers])
        found._kept = dict(enumerate(map(self.trellis, numbers)))
        return found

    def trellis(self, number: int) -> Trellis:
        """What can be said for one utterance."""
        found = self._kept.get(number)
        if found is None:
            found = self._make.of(self.texts[number])
            if number < MOST_KEPT:
                self._kept[number] = found
        return found

    def align(self, frames: Frames, score: Score) -> Alignment:
        """The columns of all frames, on the best path through each sentence."""

        def scores(number: int, columns: NDArray[np.int64]) -> NDArray[np.float32]:
            return score(frames[number], torch.from_numpy(columns)).numpy()

        return np.concatenate(self.paths(frames.lengths, scores))

    def paths(self, lengths: Sequence[int], scores: Scores) -> list[Alignment]:
        """The best path through each sentence, several groups of them at a time: the search leaves Python's lock alone.

        Args:
            lengths: Of the utterances, in frames.
            scores: Gives an utterance's log-likelihoods in some columns.
        """
        sizes = [self.trellis(number).places.size for number in range(len(lengths))]

        def align(group: list[int]) -> list[Alignment]:
            number = group[-1]
            if sizes[number] * lengths[number] > MOST_CELLS:  # more than a group has: it is alone
                return [self._follow(number, scores, lengths[number])]
            trellises = [self.trellis(number) for number in group]
            values = (scores(number, trellis.columns) for number, trellis in zip(group, trellises, strict=True))
            return best_paths(trellises, values, [lengths[number] for number in group])

        found: dict[int, Alignment] = {}
        every = list(groups(sizes, lengths))
        with side_by_side() as pool:
            for group, paths in zip(every, pool.map(align, every), strict=True):
                found.update(zip(group, paths, strict=True))
        return [found[number] for number in range(len(lengths))]

    def _follow(self, number: int, scores: Scores, length: int) -> Alignment:
        """The path that a search finds which gives others up: for an utterance that is too long for all of its states."""
        columns = self.trellis(number).columns
        values = np.zeros((length, self.topology.columns), dtype=np.float32)
        values[:, columns] = ACOUSTIC_SCALE * scores(number, columns)
        path = follow(self._aligner().graph(self.texts[number]), values)
        assert path is not None, "there are frames for each state and the search is open"
        return path.columns


def follow(graph: Graph, scores: NDArray[np.float32]) -> BestPath | None:
    """The best path through a sentence's graph, searched narrowly, then as widely as needed; None with too few frames."""
    return graph.decode(scores, BEAM) or graph.decode(scores, 10 * BEAM) or graph.decode(scores, math.inf, NO_LIMIT)


def retied(alignment: Alignment, old: Topology, new: Topology) -> Alignment:
    """One utterance's alignment in the columns of another tree over the same units."""
    units, starts = pieces_of(alignment, old)
    around = [-1, *units.tolist(), -1]
    chains = [new.chain(*around[place : place + 3]) for place in range(len(units))]
    pieces = np.repeat(np.arange(len(units)), np.diff(starts, append=len(alignment)))
    states = old.owners[alignment, 1]
    return np.asarray(np.array(chains, dtype=np.int64)[pieces, states])


def with_margins(path: Alignment, silent: NDArray[np.int64]) -> slice:
    """The frames of what is said and `MARGIN` before and behind it; all where nothing is.

    Args:
        path: An utterance's.
        silent: The columns of silence.
    """
    sounds = np.flatnonzero(~np.isin(path, silent))
    if not len(sounds):
        return slice(0, len(path))
    return slice(max(0, int(sounds[0]) - MARGIN), min(len(path), int(sounds[-1]) + 1 + MARGIN))


def flat_start(words: Sequence[str], lexicon: Lexicon, topology: Topology, energy: NDArray[np.float32]) -> Alignment:
    """A first alignment before anything is known: silence where it is quiet, the phonemes spread evenly over the rest.

    A pause lies between the words of which the same share has been said as of all that is loud.

    Args:
        words: The sentence.
        lexicon: Of whose pronunciations the first is taken, or the shortest where there are few frames.
        topology: Without a tree.
        energy: The logarithm of each frame's, (T,), a frame for each state at least.
    """
    silent = _silent(energy, topology.states)
    outer = [(start, end) for start, end in silent if start == 0 or end == len(energy)]
    said = [lexicon[word][0] for word in words]
    for pauses in (silent, outer):
        if (path := _spread(said, topology, pauses, len(energy))) is not None:
            return path
    path = _spread([min(lexicon[word], key=len) for word in words], topology, [], len(energy))
    assert path is not None, "there are frames for each state"
    return path


def _silent(energy: NDArray[np.float32], states: int) -> list[tuple[int, int]]:
    """The stretches without speech, a frame for each state at least: first frame and the one behind the last."""
    low, high = np.percentile(energy, [5, 95])
    quiet = np.asarray(energy < low + 0.4 * (high - low))
    for start, end in _runs(~quiet):
        quiet[start:end] = end - start < CLICK
    for start, end in _runs(quiet):
        inner = start > 0 and end < len(quiet)
        quiet[start:end] = end - start >= (PAUSE if inner else states)
    return _runs(quiet)


def _runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]])))
    return [(start, end) for start, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)]


def _spread(
    said: Sequence[Pronunciation], topology: Topology, pauses: Sequence[tuple[int, int]], length: int
) -> Alignment | None:
    """The states of the words between the pauses, those between two of them evenly; None where some have no frame."""
    speech = length - sum(end - start for start, end in pauses)
    ends = np.cumsum([0, *map(len, said)])
    pieces: list[tuple[list[str], int, int]] = []  # units, first frame and the one behind the last
    word = here = heard = last = 0
    for start, end in pauses:
        heard += start - last
        last = end
        behind = int(np.abs(ends * speech - heard * ends[-1]).argmin())
        if start > 0 and end < length and not word < behind < len(said):
            continue  # between no words
        pieces.append(([unit for p in said[word:behind] for unit in p], here, start))
        pieces.append(([topology.separator], start, end))
        word, here = behind, end
    pieces.append(([unit for p in said[word:] for unit in p], here, length))
    numbers = {unit: number for number, unit in enumerate(topology.units)}
    path = np.empty(length, dtype=np.int64)
    for units, start, end in pieces:
        columns = np.array([column for unit in units for column in topology.chain(-1, numbers[unit], -1)], dtype=np.int64)
        if end - start < len(columns) or (end > start and not len(columns)):
            return None
        path[start:end] = columns[np.arange(end - start) * len(columns) // max(1, end - start)]
    return path
