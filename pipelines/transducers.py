"""The word side of the decoding graph as transducers: the lexicon, and a language model or grammar.

Source: Mohri, Pereira and Riley 2002.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import kaldi_decoder  # noqa: F401 - before kaldifst: the other order can deadlock
import kaldifst

from speechbench.grammar import Grammar
from speechbench.language_model import BEGIN, END, LanguageModel, Ngram
from speechbench.lexicon import Lexicon

Fst = Any  # kaldifst has no types
EPSILON = 0
BACKOFF = "#0"
LN_10 = math.log(10.0)


def lexicon_transducer(
    lexicon: Lexicon, words: dict[str, int], units: Sequence[str], separator: str, ambiguous: bool
) -> tuple[Fst, list[int]]:
    """The transducer from units to words, with an optional separator around each word.

    With `ambiguous` false, homophones and prefixes get disambiguation symbols, so that it can be determinised; returned
    too are those symbols. Half of the probability goes to the separator. Each pronunciation of a word has the word's whole
    probability, not a share of it: a word is not less likely for being said in several ways.

    Source: Chen et al. 2015, "Pronunciation and silence probability modeling for ASR" (the likeliest pronunciation weighs 1).
    """
    unit_numbers = {unit: number for number, unit in enumerate(units, start=1)}
    pause_label, half = unit_numbers[separator], -math.log(0.5)
    first = len(units) + 1  # of the disambiguation symbols: back-off, after the separator, then for words
    backoff, after_separator = first, first + 1
    uses: dict[tuple[str, ...], int] = {}
    start, loop, pause, state = 0, 1, 2, 4
    arcs = [f"{start} {loop} {EPSILON} {EPSILON} {half}", f"{start} {pause} {EPSILON} {EPSILON} {half}"]
    if ambiguous:
        arcs.append(f"{pause} {loop} {pause_label} {EPSILON}")
    else:
        arcs += [f"{pause} 3 {pause_label} {EPSILON}", f"3 {loop} {after_separator} {EPSILON}"]
        arcs.append(f"{loop} {loop} {backoff} {words[BACKOFF]}")
    most = 0
    for word, variants in lexicon.items():
        for pronunciation in variants:
            labels = [unit_numbers[unit] for unit in pronunciation]
            if not ambiguous:
                uses[pronunciation] = uses.get(pronunciation, 0) + 1
                most = max(most, uses[pronunciation])
                labels.append(after_separator + uses[pronunciation])
            here, output = loop, words[word]
            for label in labels[:-1]:
                arcs.append(f"{here} {state} {label} {output}")
                here, output, state = state, EPSILON, state + 1
            arcs += [f"{here} {loop} {labels[-1]} {output} {half}", f"{here} {pause} {labels[-1]} {output} {half}"]
    fst = kaldifst.compile("\n".join([*arcs, str(loop)]) + "\n")
    kaldifst.arcsort(fst, sort_type="olabel")
    return fst, [] if ambiguous else list(range(first, after_separator + most + 1))


def number_words(words: Iterable[str]) -> dict[str, int]:
    """The words' numbers as output labels."""
    return {word: number for number, word in enumerate(["<eps>", *sorted(words), BACKOFF])}


def sentence_transducer(model: LanguageModel | Grammar, words: dict[str, int]) -> Fst:
    """The sentences of a language model or grammar, of the numbered words alone, sorted by input label.

    What other words would take part in is lost, and its probability with it.
    """
    fst = _ngrams(model, words) if isinstance(model, LanguageModel) else _automaton(model, words)
    kaldifst.arcsort(fst, sort_type="ilabel")
    return fst


def _automaton(grammar: Grammar, words: dict[str, int]) -> Fst:
    """Empty if no sentence can start: the first line's state would be taken for the start."""
    arcs = [
        f"{state} {target} {words[word]} {words[word]} {-math.log(probability)}"
        for state, steps in enumerate(grammar.steps)
        for word, (target, probability) in steps.items()
        if word in words
    ]
    finals = [f"{state} {-math.log(probability)}" for state, probability in grammar.ends.items()]
    lines = sorted([*arcs, *finals], key=lambda line: not line.startswith("0 "))
    return kaldifst.compile("\n".join(lines) + "\n") if lines and lines[0].startswith("0 ") else kaldifst.StdVectorFst()


def _ngrams(model: LanguageModel, words: dict[str, int]) -> Fst:
    """The language model as a transducer whose states are histories; back-off is an arc with a label of its own.

    Source: Allauzen, Mohri and Roark 2003, with the back-off arcs as epsilons ("#0" until the search).
    """
    continued = {ngram[:-1] for ngrams in model.entries for ngram in ngrams}
    weighted = {ngram for ngrams in model.entries[:-1] for ngram, (_, backoff) in ngrams.items() if backoff}
    histories = continued | weighted
    start = (BEGIN,) if (BEGIN,) in histories else ()
    states = {history: number for number, history in enumerate([start, *sorted(histories - {start})])}

    def longest(history: Ngram) -> int:
        while history not in states:
            history = history[1:]
        return states[history]

    finals, arcs = [], []
    for history, state in states.items():
        if history:
            backoff = model.entries[len(history) - 1].get(history, (0.0, 0.0))[1]
            arcs.append((state, longest(history[1:]), words[BACKOFF], EPSILON, -backoff * LN_10))
    for ngrams in model.entries:
        for ngram, (log10, _) in ngrams.items():
            state, word = states[ngram[:-1]], ngram[-1]
            if word == END:
                finals.append((state, -log10 * LN_10))
            elif word in words:
                arcs.append((state, longest(ngram), words[word], words[word], -log10 * LN_10))
    # Sorted, for the first line is the start's.
    return kaldifst.compile("".join(" ".join(map(str, line)) + "\n" for line in [*sorted(arcs), *finals]))
