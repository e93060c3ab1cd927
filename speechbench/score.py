"""Error rates: one alignment an utterance, and many views of it; rates are pooled, and pairing is by id.

WER is (substitutions + insertions + deletions) / reference words, so that it can pass 1; a rate over a set is the sum of
its errors over the sum of its words, never a mean of rates.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from speechbench.errors import SpeechbenchError, name_some, unknown_name

GAP = "\0"  # stands for nothing in an alignment; no text holds it
Pair = tuple[str | None, str | None]  # reference, hypothesis; None where there is nothing


@dataclass(frozen=True, slots=True)
class Counts:
    """How a hypothesis differs from its reference; counts add up over utterances."""

    hits: int = 0
    substitutions: int = 0
    insertions: int = 0
    deletions: int = 0

    @property
    def words(self) -> int:
        """Tokens in the reference."""
        return self.hits + self.substitutions + self.deletions

    @property
    def errors(self) -> int:
        """Substitutions, insertions and deletions."""
        return self.substitutions + self.insertions + self.deletions

    @property
    def rate(self) -> float:
        """Errors per reference token, a fraction; NaN where the reference is empty."""
        return self.errors / self.words if self.words else float("nan")

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.hits + other.hits,
            self.substitutions + other.substitutions,
            self.insertions + other.insertions,
            self.deletions + other.deletions,
        )

    def __str__(self) -> str:
        """Kaldi's result line, without its name: "13.45 [ 2708 / 20138, 358 ins, 330 del, 2020 sub ]"."""
        return (
            f"{100 * self.rate:.2f} [ {self.errors} / {self.words}, "
            f"{self.insertions} ins, {self.deletions} del, {self.substitutions} sub ]"
        )


def align(reference: Sequence[str], hypothesis: Sequence[str]) -> list[Pair]:
    """The alignment with the fewest errors, token by token."""
    import kaldialign  # here, for training and greedy decoding do without it

    pairs = kaldialign.align(list(reference), list(hypothesis), GAP)
    return [(None if r == GAP else r, None if h == GAP else h) for r, h in pairs]


def count(alignment: Iterable[Pair]) -> Counts:
    """The counts of an alignment."""
    hits = substitutions = insertions = deletions = 0
    for reference, hypothesis in alignment:
        if reference is None:
            insertions += 1
        elif hypothesis is None:
            deletions += 1
        elif reference == hypothesis:
            hits += 1
        else:
            substitutions += 1
    return Counts(hits, substitutions, insertions, deletions)


@dataclass(frozen=True)
class Score:
    """The alignments of a set, by utterance id, and the views of them."""

    alignments: Mapping[str, list[Pair]]
    missing: tuple[str, ...] = ()  # ids without a hypothesis; each counts as all its words deleted

    @cached_property
    def counts(self) -> dict[str, Counts]:
        """Counts by utterance id."""
        return {key: count(alignment) for key, alignment in self.alignments.items()}

    @cached_property
    def total(self) -> Counts:
        """The pooled counts."""
        return sum(self.counts.values(), Counts())


def _as_is(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _plain(text: str) -> str:
    kept = (c if c.isalnum() or c == "'" else " " for c in _as_is(text).casefold().replace("’", "'"))
    return " ".join("".join(kept).split())


# Only what is named is done to the texts: "none" joins accents to their letters (NFC); "plain" also folds case and drops
# punctuation other than apostrophes.
NORMALIZERS: Mapping[str, Callable[[str], str]] = {"none": _as_is, "plain": _plain}
TOKENIZERS: Mapping[str, Callable[[str], list[str]]] = {
    "word": str.split,
    "character": lambda text: list(" ".join(text.split())),
}


def score(
    references: Mapping[str, str],
    hypotheses: Mapping[str, str],
    unit: str = "word",
    normalizer: str = "none",
    missing: str = "error",
) -> Score:
    """Score hypotheses against references, paired by id.

    Args:
        references: Text by utterance id.
        hypotheses: Text by utterance id; an empty text is a hypothesis, no entry is a missing one.
        unit: "word" (WER; PER when the texts are phonemes) or "character" (CER, spaces counted).
        normalizer: One of `NORMALIZERS`, applied to both sides.
        missing: "error" refuses missing hypotheses, "deletions" counts all their words as deleted.

    Raises:
        SpeechbenchError: No reference or none with a token, missing or unknown ids, unknown unit or normalizer.
    """
    for kind, name, known in (("unit", unit, TOKENIZERS), ("normalizer", normalizer, NORMALIZERS)):
        if name not in known:
            raise unknown_name(kind, name, known)
    if not references:
        raise SpeechbenchError("there is no reference to score against")
    unknown = [key for key in hypotheses if key not in references]
    if unknown:
        raise SpeechbenchError(
            f"{len(unknown)} hypotheses have no reference: {name_some(unknown)}; score each set with its own manifest"
        )
    absent = tuple(key for key in references if key not in hypotheses)
    if absent and missing == "error":
        raise SpeechbenchError(
            f"scored nothing: {len(absent)} of {len(references)} hypotheses are missing: {name_some(absent)}; "
            "decode again, or count them as deleted with --missing deletions"
        )
    normalize, tokenize = NORMALIZERS[normalizer], TOKENIZERS[unit]
    tokens = {key: tokenize(normalize(text)) for key, text in references.items()}
    if not any(tokens.values()):
        raise SpeechbenchError(f"the references hold no {unit} after normalizer '{normalizer}'; there is no rate of nothing")
    return Score(
        {key: align(reference, tokenize(normalize(hypotheses.get(key, "")))) for key, reference in tokens.items()}, absent
    )
