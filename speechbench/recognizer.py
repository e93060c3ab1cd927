"""What a recogniser is, for everyone who uses one: manifest in, hypotheses out."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from speechbench.errors import SpeechbenchError
from speechbench.files import read_lines, write_json_lines
from speechbench.manifest import Manifest, Skipped


@dataclass(frozen=True)
class Hypothesis:
    """What a recogniser heard in one utterance."""

    id: str
    text: str  # "" is a hypothesis: nothing was heard
    score: float | None = None  # log-likelihood (natural) of the best path, acoustic and language model together
    greedy: str | None = None  # the network's own best text, without lexicon and language model, where there is one
    phonemes: str | None = None  # the phonemes on the best path, for recognisers that have them

    def row(self) -> dict[str, Any]:
        """The JSON line; what is not known is left out."""
        return {key: value for key, value in dataclasses.asdict(self).items() if value is not None}


class Recognizer(Protocol):
    """Anything that turns a manifest into hypotheses."""

    def transcribe(self, manifest: Manifest, skipped: Skipped) -> Iterator[Hypothesis]:
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
    names = {field.name for field in dataclasses.fields(Hypothesis)}
    found: dict[str, Hypothesis] = {}
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise SpeechbenchError(f"{path}: line {number}: not JSON ({error.msg})") from error
        if not isinstance(row, dict) or not isinstance(row.get("id"), str) or not isinstance(row.get("text"), str):
            raise SpeechbenchError(f"{path}: line {number}: expected an object with 'id' and 'text', both strings")
        _check_optional(row, f"{path}: line {number}")
        if row["id"] in found:
            raise SpeechbenchError(f"{path}: line {number}: id '{row['id']}' occurs twice")
        found[row["id"]] = Hypothesis(**{key: value for key, value in row.items() if key in names})
    if not found:
        raise SpeechbenchError(f"{path}: holds no hypothesis")
    return found


def _check_optional(row: dict[str, Any], where: str) -> None:
    for key in ("greedy", "phonemes"):
        if not isinstance(row.get(key, ""), str):
            raise SpeechbenchError(f"{where}: '{key}' is {row[key]!r}; expected a string")
    score = row.get("score", 0.0)
    if isinstance(score, bool) or not isinstance(score, int | float) or not math.isfinite(score):
        raise SpeechbenchError(f"{where}: 'score' is {score!r}; expected a number")
