"""How corpora lie on disk: a few generic readers, each an options dataclass that finds a corpus's entries.

A corpus needs no code of its own: its card names one of `LAYOUTS` and the options.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from speechbench.errors import SpeechbenchError, unknown_name
from speechbench.files import read_json, read_lines, read_text

AUDIO_SUFFIXES = frozenset({".aif", ".aiff", ".flac", ".mp3", ".oga", ".ogg", ".opus", ".sph", ".wav"})


@dataclass(frozen=True)
class Entry:
    """What a layout says of one utterance: where it is, and its facts (text, speaker, split, source, ...)."""

    audio_filepath: Path
    facts: Mapping[str, Any]
    id: str | None = None  # None: named by the file


class Layout(Protocol):
    """A way to lay out a corpus."""

    def entries(self, root: Path) -> Iterator[Entry]:
        """The corpus's entries below `root`, in the order of their paths or lines."""
        ...


@dataclass(frozen=True)
class Table:
    """Tables (TSV, or CSV by the suffix) with a header, a row an utterance."""

    files: tuple[str, ...] = ("transcripts.tsv",)  # below the root; those that exist are read, at least one has to
    # Our key -> its column. "audio_filepath" is needed; keys we do not know travel as extra keys of the utterance.
    columns: dict[str, str] = field(default_factory=lambda: {"audio_filepath": "file", "text": "text", "speaker": "speaker"})
    folder: str = "."  # what the paths in the table are relative to, below the root
    quoted: bool = True  # fields may stand in double quotes; false reads quotes as letters
    split_by_file: bool = False  # "train.tsv" holds the split "train"
    alignments: Literal["", "pocketsphinx"] = ""  # "pocketsphinx": NAME.json and NAME.phone.json beside the audio

    def __post_init__(self) -> None:
        if "audio_filepath" not in self.columns:
            raise ValueError("'layout.columns' needs audio_filepath = \"the column with the files' paths\"")

    def entries(self, root: Path) -> Iterator[Entry]:
        """One entry a row."""
        tables = [root / name for name in self.files if (root / name).is_file()]
        if not tables:
            raise SpeechbenchError(f"{root}: holds no {' or '.join(self.files)}; name the corpus's own folder with --root")
        for path in tables:
            for row in self._rows(path):
                facts: dict[str, Any] = {key: row[column] for key, column in self.columns.items() if row[column]}
                audio_filepath = root / self.folder / facts.pop("audio_filepath", "")
                if self.split_by_file:
                    facts["split"] = path.stem
                if self.alignments and audio_filepath.with_suffix(".json").is_file():
                    facts["alignments"] = pocketsphinx_alignments(audio_filepath)
                yield Entry(audio_filepath, facts)

    def _rows(self, path: Path) -> Iterator[dict[str, str]]:
        rows = csv.DictReader(
            io.StringIO(read_text(path)),
            delimiter="," if path.suffix == ".csv" else "\t",
            quoting=csv.QUOTE_MINIMAL if self.quoted else csv.QUOTE_NONE,
        )
        for column in self.columns.values():
            if column not in (rows.fieldnames or ()):
                raise SpeechbenchError(f"{path}: {unknown_name('column', column, rows.fieldnames or ())}")
        for row in rows:
            if any(row[column] is None for column in self.columns.values()):
                raise SpeechbenchError(f"{path}: line {rows.line_num}: has fewer columns than the header; complete it")
            yield row


@dataclass(frozen=True)
class Files:
    """Audio files whose paths say everything; other files are no part of the corpus."""

    # Matches the whole path below the root, "/" between folders; its named groups become the utterance's keys.
    pattern: str = r"(?P<source>.+)\.\w+"
    rules: tuple[dict[str, str], ...] = ()  # one whose "match" is found in the path sets its other keys; the first wins
    lists: dict[str, str] = field(default_factory=dict)  # split -> a file below the root that lists its paths
    rest: str = "train"  # the split of what no list names; only where there are lists

    def __post_init__(self) -> None:
        for expression in (self.pattern, *(rule.get("match", "") for rule in self.rules)):
            try:
                re.compile(expression)
            except re.error as error:
                raise ValueError(f"'{expression}' is no regular expression: {error}") from error

    def entries(self, root: Path) -> Iterator[Entry]:
        """One entry a file that matches."""
        listed = {
            line.strip(): split
            for split, name in self.lists.items()
            for line in read_text(root / name).splitlines()
            if line.strip()
        }
        for path in _audio_files(root):
            below = path.relative_to(root).as_posix()
            match = re.fullmatch(self.pattern, below)
            if match is None:
                continue
            facts = {key: value for key, value in match.groupdict().items() if value}
            for rule in reversed(self.rules):
                if re.search(rule.get("match", ""), below):
                    facts |= {key: value for key, value in rule.items() if key != "match"}
            if self.lists:
                facts["split"] = listed.get(below, self.rest)
            yield Entry(path, facts)


@dataclass(frozen=True)
class LibriSpeech:
    """SUBSET/SPEAKER/CHAPTER/ID.flac, the texts of a chapter in *.trans.txt; the subset is the split."""

    subsets: tuple[str, ...] = ()  # which to read; none named: all
    suffix: str = ".flac"  # of the audio

    def entries(self, root: Path) -> Iterator[Entry]:
        """One entry a line of the *.trans.txt files."""
        for path in sorted(root.rglob("*.trans.txt")):
            split = path.parents[2].name
            if self.subsets and split not in self.subsets:
                continue
            for line in read_lines(path):
                name, _, text = line.partition(" ")
                if name:
                    facts = {"text": text, "speaker": name.split("-")[0], "split": split}
                    yield Entry(path.parent / f"{name}{self.suffix}", facts, name)


@dataclass(frozen=True)
class Timit:
    """SPLIT/DIALECT/SPEAKER/SENTENCE.wav with .txt, .wrd and .phn beside it, in either case of letters."""

    exclude: str = ""  # sentences whose names match this are no part of the corpus

    def entries(self, root: Path) -> Iterator[Entry]:
        """One entry a recording that has its .txt."""
        for path in _audio_files(root):
            files = {other.suffix.lower(): other for other in path.parent.glob(f"{path.stem}.*")}
            sentence, below = path.stem.lower(), [part.lower() for part in path.relative_to(root).parts]
            if len(below) < 4 or ".txt" not in files or (self.exclude and re.fullmatch(self.exclude, sentence)):
                continue
            split, dialect, speaker = below[-4:-1]
            text = read_text(files[".txt"]).split(maxsplit=2)[2]  # "first sample, last sample, text"
            facts: dict[str, Any] = {"text": text, "speaker": speaker, "split": split, "sex": speaker[0], "dialect": dialect}
            pairs = (("words", ".wrd"), ("phonemes", ".phn"))
            facts["alignments"] = {kind: timit_times(files[suffix]) for kind, suffix in pairs if suffix in files}
            yield Entry(path, facts, f"{speaker}-{sentence}")


LAYOUTS: Mapping[str, type[Table] | type[Files] | type[LibriSpeech] | type[Timit]] = {
    "table": Table,
    "files": Files,
    "librispeech": LibriSpeech,
    "timit": Timit,
}


def _audio_files(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES and path.is_file())


Times = list[list[Any]]  # [start in s, end in s, word or phoneme]; silences are the gaps between them

TIMIT_RATE = 16_000  # Hz, of the sample numbers in TIMIT's .wrd and .phn files


def timit_times(path: Path) -> Times:
    """The times in a .wrd or .phn file: "first sample, last sample, label" a line."""
    rows = [line.split() for line in read_text(path).splitlines() if line.strip()]
    return [[int(start) / TIMIT_RATE, int(end) / TIMIT_RATE, label] for start, end, label in rows if label != "h#"]


def pocketsphinx_alignments(audio_filepath: Path) -> dict[str, Times]:
    """Word times from NAME.json and phoneme times from NAME.phone.json, as `pocketsphinx align` writes them.

    A segment has "b" (begin, s), "d" (duration, s), "t" (text) and "w" (the segments in it).
    """
    words = _segments(audio_filepath.with_suffix(".json"))
    alignments = {"words": [_times(word, re.sub(r"\(\d+\)$", "", word["t"])) for word in words if word["t"][0] != "<"]}
    phoneme_file = audio_filepath.with_suffix(".phone.json")
    if phoneme_file.is_file():
        phonemes = [phoneme for word in _segments(phoneme_file) for phoneme in word["w"]]
        alignments["phonemes"] = [_times(phoneme, phoneme["t"]) for phoneme in phonemes if phoneme["t"] != "SIL"]
    return alignments


def _segments(path: Path) -> list[dict[str, Any]]:
    segments: list[dict[str, Any]] = read_json(path)["w"]
    return segments


def _times(segment: dict[str, Any], label: str) -> list[Any]:
    return [segment["b"], round(segment["b"] + segment["d"], 3), label]
