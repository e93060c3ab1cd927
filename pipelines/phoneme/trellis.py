"""The best way through known sentences, many side by side: each step of the search is a few operations on all their states.

All pronunciations of a word are as likely, and so are a pause and none, so that the acoustic scores alone decide. Nothing is
given up on the way: the path that is found is the best. Source: Viterbi 1967.

T frames, C columns that a sentence looks at, N units in context, each of them a row of states.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.graph import Topology
from speechbench.lexicon import Lexicon

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]

CELLS = 16_000_000  # states times frames of sentences that are aligned side by side: 64 MB
EDGE = -1  # the neighbour of an utterance's first and last unit


@dataclass(frozen=True)
class Trellis:
    """What can be said for one sentence: units in context, and which may follow which.

    Attributes:
        columns: That the sentence looks at, in rising order, (C,).
        places: Of each state's column among them, (states, N).
        before: The units that may stand before each, (at most so many, N), filled up with N.
        first: Whether a unit may begin the utterance, (N,).
        last: Whether it may end it, (N,).
    """

    columns: Indices
    places: Indices
    before: Indices
    first: NDArray[np.bool_]
    last: NDArray[np.bool_]


@dataclass(frozen=True)
class _InContext:
    """A unit between any of some left and any of some right neighbours, for which its states have the same columns."""

    left: frozenset[int]
    chain: tuple[int, ...]
    right: frozenset[int]


class Trellises:
    """Makes the trellis of a sentence."""

    def __init__(self, topology: Topology, lexicon: Lexicon) -> None:
        self._topology = topology
        numbers = {unit: number for number, unit in enumerate(topology.units)}
        self._silence = numbers[topology.separator]
        self._lexicon = {word: [[numbers[unit] for unit in p] for p in variants] for word, variants in lexicon.items()}
        self._found: dict[tuple[int, frozenset[int], frozenset[int]], list[_InContext]] = {}

    def of(self, words: Sequence[str]) -> Trellis:
        """The trellis of a sentence."""
        units, before = self._sequences(words)
        lefts: list[set[int]] = [{EDGE if b == EDGE else units[b] for b in mine} for mine in before]
        rights: list[set[int]] = [set() for _ in units]
        for number, mine in enumerate(before[:-1]):
            for b in mine:
                if b != EDGE:
                    rights[b].add(units[number])
        for b in before[-1]:
            rights[b].add(EDGE)
        return self._in_context(units[:-1], before, lefts, rights)

    def _sequences(self, words: Sequence[str]) -> tuple[list[int], list[list[int]]]:
        """The units of all pronunciations with a pause around each word, what may stand before each, and before the end."""
        units: list[int] = []
        before: list[list[int]] = []

        def add(unit: int, behind: list[int]) -> int:
            units.append(unit)
            before.append(behind)
            return len(units) - 1

        ends = [EDGE]
        for word in words:
            behind = [*ends, add(self._silence, ends)]
            ends = []
            for pronunciation in self._lexicon[word]:
                here = behind
                for unit in pronunciation:
                    here = [add(unit, here)]
                ends += here
        add(EDGE, [*ends, add(self._silence, ends)])
        return units, before

    def _in_context(
        self, units: Sequence[int], before: Sequence[list[int]], lefts: Sequence[set[int]], rights: Sequence[set[int]]
    ) -> Trellis:
        """Each unit as often as its neighbours give it different columns; two follow each other if each allows the other."""
        rows: list[_InContext] = []
        starts = [0]
        behind: list[list[int]] = []
        for unit, mine, left, right in zip(units, before, lefts, rights, strict=False):
            for row in self._contexts(unit, frozenset(left), frozenset(right)):
                rows.append(row)
                behind.append(
                    [
                        place
                        for b in mine
                        if b != EDGE and units[b] in row.left
                        for place in range(starts[b], starts[b + 1])
                        if unit in rows[place].right
                    ]
                )
            starts.append(len(rows))
        ends = [place for b in before[-1] for place in range(starts[b], starts[b + 1]) if EDGE in rows[place].right]
        filled = itertools.zip_longest(*behind, fillvalue=len(rows))
        columns, places = np.unique(np.array([row.chain for row in rows], dtype=np.int64).T, return_inverse=True)
        first, last = np.array([EDGE in row.left for row in rows]), np.zeros(len(rows), dtype=bool)
        last[ends] = True
        return Trellis(columns, places.reshape(-1, len(rows)), np.array([*filled], dtype=np.int64), first, last)

    def _contexts(self, unit: int, left: frozenset[int], right: frozenset[int]) -> list[_InContext]:
        """A unit between some neighbours, as few as there are different columns."""
        key = unit, left, right
        if key not in self._found:
            ways: dict[tuple[tuple[tuple[int, ...], frozenset[int]], ...], list[int]] = {}
            for one in sorted(left):
                chains: dict[tuple[int, ...], list[int]] = {}
                for other in sorted(right):
                    chains.setdefault(self._topology.chain(one, unit, other), []).append(other)
                ways.setdefault(tuple((chain, frozenset(others)) for chain, others in chains.items()), []).append(one)
            self._found[key] = [
                _InContext(frozenset(ones), chain, others) for way, ones in ways.items() for chain, others in way
            ]
        return self._found[key]


def groups(sizes: Sequence[int], lengths: Sequence[int]) -> Iterator[list[int]]:
    """The numbers of sentences that are aligned side by side, of like length; one that is too large for all is alone.

    Args:
        sizes: States of each sentence.
        lengths: Of the utterances in frames.
    """
    group: list[int] = []
    states = 0
    for number in np.argsort(lengths, kind="stable").tolist():
        if group and (states + sizes[number]) * lengths[number] > CELLS:
            yield group
            group, states = [], 0
        group.append(number)
        states += sizes[number]
    if group:
        yield group


def best_paths(trellises: Sequence[Trellis], scores: Iterable[Floats], lengths: Sequence[int]) -> list[Indices]:
    """The column of each frame on the best path through each sentence.

    Args:
        trellises: Of the sentences.
        scores: The log-likelihoods of each sentence's columns, (T, C).
        lengths: T of each, at least the states of its shortest path.
    """
    units = np.cumsum([0, *(len(trellis.first) for trellis in trellises)]).tolist()
    columns = np.cumsum([0, *(len(trellis.columns) for trellis in trellises)]).tolist()
    states, count = len(trellises[0].places), units[-1]
    # Behind all units stands one that cannot be reached: its column is the last, which has no likelihood.
    likelihoods = np.zeros((max(lengths), columns[-1] + 1), dtype=np.float32)
    likelihoods[:, -1] = -np.inf
    places = np.full((states, count + 1), columns[-1], dtype=np.int64)
    first = np.zeros(count + 1, dtype=bool)
    before = np.full((max(len(trellis.before) for trellis in trellises), count + 1), count, dtype=np.int64)
    for trellis, values, unit, column, length in zip(trellises, scores, units, columns, lengths, strict=False):
        own, mine = slice(unit, unit + len(trellis.first)), trellis.before
        # A frame's best score is taken from all of them, so that sums stay small and exact.
        likelihoods[:length, column : column + values.shape[1]] = values - values.max(1, keepdims=True)
        places[:, own] = trellis.places + column
        first[own] = trellis.first
        before[: len(mine), own] = np.where(mine < len(trellis.first), mine + unit, count)
    return _trace_back(_forward(likelihoods, places, first, before), before, trellises, units, lengths)


def _forward(likelihoods: Floats, places: Indices, first: NDArray[np.bool_], before: Indices) -> Floats:
    """The likelihood of the best way to each state at each frame, (T, states, N)."""
    units = len(first)
    # Most units have one before them, which is the one on their left: these are moved as a whole.
    moved = (before[0] == np.arange(-1, units - 1)) & (before[1:] == units - 1).all(axis=0)
    others = np.flatnonzero(~moved)
    behind = np.ascontiguousarray(before[:, others])
    best = np.empty((len(likelihoods), *places.shape), dtype=np.float32)
    best[0] = -np.inf
    best[0, 0, first] = likelihoods[0, places[0, first]]
    enter = np.empty(places.shape, dtype=np.float32)
    for t in range(1, len(best)):
        earlier, now = best[t - 1], best[t]
        enter[1:] = earlier[:-1]
        ends = earlier[-1]
        enter[0, 1:] = ends[:-1]
        enter[0, others] = ends[behind].max(axis=0)
        np.maximum(enter, earlier, out=enter)
        np.take(likelihoods[t], places, out=now, mode="clip")  # "raise" would copy
        now += enter
    return best


def _trace_back(
    best: Floats, before: Indices, trellises: Sequence[Trellis], starts: Sequence[int], lengths: Sequence[int]
) -> list[Indices]:
    longest, states, units = best.shape
    # The states before each, numbered state by state, without itself.
    ways = np.full((len(before), states * units), units - 1, dtype=np.int64)
    ways[0, units:] = np.arange((states - 1) * units)
    ways[:, :units] = before + (states - 1) * units
    here = np.empty(len(trellises), dtype=np.int64)
    for number, (trellis, start, length) in enumerate(zip(trellises, starts, lengths, strict=False)):
        ends = np.where(trellis.last, best[length - 1, -1, start : start + len(trellis.last)], -np.inf)
        assert np.isfinite(ends.max()), "there are frames for each state"
        here[number] = (states - 1) * units + start + ends.argmax()
    path = np.empty((longest, len(trellises)), dtype=np.int64)
    every, last = np.arange(len(trellises)), np.array(lengths) - 1
    flat = best.reshape(longest, -1)
    for t in range(longest - 1, 0, -1):
        path[t] = here
        sums = flat[t - 1]
        candidates = ways[:, here]
        likeliest = candidates[sums[candidates].argmax(axis=0), every]
        here = np.where((t <= last) & (sums[likeliest] > sums[here]), likeliest, here)
    path[0] = here
    found = []
    for number, (trellis, start, length) in enumerate(zip(trellises, starts, lengths, strict=False)):
        state, unit = np.divmod(path[:length, number], units)
        found.append(trellis.columns[trellis.places[state, unit - start]])
    return found
