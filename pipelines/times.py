"""When the words and units of a path were said.

A decoding graph tells words early or late, wherever its arcs were shared. The units on a path are exact: cut into the words'
pronunciations they give the words' times.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.graph import Topology, units_on
from speechbench.lexicon import Lexicon
from speechbench.recognizer import Timed

Span = tuple[str, int, int]  # a unit, its first frame and the one behind its last


@dataclass(frozen=True)
class Clock:
    """Gives times to what is on a path.

    Attributes:
        topology: Of the path's columns.
        lexicon: The pronunciations that the path's words may have.
        frame_shift: Seconds between two columns; column t is centred on t times this.
    """

    topology: Topology
    lexicon: Lexicon
    frame_shift: float

    def read(self, columns: NDArray[np.int64], words: Sequence[str], duration: float) -> tuple[list[Timed], list[Timed]]:
        """The words and the units with times; separators are left out.

        For CTC a unit lasts as long as its spike, which may be much shorter than its sound, and often lies near its end.

        Args:
            columns: The path, (T,).
            words: On it.
            duration: Of the utterance in s; no time is past it.
        """
        spans = list(spans_on(columns, self.topology))
        cuts = cut([unit for unit, _, _ in spans], words, self.lexicon, self.topology.separator)

        def timed(text: str, first: int, behind: int) -> Timed:
            start, end = (min(max(0.0, (frame - 0.5) * self.frame_shift), duration) for frame in (first, behind))
            return Timed(text, round(start, 3), round(end, 3))

        said = [timed(word, spans[a][1], spans[b - 1][2]) for word, (a, b) in zip(words, cuts, strict=True)]
        return said, [timed(*span) for span in spans if span[0] != self.topology.separator]


def spans_on(columns: NDArray[np.int64], topology: Topology) -> Iterator[Span]:
    """The units on a path with their frames."""
    return units_on(columns, topology) if topology.states else spikes_on(columns, topology)


def spikes_on(path: Iterable[int], topology: Topology) -> Iterator[Span]:
    """The units on a CTC path, each with the frames that tell it: its spike, without the blanks around it."""
    columns = [0, *path, 0]
    start = 0
    for t in range(1, len(columns)):
        if columns[t] != columns[t - 1]:
            if columns[t - 1]:
                yield topology.units[columns[t - 1] - 1], start, t - 1
            start = t - 1


def cut(units: Sequence[str], words: Sequence[str], lexicon: Lexicon, separator: str) -> list[tuple[int, int]]:
    """Where each word's units begin and end among the units of a path.

    Each word is one of its pronunciations, with at most one separator before it and behind the last. Where there are several
    ways, which takes words without separator and pronunciations that overlap, it is one of them.
    """
    # ways[k][end] is where word k begins if it can end there.
    ways: list[dict[int, int]] = []
    ends: Iterable[int] = [0]
    for word in words:
        way: dict[int, int] = {}
        for before in ends:
            starts = (before, before + 1) if units[before : before + 1] == [separator] else (before,)
            for start in starts:
                for pronunciation in lexicon[word]:
                    end = start + len(pronunciation)
                    if tuple(units[start:end]) == pronunciation:
                        way.setdefault(end, start)
        ways.append(way)
        ends = way
    here = next(end for end in (len(units), len(units) - 1) if not words or end in ways[-1])
    cuts: list[tuple[int, int]] = []
    for number in range(len(words) - 1, -1, -1):
        start = ways[number][here]
        cuts.append((start, here))
        if number:
            here = start if start in ways[number - 1] else start - 1
    return cuts[::-1]
