"""Noise recordings, with their sources, conditions and hours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from speechbench import audio, levels, manifest
from speechbench.audio import Samples
from speechbench.errors import AudioError, SpeechbenchError, name_some
from speechbench.manifest import Manifest, Skipped, usable
from speechbench.progress import say, track
from synth.recordings import RECORDINGS, Recordings

FADE = 0.02  # s, over which one piece of noise gives way to the next
SHORTEST_NOISE = 0.1  # s; a recording must hold the fades at both ends
# Half a step of 16 bits: noise below it is the silence of a converter, and an offset without sound is silence too.
SILENCE_DBFS = -96.0


@dataclass(frozen=True, slots=True)
class Noise:
    """A noise recording, or a stretch of one."""

    id: str
    audio_filepath: str  # absolute
    offset: float  # s
    duration: float  # s
    source: str  # the car, session or microphone: what a recogniser could learn to ignore
    condition: str | None = None  # city, highway, rain, ...; of an event what it is: horn, wiper, ...
    split: str | None = None
    event: bool = False  # laid over a background at one place, never as the background


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a recording that is laid under speech."""

    id: str
    audio_filepath: str
    source: str
    condition: str | None
    offset: float  # s, in the file
    duration: float  # s

    def row(self) -> dict[str, Any]:
        """As a JSON object, without what is not known."""
        row = {name: getattr(self, name) for name in Piece.__dataclass_fields__}
        return {key: value for key, value in row.items() if value is not None}


@dataclass(frozen=True)
class NoiseBank:
    """Noise recordings that know their sources and hours."""

    recordings: tuple[Noise, ...]

    @classmethod
    def load(cls, paths: Sequence[Path], skipped: Skipped) -> NoiseBank:
        """Read noise manifests; keys beyond a manifest's own are `source`, `condition` and `event`.

        Only the files' headers are read; `listen` reads the audio.

        Args:
            paths: The manifests.
            skipped: Where recordings that cannot be used are noted.

        Raises:
            SpeechbenchError: A bad manifest, an id in two manifests, or no recording that can be used.
        """
        manifests = [manifest.read(path) for path in paths]
        whole = Manifest(tuple(utterance for one in manifests for utterance in one))
        unsourced = [utterance.id for utterance in whole if not utterance.extra.get("source")]
        if unsourced:
            say(f"{len(unsourced)} noise recordings have no 'source': each file name counts as one ({name_some(unsourced, 3)})")
        inspected: dict[Path, audio.AudioInfo | AudioError] = {}
        items = ((utterance.id, _noise(utterance, inspected)) for utterance in whole)
        recordings = tuple(noise for _, noise in usable(items, skipped))
        if not recordings:
            raise SpeechbenchError(f"no noise recording can be used; the first: {next(iter(skipped.reasons.values()))}")
        return cls(recordings)

    def listen(self, thread_count: int, skipped: Skipped, recordings: Recordings = RECORDINGS) -> NoiseBank:
        """Read all the audio once: leave out what is broken or silent, and digital silence at either end.

        Threads do it, for nearly all of it is decoding, and what they decode stays decoded.

        Args:
            thread_count: How many.
            skipped: Where recordings that cannot be used are noted.
            recordings: What they are read with.

        Raises:
            SpeechbenchError: No recording can be used.
        """
        with ThreadPoolExecutor(thread_count) as pool:
            heard = pool.map(partial(_listen, recordings), self.recordings)
            sounding = tuple(noise for _, noise in usable(track(heard, "listen to noise", len(self.recordings)), skipped))
        if not sounding:
            raise SpeechbenchError(f"no noise recording can be used; the first: {next(iter(skipped.reasons.values()))}")
        return NoiseBank(sounding)

    @property
    def seconds(self) -> float:
        """The total duration in seconds."""
        return math.fsum(noise.duration for noise in self.recordings)

    @property
    def sources(self) -> dict[str, float]:
        """The seconds of each source."""
        seconds: dict[str, float] = {}
        for noise in self.recordings:
            seconds[noise.source] = seconds.get(noise.source, 0.0) + noise.duration
        return seconds


def _noise(utterance: manifest.Utterance, inspected: dict[Path, audio.AudioInfo | AudioError]) -> Noise | AudioError:
    path = utterance.audio_filepath
    if path not in inspected:
        try:
            inspected[path] = audio.inspect(path)
        except AudioError as error:
            inspected[path] = error
    header = inspected[path]
    if isinstance(header, AudioError):
        return header
    if utterance.offset + utterance.duration > header.duration + audio.ROUNDING:
        return AudioError(f"{path}: lasts {header.duration:.2f} s, its manifest line asks for more; correct the line")
    if utterance.duration < SHORTEST_NOISE:
        return AudioError(f"{path}: noise of under {SHORTEST_NOISE} s cannot lie under speech; remove it")
    source, condition, event = (utterance.extra.get(key) for key in ("source", "condition", "event"))
    if event not in (None, False, True) or (event and not condition):
        return AudioError(f"{path}: 'event' is true or false, and true needs a 'condition' that says what it is")
    return Noise(
        id=utterance.id,
        audio_filepath=str(path),
        offset=utterance.offset,
        duration=min(utterance.duration, header.duration - utterance.offset),
        source=str(source) if source else path.stem,
        condition=str(condition) if condition else None,
        split=utterance.split,
        event=bool(event),
    )


def _listen(recordings: Recordings, noise: Noise) -> tuple[str, Noise | AudioError]:
    try:
        samples = recordings.read(Path(noise.audio_filepath), noise.offset, noise.duration)
    except AudioError as error:
        return noise.id, error
    if _is_silent(samples):
        return noise.id, AudioError(f"{noise.audio_filepath}: noise is silent, no SNR can be set; remove it")
    edge = round(FADE * audio.SAMPLING_RATE)
    if samples[:edge].any() and samples[-edge:].any():
        return noise.id, noise
    sounds = samples != 0
    start = int(sounds.argmax()) / audio.SAMPLING_RATE
    end = (samples.size - int(sounds[::-1].argmax())) / audio.SAMPLING_RATE
    end = min(end, noise.duration)
    if end - start < SHORTEST_NOISE:
        return noise.id, AudioError(f"{noise.audio_filepath}: sounds for under {SHORTEST_NOISE} s; remove it")
    return noise.id, replace(noise, offset=noise.offset + start, duration=end - start)


def _is_silent(samples: Samples) -> bool:
    """Whether there is no more than an offset; one look at every 16th sample answers for most, since power adds up."""
    at_least = levels.decibels(float(samples[::16].var()) / 16.0)
    return at_least < SILENCE_DBFS and levels.decibels(float(samples.var())) < SILENCE_DBFS


def side_of(split: str | None) -> str | None:
    """The split whose noise a split shares: train-dev is of the training distribution, so it has train's."""
    return "train" if split == "train-dev" else split
