"""Pieces of words as tokens: characters that often follow each other become one.

Fewer tokens a text leave fewer to be wrong, but each needs examples, and a wrong word that is one token leaves a language model
nothing to mend: dev tells which is better.

Source: Sennrich et al. 2016 (byte pairs). A word is cut into the longest matches from the left, which takes no knowledge
of how its pieces came about, as in Wu et al. 2016.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Collection, Iterable

from speechbench.lexicon import Lexicon

MOST = 500  # tokens; more would make each rarer than it is worth, in large corpora too


def learn_pieces(texts: Iterable[str], least: int) -> list[str]:
    """The characters of some texts, and the pieces of words that are tokens.

    Args:
        texts: Words between spaces.
        least: How often two neighbours must occur together to become one; 0 for characters alone.
    """
    counts = Counter(word for text in texts for word in text.split())
    cuts = {word: list(word) for word in counts}
    units = {character for word in counts for character in word}
    while least and len(units) < MOST:
        pairs: Counter[tuple[str, str]] = Counter()
        for word, cut in cuts.items():
            for pair in itertools.pairwise(cut):
                pairs[pair] += counts[word]
        # Of equals the first in the alphabet, so that the order of the texts does not matter.
        pair, times = min(pairs.items(), key=lambda item: (-item[1], item[0]), default=(("", ""), 0))
        if times < least:
            break
        units.add("".join(pair))
        cuts = {word: _joined(cut, pair) for word, cut in cuts.items()}
    used = Counter[str]()
    for word, times in counts.items():
        used.update(dict.fromkeys(split_word(word, units), times))
    return sorted(unit for unit in units if len(unit) == 1 or used[unit] >= least)


def split_word(word: str, units: Collection[str]) -> tuple[str, ...]:
    """A word as the longest units from the left; characters that are no unit are left out."""
    longest = max(map(len, units), default=0)
    cut: list[str] = []
    place = 0
    while place < len(word):
        ends = range(min(len(word), place + longest), place, -1)
        end = next((end for end in ends if word[place:end] in units), None)
        if end is not None:
            cut.append(word[place:end])
        place = end or place + 1
    return tuple(cut)


def spell(words: Iterable[str], pieces: Iterable[str]) -> Lexicon:
    """Each word as its pieces; characters that are in no piece are themselves."""
    asked = sorted(set(words))
    units = {*pieces, *(character for word in asked for character in word)}
    return {word: (split_word(word, units),) for word in asked}


def _joined(cut: list[str], pair: tuple[str, str]) -> list[str]:
    joined: list[str] = []
    for unit in cut:
        if joined and (joined[-1], unit) == pair:
            joined[-1] += unit
        else:
            joined.append(unit)
    return joined
