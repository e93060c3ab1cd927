"""A JSGF grammar written out: each word of it with the words that may come next, rules copied into where they are used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce
from graphlib import TopologicalSorter
from pathlib import Path
from typing import NamedTuple

from speechbench import jsgf
from speechbench.errors import SpeechbenchError

MOST_PLACES = 500_000  # some hundred MB
GO_ON = 0.5  # the probability that a repetition goes on

Mixture = dict[int, float]  # probabilities of places, which sum to 1


@dataclass(frozen=True)
class Steps:
    """Places in a grammar: before each of its words, and the end."""

    words: Mapping[int, str]  # of each place but the end
    onwards: Mapping[int, Mixture]  # the places that follow each word
    start: Mixture
    end: int


def unfold(path: Path, grammar: jsgf.Rules) -> Steps:
    """All places of a grammar.

    Raises:
        SpeechbenchError: They are too many.
    """
    unfolding = _Unfolding(path, grammar.rules)
    share = 1 / len(grammar.public)
    whole = unfolding.add(jsgf.Choice(tuple((share, jsgf.Reference(rule, 0)) for rule in grammar.public)))
    start = unfolding.new()
    unfolding.link(start, whole.enter, 1.0 - whole.empty)
    unfolding.link(start, whole.leave, whole.empty)
    places = unfolding.places(whole.leave)
    words = {place: word for place, (word, _) in unfolding.words.items()}
    onwards = {place: places[after] for place, (_, after) in unfolding.words.items()}
    return Steps(words, onwards, places[start], whole.leave)


class _Part(NamedTuple):
    """A part of the grammar, between two places: what is said there if it is not empty, which it is with a probability."""

    enter: int
    leave: int
    empty: float


@dataclass
class _Unfolding:
    """Thompson's construction, but that a part may be empty is a number beside its places, not a link.

    So a repetition of what may be empty makes no circle without words. With e the probability that a part is empty and X the
    rest of it, given that it is not, the part is e + (1 - e) X. With c = `GO_ON`, its repetition is

    (1 - c) sum_k c^k (e + (1 - e) X)^k = s sum_m (r X)^m,   r = c (1 - e) / (1 - c e),   s = (1 - c) / (1 - c e),

    which is empty with probability s; and r + s = 1. A repetition that happens at least once is (e + (1 - e) X) times that.

    Source: Thompson 1968; the geometric series.
    """

    path: Path
    rules: Mapping[str, jsgf.Expansion]
    links: dict[int, list[tuple[int, float]]] = field(default_factory=dict)  # from place to place, without a word
    words: dict[int, tuple[str, int]] = field(default_factory=dict)  # the word after a place, and the place after it

    def new(self) -> int:
        """A place."""
        self.links[len(self.links)] = []
        return len(self.links) - 1

    def link(self, place: int, target: int, probability: float) -> None:
        """A link, unless it is impossible."""
        if len(self.links) > MOST_PLACES:
            raise SpeechbenchError(f"{self.path}: unfolds to more than {MOST_PLACES:,} places; simplify it, or use an n-gram")
        if probability > 0.0:
            self.links[place].append((target, probability))

    def add(self, part: jsgf.Expansion) -> _Part:
        """The places of a part."""
        match part:
            case jsgf.Word(text):
                word = _Part(self.new(), self.new(), 0.0)
                self.words[word.enter] = text, word.leave
                return word
            case jsgf.Reference(rule):
                return self.add(self.rules[rule])
            case jsgf.Sequence(()):
                return _Part(self.new(), self.new(), 1.0)
            case jsgf.Sequence(parts):
                return reduce(self._join, map(self.add, parts))
            case jsgf.Choice(options):
                return self._choose([(share, self.add(inner)) for share, inner in options])
            case jsgf.Repeat(inner, at_least_once):
                return self._repeat(self.add(inner), at_least_once)

    def _join(self, first: _Part, second: _Part) -> _Part:
        whole = _Part(self.new(), self.new(), first.empty * second.empty)
        if whole.empty < 1.0:
            self.link(whole.enter, first.enter, (1 - first.empty) / (1 - whole.empty))
            self.link(whole.enter, second.enter, first.empty * (1 - second.empty) / (1 - whole.empty))
        self.link(first.leave, second.enter, 1 - second.empty)
        self.link(first.leave, whole.leave, second.empty)
        self.link(second.leave, whole.leave, 1.0)
        return whole

    def _choose(self, options: list[tuple[float, _Part]]) -> _Part:
        whole = _Part(self.new(), self.new(), sum(share * option.empty for share, option in options))
        for share, option in options:
            if option.empty < 1.0:
                self.link(whole.enter, option.enter, share * (1 - option.empty) / (1 - whole.empty))
            self.link(option.leave, whole.leave, 1.0)
        return whole

    def _repeat(self, part: _Part, at_least_once: bool) -> _Part:
        again = GO_ON * (1 - part.empty) / (1 - GO_ON * part.empty)
        whole = _Part(self.new(), self.new(), (1 - again) * (part.empty if at_least_once else 1.0))
        self.link(whole.enter, part.enter, 1.0)
        self.link(part.leave, part.enter, again)
        self.link(part.leave, whole.leave, 1 - again)
        return whole

    def places(self, end: int) -> dict[int, Mixture]:
        """Where each place leads without a word: to places before words, and to the end."""
        order: TopologicalSorter[int] = TopologicalSorter(
            {place: [target for target, _ in links] for place, links in self.links.items()}
        )
        found: dict[int, Mixture] = {}
        for place in order.static_order():
            links = self.links[place]
            if place == end or place in self.words:
                found[place] = {place: 1.0}
            elif len(links) == 1 and links[0][1] == 1.0:
                found[place] = found[links[0][0]]
            else:
                mixture = found.setdefault(place, {})
                for target, probability in links:
                    for final, share in found[target].items():
                        mixture[final] = mixture.get(final, 0.0) + probability * share
        return found
