"""n-gram language models with Kneser-Ney smoothing, in ARPA format."""

from __future__ import annotations

import contextlib
import io
import math
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from kaldingram.train import NgramCounts

from speechbench.errors import SpeechbenchError, name_some
from speechbench.files import read_text, write_text

Ngram = tuple[str, ...]

BEGIN, END = "<s>", "</s>"
RESERVED = frozenset({BEGIN, END, "<eps>", "#0"})  # the last two: nothing, and the back-off arc, in transducers
UNKNOWN = frozenset({"<unk>", "<UNK>"})  # what many tools write for all other words; nobody can say it
NEVER = 1e-99  # the probability that ARPA files write for none

# Kneser-Ney's discount n1 / (n1 + 2 n2) is 1 when no n-gram occurs twice, which would leave seen n-grams no probability.
MOST_DISCOUNT = 0.9


def train_ngram(texts: Iterable[str], path: Path, order: int = 3) -> None:
    """Estimate a back-off n-gram with Kneser-Ney smoothing from sentences and write it as ARPA.

    Source: Kneser and Ney 1995, as in SRILM's `ngram-count -ukndiscount`; n1 and n2 are counts of counts.

    Raises:
        SpeechbenchError: There is no text, a word of it is reserved, or the order is below 1.
    """
    if order < 1:
        raise SpeechbenchError(f"the order of a language model is {order}; expected 1 or more")
    sentences = [text.split() for text in texts if text.strip()]
    if not sentences:
        raise SpeechbenchError("there is no text to estimate a language model from")
    if reserved := RESERVED & {word for words in sentences for word in words}:
        raise SpeechbenchError(f"the language model's text holds reserved words: {name_some(sorted(reserved))}; remove them")
    counts = NgramCounts(order)
    with contextlib.redirect_stderr(io.StringIO()):  # its progress bars
        for words in sentences:
            counts.add_raw_counts_from_line(" ".join(words))
        if order == 1:  # nobody says the beginning of a sentence; higher orders count the words before, of which it has none
            unigrams = counts.counts[0][()]
            unigrams.total_count -= unigrams.word_to_count[BEGIN]
            unigrams.word_to_count[BEGIN] = 0
        counts.cal_discounting_constants()
        counts.d = [min(discount, MOST_DISCOUNT) for discount in counts.d]
        counts.cal_f()
        complete = _settle_complete(counts)
        counts.cal_bow()
        for history in complete:
            counts.counts[len(history) - 1][history[:-1]].word_to_bow[history[-1]] = NEVER
        arpa = io.StringIO()
        counts.print_as_arpa(fout=arpa)
    write_text(path, arpa.getvalue())


def _settle_complete(counts: NgramCounts) -> list[Ngram]:
    """Give the words after a history that every word has followed all of its probability; returns those histories.

    Nothing is left to back off to, so that the back-off weight, 1 - sum of the discounted probabilities over 1 - sum of the
    lower order's, would be a division by zero, or by the rounding error of a sum that should be 1.
    """
    complete = []
    for lower, higher in zip(counts.counts, counts.counts[1:], strict=False):
        for history, seen in higher.items():
            if math.fsum(lower[history[1:]].word_to_f[word] for word in seen.word_to_count) > 1.0 - 1e-9:
                total = math.fsum(seen.word_to_f.values())
                seen.word_to_f = {word: share / total for word, share in seen.word_to_f.items()}
                complete.append(history)
    return complete


@dataclass(frozen=True)
class LanguageModel:
    """A back-off n-gram model."""

    entries: list[dict[Ngram, tuple[float, float]]]  # by order - 1: log10 of probability and of back-off weight

    @cached_property
    def words(self) -> list[str]:
        """All words that can be said, sorted."""
        return sorted({word for (word,) in self.entries[0]} - RESERVED - UNKNOWN)

    def log10(self, history: Ngram, word: str) -> float:
        """log10 P(word | history), the word one of the model's or the end."""
        here, weight = history[max(0, len(history) - len(self.entries) + 1) :], 0.0
        while (*here, word) not in self.entries[len(here)]:
            if not here:
                return -math.inf
            weight += self.entries[len(here) - 1].get(here, (0.0, 0.0))[1]
            here = here[1:]
        return weight + self.entries[len(here)][(*here, word)][0]


def read_arpa(path: Path) -> LanguageModel:
    """Read a language model in ARPA format.

    Raises:
        SpeechbenchError: Missing file, bad lines with their numbers, an n-gram count other than announced, no end.
    """
    announced: dict[int, int] = {}
    entries: list[dict[Ngram, tuple[float, float]]] = []
    started = ended = False
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        fields, stripped = line.split(), line.strip()
        if not started or not fields:
            started = started or stripped == "\\data\\"  # whatever stands before is a comment
        elif stripped == "\\end\\":
            ended = True
            break
        elif not entries and (count := re.fullmatch(r"ngram\s+(\d+)\s*=\s*(\d+)", stripped)):
            announced[int(count[1])] = int(count[2])
        elif stripped == f"\\{len(entries) + 1}-grams:":
            entries.append({})
        elif entries and len(entries) + 1 <= len(fields) <= len(entries) + 2:
            try:
                numbers = float(fields[0]), float(fields[len(entries) + 1]) if len(fields) == len(entries) + 2 else 0.0
            except ValueError as error:
                raise SpeechbenchError(f"{path}: line {number}: {error}; expected log10 numbers around words") from error
            entries[-1][tuple(map(sys.intern, fields[1 : len(entries) + 1]))] = numbers
        else:
            raise SpeechbenchError(f"{path}: line {number}: not a line of an ARPA language model: '{stripped[:60]}'")
    _check(path, announced, entries, started, ended)
    return LanguageModel(entries)


def _check(
    path: Path, announced: dict[int, int], entries: list[dict[Ngram, tuple[float, float]]], started: bool, ended: bool
) -> None:
    if not started or not announced:
        raise SpeechbenchError(f"{path}: holds no \\data\\ section; expected an ARPA language model")
    held = {order: len(entries[order - 1]) if order <= len(entries) else 0 for order in announced}
    if not ended or held != announced or not entries:
        raise SpeechbenchError(
            f"{path}: announces {announced} n-grams by order, holds {held}"
            + ("" if ended else ", and has no \\end\\; cut off?")
        )
    known = {word for (word,) in entries[0]}
    if END not in known or not known - RESERVED - UNKNOWN:
        raise SpeechbenchError(f"{path}: its 1-grams need {END} and at least one word")
    if reserved := known & RESERVED - {BEGIN, END}:
        raise SpeechbenchError(f"{path}: {name_some(sorted(reserved))} cannot be a word; train the model without it")


@dataclass(frozen=True)
class Perplexity:
    """How well a language model predicts texts: per word and sentence end, words outside its vocabulary left out."""

    perplexity: float
    words: int
    oov: int


def measure(path: Path, texts: Iterable[str]) -> Perplexity:
    """Perplexity and out-of-vocabulary count of an ARPA model on texts."""
    model = read_arpa(path)
    known, sentences = set(model.words), [text.split() for text in texts]
    inside = [[word for word in words if word in known] for words in sentences]
    total = math.fsum(
        model.log10((BEGIN, *words[:position]), word) for words in inside for position, word in enumerate([*words, END])
    )
    predicted, words = sum(len(kept) + 1 for kept in inside), sum(map(len, sentences))
    return Perplexity(10.0 ** (-total / predicted), words, words - sum(map(len, inside)))
