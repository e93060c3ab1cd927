"""What a recogniser is, for everyone who uses one: manifest in, hypotheses out."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from speechbench.errors import SpeechbenchError
from speechbench.files import read_lines, write_json_lines
from speechbench.manifest import Manifest, Skipped

T = TypeVar("T")


@dataclass(frozen=True)
class Timed:
    """A word or phoneme, and when it was said."""

    text: str
    start: float  # s, from the utterance's beginning
    end: float  # s
    confidence: float | None = None  # the probability that it was said, where that was asked for


@dataclass(frozen=True)
class Alternative:
    """What else may have been said."""

    text: str
    score: float  # as the hypothesis's


@dataclass(frozen=True)
class Hypothesis:
    """What a recogniser heard in one utterance."""

    id: str
    text: str  # "" is a hypothesis: nothing was heard
    score: float | None = None  # log-likelihood (natural) of the best path, acoustic and language model together
    greedy: str | None = None  # the network's own best text, without lexicon and language model, where there is one
    beam: str | None = None  # the same by prefix beam search: the likeliest over all alignments, where that was asked for
    words: tuple[Timed, ...] | None = None  # those of the text
    phonemes: tuple[Timed, ...] | None = None  # on the best path, for recognisers that have them; silence left out
    nbest: tuple[Alternative, ...] | None = None  # the best first, which is the text
    duration: float | None = None  # s, of the utterance
    oracle: str | None = None  # the one of `ORACLES` that was applied; none where it could not be

    def row(self) -> dict[str, Any]:
        """The JSON line; what is not known is left out."""
        row: dict[str, Any] = _without_none(dataclasses.asdict(self))
        return row


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(held) for key, held in value.items() if held is not None}
    return [_without_none(held) for held in value] if isinstance(value, list | tuple) else value


ORACLES = {
    "phonemes": "the phonemes are right (the reference's, as they lie in the audio); what is left is the word stage's",
    "words": "the words are right; their times and phonemes are found",
    "language-model": "the language model would have expected the reference; what is left is the acoustic model's",
    "search": "the search drops nothing that could win; what is left is the models'",
}


@dataclass(frozen=True)
class Request:
    """What is asked of a decoding beyond the best words."""

    nbest: int = 0  # texts to tell, from a lattice, which also gives words their confidence
    beam: float | None = None  # of the search, instead of the run's
    oracle: str | None = None  # one of `ORACLES`: a part of the recogniser is made perfect by looking at the reference
    greedy: bool = False  # the network's own text alone, without lexicon and language model
    prefixes: int = 0  # that prefix beam search keeps, for the network's own text over all alignments; 0 leaves it out


BEST = Request()  # the best words and nothing more


class Recognizer(Protocol):
    """Anything that turns a manifest into hypotheses."""

    def transcribe(self, manifest: Manifest, skipped: Skipped, request: Request = BEST) -> Iterator[Hypothesis]:
        """One hypothesis per utterance, in the manifest's order; utterances whose audio cannot be used go to `skipped`."""
        ...


def write_hypotheses(path: Path, hypotheses: Iterable[Hypothesis]) -> None:
    """Write hypotheses, one JSON line each."""
    write_json_lines(path, (hypothesis.row() for hypothesis in hypotheses))


def read_hypotheses(path: Path) -> dict[str, Hypothesis]:
    """Read hypotheses by utterance id; only "id" and "text" are needed, unknown keys are ignored.

    Raises:
        SpeechbenchError: Missing file, bad lines with their numbers, an id that occurs twice.
    """
    found: dict[str, Hypothesis] = {}
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        where = f"{path}: line {number}"
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise SpeechbenchError(f"{where}: not JSON ({error.msg})") from error
        if not isinstance(row, dict) or not isinstance(row.get("id"), str) or not isinstance(row.get("text"), str):
            raise SpeechbenchError(f"{where}: expected an object with 'id' and 'text', both strings")
        if row["id"] in found:
            raise SpeechbenchError(f"{where}: id '{row['id']}' occurs twice")
        found[row["id"]] = _parse(row, where)
    if not found:
        raise SpeechbenchError(f"{path}: holds no hypothesis")
    return found


def _parse(row: Mapping[str, Any], where: str) -> Hypothesis:
    for key in ("greedy", "beam", "oracle"):
        if not isinstance(row.get(key, ""), str):
            raise SpeechbenchError(f"{where}: '{key}' is {row[key]!r}; expected a string")
    return Hypothesis(
        row["id"],
        row["text"],
        _number(row, "score", where),
        row.get("greedy"),
        row.get("beam"),
        _list(row, "words", where, _timed),
        _list(row, "phonemes", where, _timed),
        _list(row, "nbest", where, _alternative),
        _number(row, "duration", where),
        row.get("oracle"),
    )


def _number(row: Mapping[str, Any], key: str, where: str) -> float | None:
    value = row.get(key)
    if key in row and (isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value)):
        raise SpeechbenchError(f"{where}: '{key}' is {value!r}; expected a number")
    return value


def _list(row: Mapping[str, Any], key: str, where: str, parse: Callable[[Any, str], T]) -> tuple[T, ...] | None:
    if key not in row:
        return None
    if not isinstance(row[key], list):
        raise SpeechbenchError(f"{where}: '{key}' is {row[key]!r}; expected a list")
    return tuple(parse(item, f"{where}: '{key}' item {number}") for number, item in enumerate(row[key], start=1))


def _timed(item: Any, where: str) -> Timed:
    if not isinstance(item, dict) or not isinstance(item.get("text"), str):
        raise SpeechbenchError(f"{where}: expected an object with 'text', 'start' and 'end'")
    start, end, confidence = (_number(item, key, where) for key in ("start", "end", "confidence"))
    if start is None or end is None or not 0 <= start <= end:
        raise SpeechbenchError(f"{where}: from {start} to {end} s; expected 0 <= start <= end")
    if confidence is not None and not 0 <= confidence <= 1:
        raise SpeechbenchError(f"{where}: 'confidence' is {confidence}; expected 0 to 1")
    return Timed(item["text"], start, end, confidence)


def _alternative(item: Any, where: str) -> Alternative:
    score = _number(item, "score", where) if isinstance(item, dict) and isinstance(item.get("text"), str) else None
    if score is None:
        raise SpeechbenchError(f"{where}: expected an object with 'text' and 'score'")
    return Alternative(item["text"], score)
