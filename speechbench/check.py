"""Faults of manifests, each by itself, and leakage between them: what must not be shared by train and test."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any, Literal

import numpy as np

from speechbench import jobs
from speechbench.audio import ROUNDING, inspect
from speechbench.errors import AudioError, name_some
from speechbench.manifest import Manifest, Utterance
from speechbench.progress import track


@dataclass(frozen=True)
class Finding:
    """One thing found in a manifest, or between two."""

    level: Literal["error", "warning", "info"]
    code: str  # for programs: AUDIO_UNREADABLE, LEAK_SPEAKER, ...
    where: str  # the manifests
    count: int  # how many
    message: str
    names: tuple[str, ...] = ()  # utterances, speakers, sources, ... that it is about

    def row(self) -> dict[str, Any]:
        """As a JSON document."""
        return {**asdict(self), "names": list(self.names)}


@dataclass(frozen=True)
class Heard:
    """What reading one utterance gave."""

    content: str = ""  # a hash of the samples at 16 kHz, so that a copy in another format is still seen
    file_seconds: float = 0.0
    fault: str = ""


def check(manifests: Sequence[Manifest], workers: int = 1) -> list[Finding]:
    """All findings, errors first: unreadable audio and leakage are errors.

    Args:
        manifests: Speech or noise; each pair of them is checked for leakage.
        workers: Processes that read audio; every utterance is decoded.
    """
    utterances = [utterance for manifest in manifests for utterance in manifest]
    heard = iter(list(track(jobs.run(_hear, utterances, workers), "check", len(utterances))))
    contents = [{utterance.id: next(heard) for utterance in manifest} for manifest in manifests]
    findings = [f for m, content in zip(manifests, contents, strict=True) for f in _alone(m, content)]
    for (one, first), (two, second) in combinations(zip(manifests, contents, strict=True), 2):
        findings += _between(one, two, first, second)
    levels = ("error", "warning", "info")
    return sorted(findings, key=lambda finding: levels.index(finding.level))


def _hear(utterance: Utterance) -> Heard:
    try:
        samples = utterance.samples()
        file_seconds = inspect(utterance.audio_filepath).duration
    except AudioError as error:
        return Heard(fault=str(error))
    whole = np.rint(samples * 32768.0).astype(np.int32)
    return Heard(hashlib.sha256(whole.tobytes()).hexdigest(), file_seconds)


def _alone(manifest: Manifest, heard: dict[str, Heard]) -> Iterator[Finding]:
    def finding(level: Literal["error", "warning", "info"], code: str, names: Iterable[str], message: str) -> Iterator[Finding]:
        listed = tuple(names)
        if listed:
            yield Finding(level, code, manifest.name, len(listed), f"{message}: {name_some(listed)}", listed)

    for key, one in heard.items():
        if one.fault:
            yield Finding("error", "AUDIO_UNREADABLE", manifest.name, 1, f"{key}: {one.fault}", (key,))
    uses = Counter(utterance.audio_filepath for utterance in manifest)
    wrong = [
        f"{u.id} ({u.duration:.2f} s, file {heard[u.id].file_seconds:.2f} s)"
        for u in manifest
        if not heard[u.id].fault and not u.offset and uses[u.audio_filepath] == 1
        if abs(u.duration - heard[u.id].file_seconds) > ROUNDING
    ]
    yield from finding("warning", "DURATION_WRONG", wrong, "the manifest's duration is not the file's")
    with_text = [utterance for utterance in manifest if utterance.words]
    if with_text:
        yield from finding(
            "warning", "TEXT_MISSING", (u.id for u in manifest if not u.words), "no text, though others have one"
        )
    by_content = _groups((one.content, key) for key, one in heard.items() if not one.fault)
    twice = [" = ".join(keys) for keys in by_content.values() if len(keys) > 1]
    yield from finding("warning", "DUPLICATE_AUDIO", twice, "the same samples more than once")
    texts = Counter(utterance.text for utterance in with_text)
    if len(texts) < len(with_text):
        most, times = texts.most_common(1)[0]
        message = f"{len(with_text)} utterances have {len(texts)} different texts; the most frequent, {times} times: '{most}'"
        yield Finding("info", "DUPLICATE_TEXT", manifest.name, len(with_text) - len(texts), message)
    unknown = [u.id for u in with_text if u.speaker is None]
    yield from finding("info", "SPEAKER_UNKNOWN", unknown, "no speaker, so that shared speakers cannot be seen")


def _groups(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = defaultdict(list)
    for name, member in pairs:
        groups[name].append(member)
    return groups


# What two manifests may not share: code, what it is called, and what an utterance has of it.
LEAKS: tuple[tuple[str, str, Callable[[Utterance], Iterable[str]]], ...] = (
    ("LEAK_SPEAKER", "speakers", lambda u: [u.speaker] if u.speaker else []),
    ("LEAK_AUDIO", "audio files", lambda u: [str(u.audio_filepath)]),
    ("LEAK_CLEAN", "clean utterances", lambda u: _texts(u, "clean_id", "clean_filepath")),
    ("LEAK_NOISE", "noise sources", lambda u: _sources(u)),
)


def _texts(utterance: Utterance, *keys: str) -> list[str]:
    return [utterance.extra[key] for key in keys if isinstance(utterance.extra.get(key), str)]


def _sources(utterance: Utterance) -> list[str]:
    pieces = utterance.extra.get("noise")
    used = [piece.get("source") for piece in pieces if isinstance(piece, dict)] if isinstance(pieces, list) else []
    return [*_texts(utterance, "source"), *(source for source in used if isinstance(source, str))]


def _between(one: Manifest, two: Manifest, first: dict[str, Heard], second: dict[str, Heard]) -> Iterator[Finding]:
    where = f"{one.name}, {two.name}"

    def shared(level: Literal["error", "info"], code: str, what: str, names: Iterable[str]) -> Iterator[Finding]:
        listed = tuple(sorted(names))
        if listed:
            yield Finding(level, code, where, len(listed), f"{len(listed)} {what} are in both: {name_some(listed)}", listed)

    for code, what, of in LEAKS:
        in_one, in_two = ({name for utterance in manifest for name in of(utterance)} for manifest in (one, two))
        yield from shared("error", code, what, in_one & in_two)
    files = {utterance.audio_filepath for utterance in one} & {utterance.audio_filepath for utterance in two}
    contents = [
        {heard[u.id].content: u.id for u in manifest if u.audio_filepath not in files and not heard[u.id].fault}
        for manifest, heard in ((one, first), (two, second))
    ]
    copies = (f"{contents[0][content]} = {contents[1][content]}" for content in contents[0].keys() & contents[1].keys())
    yield from shared("error", "LEAK_CONTENT", "recordings, under other names,", copies)
    texts = ({u.text for u in manifest if u.text} for manifest in (one, two))
    yield from shared("info", "SAME_TEXT", "sentences", set.intersection(*texts))
