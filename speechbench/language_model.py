"""n-gram language models with Kneser-Ney smoothing, in ARPA format."""

from __future__ import annotations

import math
import re
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from speechbench.errors import SpeechbenchError, name_some
from speechbench.files import read_text, write_text

Ngram = tuple[str, ...]

BEGIN, END = "<s>", "</s>"
RESERVED = frozenset({BEGIN, END, "<eps>", "#0"})  # the last two: nothing, and the back-off arc, in transducers
UNKNOWN = frozenset({"<unk>", "<UNK>"})  # what many tools write for all other words; nobody can say it
NEVER = -99.0  # log10 of no probability, in ARPA files

# Without n-grams that occur once, or twice, the discount n1 / (n1 + 2 n2) is 0, which would leave unseen words nothing, or
# 1, which would take all from seen ones.
LEAST_DISCOUNT, MOST_DISCOUNT = 0.1, 0.9

Counts = Counter[Ngram]
Entries = dict[Ngram, tuple[float, float]]  # log10 of the probability, log10 of the back-off weight


def train_ngram(texts: Iterable[str], path: Path, order: int = 3) -> None:
    """Estimate an n-gram with interpolated Kneser-Ney smoothing from sentences and write it as ARPA.

    P(w | h) = (c(hw) - d) / c(h) + d n(h) / c(h) P(w | h without its first word)

    with n(h) the number of different words after h, and d the order's discount, so that the sum over all words is 1 without
    more ado. c counts, below the highest order, not occurrences but different words before.

    Source: Kneser and Ney 1995; interpolated as in Chen and Goodman 1999, section 2.7, with one discount per order.

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
    entries: list[Entries] = []
    for counts in _count(sentences, order):
        entries.append(_smooth(counts, entries))
    write_text(path, _arpa(entries))


def _count(sentences: Iterable[list[str]], order: int) -> list[Counts]:
    """The counts c of each order, the lowest first."""
    occurrences: list[Counts] = [Counter() for _ in range(order)]
    for sentence in sentences:
        words = [BEGIN, *map(sys.intern, sentence), END]
        for size, counter in enumerate(occurrences, start=1):
            counter.update(tuple(words[i : i + size]) for i in range(len(words) - size + 1))
    counts = [occurrences[-1]]
    for lower, higher in zip(occurrences[-2::-1], occurrences[:0:-1], strict=True):
        counts.append(Counter(ngram[1:] for ngram in higher))
        counts[-1].update({ngram: n for ngram, n in lower.items() if ngram[0] == BEGIN})  # no word stands before it
    del counts[-1][(BEGIN,)]  # nobody says it
    return counts[::-1]


def _smooth(counts: Counts, lower: list[Entries]) -> Entries:
    """The probabilities of one order, given those of the orders below, whose back-off weights are set here."""
    of_counts = Counter(counts.values())
    once, twice = of_counts[1], of_counts[2]
    discount = min(max(once / max(1, once + 2 * twice), LEAST_DISCOUNT), MOST_DISCOUNT) if lower else 0.0
    total: Counts = Counter()
    followers: Counts = Counter()
    for ngram, n in counts.items():
        total[ngram[:-1]] += n
        followers[ngram[:-1]] += 1
    if lower:
        for history, different in followers.items():
            log10, _ = lower[-1].get(history, (NEVER, 0.0))  # only the sentence's beginning has no probability
            lower[-1][history] = log10, math.log10(discount * different / total[history])
    entries: Entries = {}
    for ngram, n in counts.items():
        probability = (n - discount) / total[ngram[:-1]]
        if lower:
            probability += 10.0 ** (lower[-1][ngram[:-1]][1] + lower[-1][ngram[1:]][0])
        entries[ngram] = math.log10(probability), 0.0
    return entries


def _arpa(entries: list[Entries]) -> str:
    lines = ["\\data\\", *(f"ngram {order}={len(ngrams)}" for order, ngrams in enumerate(entries, start=1))]
    for order, ngrams in enumerate(entries, start=1):
        lines += ["", f"\\{order}-grams:"]
        for ngram, (log10, backoff) in sorted(ngrams.items()):
            weight = f"\t{backoff:.7f}" if order < len(entries) and ngram[-1] != END else ""
            lines.append(f"{log10:.7f}\t{' '.join(ngram)}{weight}")
    return "\n".join([*lines, "", "\\end\\", ""])


@dataclass(frozen=True)
class LanguageModel:
    """A back-off n-gram model."""

    entries: list[Entries]  # by order - 1

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
    entries: list[Entries] = []
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


def _check(path: Path, announced: dict[int, int], entries: list[Entries], started: bool, ended: bool) -> None:
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
    """How well a language model predicts texts: per word and sentence end, what it cannot say left out."""

    perplexity: float | None  # None where nothing is left
    words: int
    oov: int  # words outside its vocabulary
    impossible: int = 0  # sentences that a grammar does not allow


def measure(path: Path, texts: Iterable[str]) -> Perplexity:
    """Perplexity and out-of-vocabulary count of an ARPA model on texts; words outside its vocabulary are left out."""
    model = read_arpa(path)
    known, sentences = set(model.words), [text.split() for text in texts]
    inside = [[word for word in words if word in known] for words in sentences]
    total = math.fsum(
        model.log10((BEGIN, *words[:position]), word) for words in inside for position, word in enumerate([*words, END])
    )
    predicted, words = sum(len(kept) + 1 for kept in inside), sum(map(len, sentences))
    return Perplexity(10.0 ** (-total / predicted), words, words - sum(map(len, inside)))
