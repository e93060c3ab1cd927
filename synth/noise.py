"""Noise recordings and their fair use: no second is heard twice before every second was heard once."""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from heapq import heapify, heappop, heapreplace
from pathlib import Path
from typing import Any

import numpy as np

from speechbench import audio, jobs, manifest
from speechbench.errors import AudioError, SpeechbenchError, name_some, unknown_name
from speechbench.manifest import Manifest, Skipped, usable
from speechbench.progress import say, track
from speechbench.seeds import seed_of

FADE = 0.02  # s, over which one piece of noise gives way to the next
SHORTEST_PIECE = 0.5  # s; what is left of a recording below this rests until the next pass
SHORTEST_NOISE = 0.1  # s; a recording must hold the fades at both ends
SECONDS_WORTH_A_PROCESS = 3600.0  # of noise: it takes about as long to hear as a process to start
LOOK_AHEAD = 4  # cells, and recordings in one, that are tried for one that is long enough before pieces are joined


@dataclass(frozen=True, slots=True)
class Noise:
    """A noise recording, or a stretch of one."""

    id: str
    audio_filepath: str  # absolute
    offset: float  # s
    duration: float  # s
    source: str  # the car, session or microphone: what a recogniser could learn to ignore
    condition: str | None = None  # city, highway, rain, ...
    split: str | None = None


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
        """Read noise manifests; keys beyond a manifest's own are `source` and `condition`.

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

    def listen(self, worker_count: int, skipped: Skipped) -> NoiseBank:
        """Read all the audio once: leave out what is broken or silent, and digital silence at either end.

        Raises:
            SpeechbenchError: No recording can be used.
        """
        worker_count = min(worker_count, 1 + int(self.seconds / SECONDS_WORTH_A_PROCESS))
        heard = track(jobs.run(_listen, self.recordings, worker_count), "listen to noise", len(self.recordings))
        recordings = tuple(noise for _, noise in usable(heard, skipped))
        if not recordings:
            raise SpeechbenchError(f"no noise recording can be used; the first: {next(iter(skipped.reasons.values()))}")
        return NoiseBank(recordings)

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
    source, condition = utterance.extra.get("source"), utterance.extra.get("condition")
    return Noise(
        id=utterance.id,
        audio_filepath=str(path),
        offset=utterance.offset,
        duration=min(utterance.duration, header.duration - utterance.offset),
        source=str(source) if source else path.stem,
        condition=str(condition) if condition else None,
        split=utterance.split,
    )


def _listen(noise: Noise) -> tuple[str, Noise | AudioError]:
    try:
        samples = audio.read(Path(noise.audio_filepath), noise.offset, noise.duration)
    except AudioError as error:
        return noise.id, error
    sounding = np.flatnonzero(samples)
    if sounding.size == 0:
        return noise.id, AudioError(f"{noise.audio_filepath}: noise is silent, no SNR can be set; remove it")
    start, end = int(sounding[0]) / audio.SAMPLING_RATE, (int(sounding[-1]) + 1) / audio.SAMPLING_RATE
    end = min(end, noise.duration)
    if end - start < SHORTEST_NOISE:
        return noise.id, AudioError(f"{noise.audio_filepath}: sounds for under {SHORTEST_NOISE} s; remove it")
    if start < FADE and noise.duration - end < FADE:
        return noise.id, noise
    return noise.id, replace(noise, offset=noise.offset + start, duration=end - start)


def side_of(split: str | None) -> str | None:
    """The split whose noise a split shares: train-dev is of the training distribution, so it has train's."""
    return "train" if split == "train-dev" else split


class Allotment:
    """Hands out the bank's noise piece by piece.

    A *cell* is one source under one condition. Each pass over the cells draws sources evenly until each has used up
    its recordings; only then does the next pass start. The order of requests matters, so that they come from one place.
    """

    def __init__(self, bank: NoiseBank, conditions: Mapping[str, float], seed: int) -> None:
        """Start with all noise unused.

        Args:
            bank: The noise.
            conditions: Weight of each condition that may be drawn; none draws all noise alike.
            seed: Of the order and the offsets.

        Raises:
            SpeechbenchError: A condition that no recording has.
        """
        known = {noise.condition for noise in bank.recordings if noise.condition}
        for name in conditions:
            if name not in known:
                raise SpeechbenchError(f"recipe: {unknown_name('noise condition', name, known or {'none'})}")
        self.bank, self.conditions, self.seed = bank, conditions, seed
        self.weight = math.fsum(conditions.values())
        self.pools: dict[tuple[str | None, str | None], _Pool] = {}

    def take(self, seconds: float, split: str | None, chance: float) -> tuple[Piece, ...]:
        """Noise for one utterance: one piece where a recording is long enough, else several of one cell.

        Args:
            seconds: How much; pieces overlap by `FADE`, which is added.
            split: Of the speech: only noise of its side or of no split is used.
            chance: In [0, 1), chooses the condition.
        """
        condition = self._condition(chance)
        pool = self.pools.get((split, condition))
        if pool is None:
            pool = self.pools[split, condition] = self._pool(split, condition)
        return pool.take(seconds)

    def _condition(self, chance: float) -> str | None:
        below = chance * self.weight
        for name, weight in self.conditions.items():
            below -= weight
            if below < 0:
                return name
        return None

    def _pool(self, split: str | None, condition: str | None) -> _Pool:
        def suits(noise: Noise) -> bool:
            known = split is not None and noise.split is not None
            return not (known and side_of(noise.split) != side_of(split)) and condition in (None, noise.condition)

        recordings = list(filter(suits, self.bank.recordings))
        if not recordings:
            splits = name_some(sorted({str(noise.split) for noise in self.bank.recordings}))
            wanted = f" under condition '{condition}'" if condition else ""
            raise SpeechbenchError(f"no noise for speech of split '{split}'{wanted}; the noise has splits {splits}; add some")
        return _Pool(recordings, random.Random(seed_of(self.seed, "noise", split or "", condition or "")))


class _Pool:
    """The cells that one kind of speech draws from."""

    def __init__(self, recordings: Iterable[Noise], rng: random.Random) -> None:
        cells: dict[tuple[str, str], list[Noise]] = {}
        for noise in sorted(recordings, key=lambda noise: noise.id):
            cells.setdefault((noise.source, noise.condition or ""), []).append(noise)
        self.cells = [_Cell(cells[key], rng) for key in sorted(cells)]
        self.rng = rng
        self.fresh: list[list[_Cell]] = []  # per source, the cells that this pass has not used up
        self.longest: list[tuple[float, int]] = []  # a heap of the cells by what they had left when last looked at

    def take(self, seconds: float) -> tuple[Piece, ...]:
        if not self.fresh:
            self._start_pass()
        chance = self.rng.random
        for _ in range(LOOK_AHEAD):  # a cell with too little left would have to start its next pass before the others
            cells = self.fresh[int(chance() * len(self.fresh))]
            cell = cells[int(chance() * len(cells))]
            if cell.left >= seconds:
                break
        else:
            cell = self._longest()
        pieces, used_up = cell.take(seconds)
        if used_up:
            self._retire(cell)
        return pieces

    def _start_pass(self) -> None:
        by_source: dict[str, list[_Cell]] = {}
        for cell in self.cells:
            by_source.setdefault(cell.recordings[0].source, []).append(cell)
        self.fresh = list(by_source.values())
        for place, cells in enumerate(self.fresh):
            for cell in cells:
                cell.place = place
        self.longest = [(-cell.left, number) for number, cell in enumerate(self.cells)]
        heapify(self.longest)

    def _retire(self, cell: _Cell) -> None:
        cells = self.fresh[cell.place]
        cells.remove(cell)
        if not cells:  # the last source moves up
            last = self.fresh.pop()
            if last is not cells:
                self.fresh[cell.place] = last
                for moved in last:
                    moved.place = cell.place
        cell.place = None

    def _longest(self) -> _Cell:
        """The fresh cell with most left; within a pass they only lose, so that an old figure is never too small."""
        while True:
            known, number = self.longest[0]
            cell = self.cells[number]
            if cell.place is None:
                heappop(self.longest)
            elif cell.left < -known:
                heapreplace(self.longest, (-cell.left, number))
            else:
                return cell


class _Cell:
    """The recordings of one source under one condition, cut from the front until none is left."""

    def __init__(self, recordings: list[Noise], rng: random.Random) -> None:
        self.recordings, self.rng = recordings, rng
        self.free: deque[tuple[Noise, float, float]] = deque()  # recording, offset in its file, seconds
        self.left = 0.0  # s in `free`
        self.place: int | None = None  # of its source among those that this pass has not used up
        self._refill()

    def _refill(self) -> None:
        """Start a pass: recordings in random order, each read from a random place round to it again."""
        heads, tails = [], []
        for noise in self.rng.sample(self.recordings, len(self.recordings)):
            turn = round(self.rng.random() * noise.duration, 4)
            if min(turn, noise.duration - turn) < SHORTEST_PIECE:
                heads.append((noise, noise.offset, noise.duration))
            else:
                heads.append((noise, noise.offset + turn, noise.duration - turn))
                tails.append((noise, noise.offset, turn))
        self.free.extend(heads + tails)
        self.left = math.fsum(seconds for _, _, seconds in self.free)

    def take(self, seconds: float) -> tuple[tuple[Piece, ...], bool]:
        """Pieces that cover the seconds, and whether this used up the pass."""
        for _ in range(min(LOOK_AHEAD, len(self.free))):
            if self.free[0][2] >= seconds:
                break
            self.free.rotate(-1)
        pieces: list[Piece] = []
        used_up = False
        while True:
            noise, offset, left = self.free.popleft()
            length = min(left, seconds)
            pieces.append(
                Piece(noise.id, noise.audio_filepath, noise.source, noise.condition, round(offset, 6), round(length, 6))
            )
            kept = left - length if left - length >= SHORTEST_PIECE else 0.0
            if kept:
                self.free.append((noise, offset + length, kept))
            self.left += kept - left
            if not self.free:
                used_up = True
                self._refill()
            if length >= seconds:
                return tuple(pieces), used_up
            seconds -= length - FADE  # the next piece overlaps this one
