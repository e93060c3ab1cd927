"""Corpora: a card (TOML) says what a corpus is and how it lies on disk; reading one gives a manifest."""

from __future__ import annotations

import os
import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import speechbench
from speechbench import config, jobs
from speechbench.audio import AudioInfo, probe
from speechbench.errors import AudioError, SpeechbenchError, unknown_name
from speechbench.files import mark, read_text, write_json_lines
from speechbench.layouts import LAYOUTS, Entry, Layout
from speechbench.manifest import KNOWN_KEYS, Manifest, Skipped, Utterance
from speechbench.progress import say, track
from speechbench.score import NORMALIZERS

FEW = 2_000  # files up to which headers are read faster in this process than workers start


@dataclass(frozen=True)
class Text:
    """What is done to a corpus's texts."""

    normalizer: Literal["none", "plain"] = "plain"  # as in `score`: "plain" folds case, drops punctuation but apostrophes
    # A regular expression; texts that hold a match are dropped: stage directions, and signs that no lexicon can read.
    drop: str = r"[\[\](){}<>#*\d]"


@dataclass(frozen=True)
class Card:
    """What a corpus is, where to get it, and how it lies on disk."""

    name: str = ""
    description: str = ""
    kind: Literal["speech", "noise"] = "speech"
    licence: str = ""
    source: str = ""  # where to get it
    language: str = ""  # of the speech, for example "en"
    hours: float = 0.0
    utterances: int = 0
    splits: tuple[str, ...] = ()  # that it ships with
    places: tuple[str, ...] = ()  # folders where it usually lies, below one of `bases`; none named: the card's name
    values: dict[str, str] = field(default_factory=dict)  # keys of every utterance for which the layout says nothing
    source_prefix: str | None = None  # of noise sources, so that no two corpora share a name by chance; None: name and "-"
    text: Text = Text()
    generator: str = ""  # what makes it, for a corpus that is made and not found
    layout: Layout | None = None  # its reader, for a corpus that is found
    options: dict[str, Any] = field(default_factory=dict)  # of the generator

    def __post_init__(self) -> None:
        try:
            re.compile(self.text.drop)
        except re.error as error:
            raise ValueError(f"'text.drop' is no regular expression: {error}") from error


def datasets_folder() -> Path:
    """The folder with the cards: inside the installed package, beside it in a checkout."""
    package = Path(speechbench.__file__).parent
    return next(folder for folder in (package / "datasets", package.parent / "datasets") if folder.is_dir())


def names() -> list[str]:
    """The names of all cards."""
    return sorted(path.stem for path in datasets_folder().glob("*.toml"))


def load(name: str) -> Card:
    """A card by its name in datasets/, or by the path of a TOML file of the user's.

    Raises:
        SpeechbenchError: An unknown name (with the nearest known ones), or a card with a fault.
    """
    own = name.endswith(".toml")
    if not own and name not in names():
        raise SpeechbenchError(f"{unknown_name('corpus', name, names())}; or name a card of your own, a .toml file")
    path = Path(name) if own else datasets_folder() / f"{name}.toml"
    try:
        document = tomllib.loads(read_text(path))
    except tomllib.TOMLDecodeError as error:
        raise SpeechbenchError(f"{path}: not TOML: {error}") from error
    parts = {key: document.pop(key, None) for key in ("layout", "options")}
    card = config.build(Card, {"name": path.stem, **document}, str(path))
    layout = _layout(parts["layout"], path) if parts["layout"] else None
    if (layout is None) == (not card.generator):
        raise SpeechbenchError(f"{path}: expected either a table [layout] with its reader or a generator")
    return replace(card, layout=layout, options=parts["options"] or {})


def _layout(options: dict[str, Any], path: Path) -> Layout:
    reader = str(options.pop("reader", ""))
    if reader not in LAYOUTS:
        raise SpeechbenchError(f"{path}: {unknown_name('layout.reader', reader, LAYOUTS)}")
    return config.build(LAYOUTS[reader], options, str(path))


def bases() -> list[Path]:
    """The folders in which corpora are looked for: $SPEECHBENCH_DATA, ./data and ~/data."""
    named = os.environ.get("SPEECHBENCH_DATA")
    return [*([Path(named)] if named else []), Path("data"), Path.home() / "data"]


def find(card: Card) -> Path | None:
    """Where the corpus lies, or None."""
    places = [base / place for base in bases() for place in card.places or (card.name,)]
    return next((place for place in places if place.is_dir()), None)


@dataclass(frozen=True)
class Reading:
    """What a corpus gave: its manifest, and what was left out, by id with the reason."""

    manifest: Manifest
    unreadable: Skipped = field(default_factory=Skipped)
    dropped: dict[str, str] = field(default_factory=dict)  # utterances whose text cannot be used
    # The split of everything that was left out.
    splits_left_out: dict[str, str | None] = field(default_factory=dict)

    @cached_property
    def splits(self) -> list[str]:
        """The splits in the order in which they occur."""
        return list(dict.fromkeys(utterance.split for utterance in self.manifest if utterance.split))


def read(card: Card, root: Path | None = None, workers: int = 1) -> Reading:
    """Read a corpus: every entry of its layout whose header can be read and whose text can be used.

    Args:
        card: What to read.
        root: Its folder; None looks where the card says.
        workers: Processes that read headers.

    Raises:
        SpeechbenchError: Not found, no entry, or none that can be used.
    """
    root = root or find(card)
    if root is None:
        searched = ", ".join(str(base / place) for base in bases() for place in card.places or (card.name,))
        raise SpeechbenchError(
            f"{card.name}: not found ({searched}); get it from {card.source or 'its maker'} and name its folder with --root"
        )
    if not root.is_dir():
        raise SpeechbenchError(f"{root}: no such folder; --root names the folder of {card.name}")
    assert card.layout is not None
    entries = list(card.layout.entries(root))
    if not entries:
        raise SpeechbenchError(f"{root}: holds nothing that is laid out as {card.name}; name its own folder with --root")
    ids = _ids(entries, root)
    drop = re.compile(card.text.drop)
    utterances, unreadable, dropped, splits = [], Skipped(), {}, {}
    for entry, key, info in zip(entries, ids, _probe_all(entries, card.name, workers), strict=True):
        facts = {**card.values, **entry.facts}
        text = facts.get("text", "")
        if isinstance(info, AudioError):
            unreadable.add(key, info)
        elif card.kind == "speech" and drop.search(text):
            dropped[key] = f"text '{text}' holds '{drop.search(text)[0]}', which is not read"  # type: ignore[index]
        elif card.kind == "speech" and not clean(text, card.text):
            dropped[key] = "no text"
        else:
            utterances.append(_utterance(card, entry, key, info, facts))
            continue
        splits[key] = facts.get("split")
    if not utterances:
        reason = next(iter({**unreadable.reasons, **dropped}.values()))
        raise SpeechbenchError(f"{root}: none of the {len(entries)} utterances of {card.name} can be used; the first: {reason}")
    if dropped:
        reasons = Counter("no text" if reason == "no text" else "signs in the text" for reason in dropped.values())
        say(f"dropped {len(dropped)} utterances: " + ", ".join(f"{count} for {why}" for why, count in reasons.items()))
    unreadable.close(len(entries))
    return Reading(Manifest(tuple(utterances)), unreadable, dropped, splits)


def clean(text: str, rules: Text) -> str:
    """A text as the card wants it; "" where no word is left."""
    words = NORMALIZERS[rules.normalizer](text).split()
    return " ".join(word for word in words if any(map(str.isalnum, word)))


def _utterance(card: Card, entry: Entry, key: str, info: AudioInfo, facts: dict[str, Any]) -> Utterance:
    if not re.fullmatch(r"[\w.+-]+", facts.get("split", "-")):
        raise SpeechbenchError(f"{card.name}: {key}: split '{facts['split']}' cannot name a file; use letters, digits, - and _")
    extra = {name: value for name, value in facts.items() if name not in KNOWN_KEYS}
    text = facts.get("text")
    if card.kind == "noise":
        prefix = f"{card.name}-" if card.source_prefix is None else card.source_prefix
        extra, text = {**extra, "source": prefix + facts.get("source", key)}, None
    return Utterance(
        id=key,
        audio_filepath=Path(os.path.normpath(entry.audio_filepath.absolute())),
        duration=info.duration,
        sampling_rate=info.sampling_rate,
        text=clean(text, card.text) if text else None,
        speaker=facts.get("speaker"),
        split=facts.get("split"),
        extra=extra,
    )


def _ids(entries: list[Entry], root: Path) -> list[str]:
    """Ids that the layout gives; else the files' names, or their paths below the root where names occur twice."""
    files = [entry.audio_filepath.stem for entry in entries]
    if len(set(files)) < len(files):
        below = (Path(os.path.relpath(entry.audio_filepath, root)).with_suffix("") for entry in entries)
        files = ["-".join(path.parts) for path in below]
    return [entry.id or name for entry, name in zip(entries, files, strict=True)]


def _probe_all(entries: list[Entry], name: str, workers: int) -> Iterator[AudioInfo | AudioError]:
    paths = [entry.audio_filepath for entry in entries]
    results = jobs.run(_probe, paths, workers if len(paths) > FEW else 1)
    return track(results, f"read {name}", len(paths))


def _probe(path: Path) -> AudioInfo | AudioError:
    try:
        return probe(path)
    except AudioError as error:
        return error


def write(out: Path, card: Card, reading: Reading, **facts: Any) -> None:
    """Write manifest.jsonl, <split>.jsonl, skipped.jsonl where something was left out, and the marker last."""
    reading.manifest.write(out / "manifest.jsonl")
    for split in reading.splits:
        reading.manifest.select(lambda utterance, split=split: utterance.split == split).write(  # type: ignore[misc]
            out / f"{split}.jsonl"
        )
    left_out = {**reading.unreadable.reasons, **reading.dropped}
    if left_out:
        write_json_lines(out / "skipped.jsonl", ({"id": key, "reason": reason} for key, reason in left_out.items()))
    mark(out, "corpus", name=card.name, licence=card.licence, **facts)


def summary(card: Card, reading: Reading) -> list[dict[str, Any]]:
    """A row a split and one for all: utterances, hours, speakers and words (noise: sources, conditions), what was left out."""
    splits: list[str | None] = [*reading.splits]
    if splits and any(utterance.split is None for utterance in reading.manifest):
        splits.append("")
    return [_row(card, reading, split) for split in (splits if len(splits) == 1 else [*splits, None])]


def _row(card: Card, reading: Reading, split: str | None) -> dict[str, Any]:
    def inside(of: str | None) -> bool:
        return split is None or (of or "") == split

    chosen = reading.manifest.select(lambda utterance: inside(utterance.split))
    row: dict[str, Any] = {
        "split": {None: "all", "": "(none)"}.get(split, split),
        "utterances": len(chosen),
        "hours": round(chosen.seconds / 3600, 3),
    }
    if card.kind == "noise":
        row["sources"] = len({utterance.extra.get("source") for utterance in chosen})
        row["conditions"] = len({utterance.extra["condition"] for utterance in chosen if "condition" in utterance.extra})
    else:
        row["speakers"] = len({utterance.speaker for utterance in chosen if utterance.speaker}) or None  # unknown
        row["words"] = sum(len(utterance.words) for utterance in chosen)
        row["dropped"] = sum(inside(reading.splits_left_out.get(key)) for key in reading.dropped)
    row["skipped"] = sum(inside(reading.splits_left_out.get(key)) for key in reading.unreadable.reasons)
    return row
