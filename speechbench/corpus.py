"""Reading a corpus as its card says: a manifest of what can be used, and a list of what cannot."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from speechbench import jobs
from speechbench.audio import AudioInfo, probe
from speechbench.cards import Card, Text, find, places
from speechbench.errors import AudioError, SpeechbenchError
from speechbench.files import mark, write_json_lines
from speechbench.layouts import Entry
from speechbench.manifest import KNOWN_KEYS, Manifest, Skipped, Utterance
from speechbench.progress import say, track
from speechbench.score import NORMALIZERS

FEW = 2_000  # files up to which headers are read faster in this process than workers start


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
        searched = ", ".join(map(str, places(card)))
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
    """Write manifest.jsonl, <split>.jsonl, skipped.jsonl where something was left out, and the finished marker last."""
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
