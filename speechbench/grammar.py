"""Grammars: the sentences that can be said, as a finite automaton, from a list of sentences or a JSGF file."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from speechbench import jsgf
from speechbench.errors import SpeechbenchError, name_some
from speechbench.files import read_text
from speechbench.language_model import RESERVED, UNKNOWN, Perplexity
from speechbench.unfolding import Steps, unfold

MOST_STATES = 200_000  # of a determinised grammar: some hundred MB
SAME = 4  # decimals in which probabilities agree that count as equal
MOST_MIXTURES = 64  # of the same ways: an ambiguous repetition could go on giving new ones


class Step(NamedTuple):
    """Where a word leads, and its probability."""

    target: int
    probability: float


@dataclass(frozen=True)
class Grammar:
    """A deterministic automaton that starts in state 0; the probabilities of a state's words and of its end sum to 1."""

    steps: Sequence[Mapping[str, Step]]  # by state and word
    ends: Mapping[int, float]  # the probability that a sentence ends in a state

    @cached_property
    def words(self) -> list[str]:
        """All words that can be said, sorted."""
        return sorted({word for step in self.steps for word in step} - UNKNOWN)

    def log10(self, sentence: Iterable[str]) -> float:
        """log10 P(sentence); minus infinity for what cannot be said."""
        state, total = 0, 0.0
        for word in sentence:
            if word not in self.steps[state]:
                return -math.inf
            state, probability = self.steps[state][word]
            total += math.log10(probability)
        return total + math.log10(self.ends[state]) if state in self.ends else -math.inf


def read_grammar(path: Path) -> Grammar:
    """Read a grammar: JSGF where the file starts with #JSGF, otherwise sentences, one a line.

    Raises:
        SpeechbenchError: The file is missing, empty, breaks the format's rules, or says more than fits into memory.
    """
    text = read_text(path)
    if text.lstrip().startswith("#JSGF"):
        grammar = _determinize(path, unfold(path, jsgf.parse(path, text)))
    else:
        grammar = _list(text.splitlines())
    if not grammar.words:
        raise SpeechbenchError(f"{path}: no word can be said; expected sentences, one a line, or JSGF")
    if reserved := RESERVED.intersection(grammar.words):
        raise SpeechbenchError(f"{path}: holds reserved words: {name_some(sorted(reserved))}; remove them")
    return grammar


def _list(lines: Iterable[str]) -> Grammar:
    """A tree of the lines. All are equally likely; one that stands twice is twice as likely."""
    sentences = Counter(tuple(line.split()) for line in lines if line.strip())
    through: Counter[tuple[str, ...]] = Counter()  # lines by their beginnings
    for sentence, count in sentences.items():
        through.update({sentence[:size]: count for size in range(len(sentence) + 1)})
    states = {beginning: state for state, beginning in enumerate(sorted(through))}  # the empty one is the first
    steps: list[dict[str, Step]] = [{} for _ in states]
    for beginning, state in states.items():
        if beginning:
            share = through[beginning] / through[beginning[:-1]]
            steps[states[beginning[:-1]]][beginning[-1]] = Step(state, share)
    return Grammar(steps, {states[sentence]: count / through[sentence] for sentence, count in sentences.items()})


def _determinize(path: Path, ways: Steps) -> Grammar:
    """Follow all ways of saying a beginning at once: a state is a mixture of ways, by their probabilities.

    Two beginnings with the same mixture are one state. Where repetitions can be split in so many manners that the same ways
    are mixed in more than `MOST_MIXTURES` proportions, the first mixture stands for the later ones.

    Source: Mohri 1997 (weighted determinisation, in the probability semiring).
    """
    states: dict[tuple[tuple[int, float], ...], int] = {}
    mixtures: list[dict[int, float]] = []
    variants: defaultdict[frozenset[int], list[int]] = defaultdict(list)

    def state_of(mixture: dict[int, float]) -> int:
        key = tuple(sorted((way, round(share, SAME)) for way, share in mixture.items()))
        alike = variants[frozenset(mixture)]
        if key not in states and len(alike) < MOST_MIXTURES:
            if len(mixtures) == MOST_STATES:
                raise SpeechbenchError(f"{path}: unfolds to more than {MOST_STATES:,} states; simplify it, or use an n-gram")
            states[key] = len(mixtures)
            alike.append(states[key])
            mixtures.append(mixture)
        return states[key] if key in states else alike[0]

    state_of(ways.start)
    steps: list[dict[str, Step]] = []
    ends: dict[int, float] = {}
    while len(steps) < len(mixtures):
        mixture = mixtures[len(steps)]
        if ways.end in mixture:
            ends[len(steps)] = mixture[ways.end]
        reached: defaultdict[str, defaultdict[int, float]] = defaultdict(lambda: defaultdict(float))
        for way, share in mixture.items():
            if way != ways.end:
                word, onwards = ways.words[way], ways.onwards[way]
                for target, probability in onwards.items():
                    reached[word][target] += share * probability
        leaving = {}
        for word, targets in reached.items():
            total = sum(targets.values())
            leaving[word] = Step(state_of({target: p / total for target, p in targets.items()}), total)
        steps.append(leaving)
    return Grammar(steps, ends)


def measure_grammar(path: Path, texts: Iterable[str]) -> Perplexity:
    """Perplexity, out-of-vocabulary count and sentences that are not allowed; those are left out of the perplexity."""
    grammar = read_grammar(path)
    sentences = [text.split() for text in texts]
    known, scores = set(grammar.words), [grammar.log10(words) for words in sentences]
    said = [(score, len(words) + 1) for score, words in zip(scores, sentences, strict=True) if score > -math.inf]
    perplexity = 10.0 ** (-math.fsum(score for score, _ in said) / sum(size for _, size in said)) if said else None
    oov = sum(word not in known for words in sentences for word in words)
    return Perplexity(perplexity, sum(map(len, sentences)), oov, len(sentences) - len(said))
