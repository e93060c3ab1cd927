"""Utterances and manifests: NeMo's JSON-lines on disk, paths relative to the manifest, unknown keys carried along."""

from __future__ import annotations

import gc
import hashlib
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from speechbench import audio
from speechbench.errors import AudioError, SpeechbenchError, name_some
from speechbench.files import lines_of, sha256, write_json_lines
from speechbench.progress import say
from speechbench.seeds import generator_of


@dataclass(frozen=True, slots=True)
class Utterance:
    """One stretch of speech. What is not known is None or a missing key, never ""."""

    id: str
    audio_filepath: Path  # absolute
    duration: float  # s
    offset: float = 0.0  # s, where the utterance starts in the file
    sampling_rate: int | None = None  # Hz, of the file
    text: str | None = None
    speaker: str | None = None
    split: str | None = None
    # Every other key of the manifest line: alignments, labels, a scene's facts, the user's own.
    extra: Mapping[str, Any] = field(default_factory=dict)

    def samples(self) -> audio.Samples:
        """The utterance's audio, mono at 16 kHz.

        Raises:
            AudioError: The audio cannot be used.

        Shape:
            (N,)
        """
        return audio.read(self.audio_filepath, self.offset, self.duration)

    def get(self, key: str) -> Any:
        """The value of any key of the manifest line; None where it is missing."""
        return getattr(self, key) if key in KNOWN_KEYS else self.extra.get(key)

    @property
    def words(self) -> list[str]:
        """The words of the text; none where there is no text."""
        return (self.text or "").split()

    def row(self, folder: Path) -> dict[str, Any]:
        """The manifest line, with the path relative to the manifest's folder."""
        known = {
            "id": self.id,
            "audio_filepath": os.path.relpath(self.audio_filepath, folder),
            "offset": self.offset or None,
            "duration": round(self.duration, 6),
            "sampling_rate": self.sampling_rate,
            "text": self.text,
            "speaker": self.speaker,
            "split": self.split,
        }
        return {key: value for key, value in known.items() if value is not None} | dict(self.extra)


KNOWN_KEYS = frozenset(Utterance.__dataclass_fields__) - {"extra"}


NUMBER = (int, float)


@dataclass(frozen=True)
class Manifest:
    """Ordered utterances with unique ids; everything pairs by id, never by position."""

    utterances: tuple[Utterance, ...]
    path: Path | None = None  # where it was read from

    def __post_init__(self) -> None:
        if len(self.by_id) != len(self.utterances):
            seen: set[str] = set()
            twice = [u.id for u in self.utterances if u.id in seen or seen.add(u.id)]  # type: ignore[func-returns-value]
            raise SpeechbenchError(f"{self.name}: {len(twice)} ids occur twice: {name_some(twice)}; ids must be unique")

    @property
    def by_id(self) -> dict[str, Utterance]:
        """The utterances under their ids."""
        return {utterance.id: utterance for utterance in self.utterances}

    @property
    def name(self) -> str:
        """The path, for messages."""
        return str(self.path) if self.path else "manifest"

    @property
    def seconds(self) -> float:
        """The total duration in seconds."""
        return math.fsum(utterance.duration for utterance in self.utterances)

    def __len__(self) -> int:
        return len(self.utterances)

    def __iter__(self) -> Iterator[Utterance]:
        return iter(self.utterances)

    def select(self, keep: Callable[[Utterance], bool]) -> Manifest:
        """The utterances for which `keep` holds, in the same order."""
        return replace(self, utterances=tuple(filter(keep, self.utterances)))

    def where(self, condition: str) -> Manifest:
        """The utterances whose key has a value, written as "key=value".

        Raises:
            SpeechbenchError: Not of that form, or no utterance is like that.
        """
        key, found, value = condition.partition("=")
        if not found:
            raise SpeechbenchError(f"'{condition}': expected key=value, for example grade=A")
        chosen = self.select(lambda utterance: str(utterance.get(key)) == value)
        if not chosen.utterances:
            raise SpeechbenchError(f"{self.name}: no utterance has {key}={value}")
        return chosen

    def sample(self, most: int, seed: int) -> Manifest:
        """At most so many utterances, drawn at random, in the same order; the path is kept for messages."""
        if len(self) <= most:
            return self
        drawn = set(generator_of(seed, "sample").permutation(len(self))[:most].tolist())
        return replace(self, utterances=tuple(u for number, u in enumerate(self) if number in drawn))

    def digest(self) -> str:
        """SHA-256 of what the utterances are (ids, audio, texts, speakers), wherever they lie and however they were selected.

        The audio is read: other mixes of the same speech have the same ids, texts, durations and names of files.
        """
        contents = {path: _content(path) for path in {u.audio_filepath for u in self}}
        rows = [[u.id, contents[u.audio_filepath], u.offset, u.duration, u.text, u.speaker] for u in self]
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()

    def with_text(self) -> Manifest:
        """Itself, when every utterance has a text.

        Raises:
            SpeechbenchError: Names the utterances that have none.
        """
        bare = [utterance.id for utterance in self if not utterance.words]
        if bare:
            raise SpeechbenchError(
                f"{self.name}: {len(bare)} of {len(self)} utterances have no text: {name_some(bare)}; add 'text' or remove them"
            )
        return self

    def write(self, path: Path) -> None:
        """Write the manifest whole or not at all."""
        write_json_lines(path, (utterance.row(path.parent) for utterance in self))


def _content(path: Path) -> str | None:
    """What a file holds; None where it cannot be read, which is said when it is decoded."""
    try:
        return sha256(path)
    except OSError:
        return None


def read(path: Path | str) -> Manifest:
    """Read a manifest.

    Raises:
        SpeechbenchError: Missing file, no utterance, bad lines (all of them, with their numbers), ids that occur twice.
    """
    path = Path(path)
    folder = str(path.parent.absolute())
    utterances: list[Utterance] = []
    faults: list[str] = []
    with _no_collection():
        for number, line in enumerate(lines_of(path), start=1):
            if line.strip():
                try:
                    utterances.append(_parse(line, folder))
                except ValueError as error:
                    faults.append(f"line {number}: {error}")
    if faults:
        raise SpeechbenchError(
            f"{path}: {len(faults)} bad lines: {'; '.join(faults[:20])}" + ("; ..." if len(faults) > 20 else "")
        )
    if not utterances:
        raise SpeechbenchError(f"{path}: holds no utterance; a manifest has one JSON object a line")
    return Manifest(tuple(utterances), path)


@contextmanager
def _no_collection() -> Iterator[None]:
    """Searching garbage among utterances, which are all in use, again and again takes a quarter of a long reading."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def inputs(manifests: Iterable[Manifest]) -> set[Path]:
    """What is read to use the manifests: their files and their audio's folders, for `files.keep_inputs`."""
    read = set()
    for manifest in manifests:
        read |= {manifest.path} if manifest.path else set()
        read |= {utterance.audio_filepath.parent for utterance in manifest}
    return read


def _parse(line: str, folder: str) -> Utterance:
    try:
        row = DECODER.decode(line)
        if "\\u" in line:
            json.dumps(row, ensure_ascii=False).encode()  # half of a surrogate pair is no character and cannot be written
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON ({error.msg})") from error
    if not isinstance(row, dict):
        raise ValueError("not a JSON object")
    file_name = row.get("audio_filepath")
    if not isinstance(file_name, str) or not file_name:
        raise ValueError("'audio_filepath' is missing")
    duration = row.get("duration")
    if isinstance(duration, bool) or not isinstance(duration, NUMBER) or not 0 < duration < math.inf:
        raise ValueError(f"'duration' is {duration!r}; expected seconds above 0")
    offset = row.get("offset", 0.0)
    if isinstance(offset, bool) or not isinstance(offset, NUMBER) or not 0 <= offset < math.inf:
        raise ValueError(f"'offset' is {offset!r}; expected seconds, 0 or more")
    for key in ("id", "text", "speaker", "split"):
        if not isinstance(row.get(key, ""), str):
            raise ValueError(f"'{key}' is {row[key]!r}; expected a string")
    path = Path(os.path.normpath(os.path.join(folder, file_name)))  # noqa: PTH118 - a third faster on long manifests
    return Utterance(
        id=row.get("id") or (f"{path.stem}-{offset:.3f}" if offset else path.stem),
        audio_filepath=path,
        duration=float(duration),
        offset=float(offset),
        sampling_rate=row.get("sampling_rate"),
        text=row.get("text") or None,
        speaker=row.get("speaker") or None,
        split=row.get("split") or None,
        extra={key: value for key, value in row.items() if key not in KNOWN_KEYS},
    )


def _refuse(constant: str) -> None:
    raise ValueError(f"not JSON ({constant} is no number); leave the key out")


DECODER = json.JSONDecoder(parse_constant=_refuse)  # one for all lines: json.loads would make one for each


@dataclass
class Skipped:
    """The utterances that a long run could not use, with the reason for each; never silent, never fatal alone."""

    reasons: dict[str, str] = field(default_factory=dict)

    def add(self, utterance_id: str, error: AudioError) -> None:
        """Note one, and say so at once."""
        self.reasons[utterance_id] = str(error)
        say(f"skipped {utterance_id}: {error}")

    def close(self, total: int, path: Path | None = None) -> None:
        """Say how many were skipped, and write their list beside the output.

        Args:
            total: How many utterances there were.
            path: Where to write the list, one JSON line each; nothing is written when nothing was skipped.

        Raises:
            SpeechbenchError: None is left.
        """
        if path is not None:
            path.unlink(missing_ok=True)  # of an output that is now overwritten
        if not self.reasons:
            return
        first = next(iter(self.reasons.values()))
        if len(self.reasons) >= total:
            raise SpeechbenchError(f"none of the {total} utterances can be used; the first: {first}")
        if path is not None:
            write_json_lines(path, ({"id": key, "reason": reason} for key, reason in self.reasons.items()))
        say(f"{len(self.reasons)} of {total} utterances were skipped" + (f", listed in {path}" if path else ""))


def usable(items: Iterable[tuple[str, Any | AudioError]], skipped: Skipped) -> Iterator[tuple[str, Any]]:
    """Pass on the (id, result) pairs that are results; note those that are errors in `skipped`."""
    for key, result in items:
        if isinstance(result, AudioError):
            skipped.add(key, result)
        else:
            yield key, result
