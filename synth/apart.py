"""Scenes read ahead by processes of their own.

A thread that launches a GPU's kernels needs Python's lock for each of them. Threads that read 1,500 scenes beside it kept it
waiting for 0.4 to 1.3 s, where it has work for about a second; a process, for 0.03 s. And sixteen threads of one process read
4,600 s of audio a second where eight processes read 52,000.

What was read lies in memory that all processes see and that has no name: when they end, in whatever way, nothing is left.
POSIX shared memory, by which torch's data loader hands over its batches, is 64 MB in many a container.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from functools import cache
from itertools import islice, pairwise
from operator import itemgetter
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from speechbench import jobs
from speechbench.audio import SAMPLING_RATE, Samples
from speechbench.errors import AudioError
from synth import cabin
from synth.cabin import Response, Room
from synth.mix import joined
from synth.reading import Failed, Reader, Rows, aligned, fill
from synth.recordings import Lent, Recordings
from synth.scene import Scene

POSSIBLE = hasattr(os, "memfd_create")  # on Linux
MOST = 8  # processes; as many fill a large GPU's time
SLACK = 32  # samples by which a recording may be longer than its manifest says
SAMPLE_BYTES = 4
ROOM = 8  # memory that must grow takes an eighth more than it needs: batches are of nearly one size

Pin = Callable[[Samples], AbstractContextManager[None]]  # has a GPU copy straight from memory, until it is left


class _Part(NamedTuple):
    """Scenes of a group, and where they are to be laid."""

    scenes: tuple[Scene, ...]
    first: int  # row of the first of them
    shape: tuple[int, int, int]  # (2, B, N) of the whole group: speech and noise
    memory: Path
    noise: Lent | None
    speech: Lent | None


class _Told(NamedTuple):
    """What was laid there."""

    read: tuple[tuple[int, int], ...]  # row, samples
    failed: tuple[tuple[int, AudioError], ...]  # row


class _Memory:
    """Memory that both sides see; it grows with what it must hold.

    It stays mapped: to have the system find each of its pages anew takes as long as to fill them.
    """

    def __init__(self, file: BinaryIO, pin: Pin | None = None) -> None:
        self.file, self.pin, self.values = file, pin, np.zeros(0, np.float32)
        self._pinned = ExitStack()

    @property
    def place(self) -> Path:
        """Where another process finds it."""
        return Path(f"/proc/{os.getpid()}/fd/{self.file.fileno()}")

    def rows(self, shape: tuple[int, int, int]) -> Samples:
        """An array in it, with any numbers in it."""
        size = int(np.prod(shape))
        if size > self.values.size:
            whole = size + size // ROOM
            if os.fstat(self.file.fileno()).st_size < whole * SAMPLE_BYTES:
                os.ftruncate(self.file.fileno(), whole * SAMPLE_BYTES)
            self._pinned.close()
            self.values = np.memmap(self.file, np.float32, "r+", shape=(whole,)).view(np.ndarray)
            if self.pin is not None:
                self._pinned.enter_context(self.pin(self.values))
        return self.values[:size].reshape(shape)

    def close(self) -> None:
        """What was read from it last is gone."""
        self._pinned.close()
        self.file.close()


@cache
def _reader() -> Reader:
    """The process's own, which lasts as long as it does; it keeps nothing but what it borrows."""
    return Reader(0, 0)


@cache
def _memory(place: Path) -> _Memory:
    return _Memory(place.open("r+b"))


def _read(part: _Part) -> _Told:
    reader = _reader()
    for recordings, lent in ((reader.recordings, part.noise), (reader.speech, part.speech)):
        if lent:
            recordings.borrow(lent)
    rows = _memory(part.memory).rows(part.shape)
    read, failed = list[tuple[int, int]](), list[tuple[int, AudioError]]()
    for row, one in enumerate(part.scenes, part.first):
        try:
            speech, noise = reader.sounds(one)
        except AudioError as error:
            failed.append((row, error))
            continue
        fill(rows[:, row], speech, noise)
        read.append((row, speech.size))
    return _Told(tuple(read), tuple(failed))


@dataclass
class _Group:
    """Scenes under way."""

    scenes: tuple[Scene, ...]
    memory: _Memory
    shape: tuple[int, int, int]
    parts: int
    responses: Mapping[Room | None, Response | AudioError | None]

    def rows(self, told: Sequence[_Told]) -> tuple[Rows | None, Failed]:
        """What became of it; the rows hold until its memory is used again."""
        failed = [each for one in told for each in one.failed]
        read, responses = list[tuple[int, int]](), list[Response | None]()
        for row, length in (each for one in told for each in one.read):
            scene, response = self.scenes[row], self.responses[self.scenes[row].cabin]
            if isinstance(response, AudioError):
                failed.append((row, response))
            else:
                read.append((row, length))
                responses.append(joined(scene, response))
        named = [(self.scenes[row], error) for row, error in sorted(failed, key=itemgetter(0))]
        if not read:
            return None, named
        places, lengths = zip(*read, strict=True)
        both = self.memory.rows(self.shape)
        if named:
            both = both[:, list(places)]
        scenes = tuple(self.scenes[row] for row in places)
        return Rows(scenes, lengths, both, *aligned(responses)), named


@dataclass
class Apart:
    """Processes that read groups of scenes, a few of them ahead."""

    size: int  # how many processes
    run: jobs.Run
    stack: ExitStack  # left with the processes
    pin: Pin | None = None  # for a GPU
    free: list[_Memory] = field(default_factory=list)  # that no group is in
    responses: dict[Room | None, Response | AudioError | None] = field(default_factory=lambda: {None: None})

    def lend(self, recordings: Recordings) -> Lent | None:
        """Let the processes hear what is kept decoded."""
        return self.stack.enter_context(recordings.lent())

    def enter(self, rooms: Iterable[Room | None]) -> None:
        """Have the impulse responses of cabins computed before scenes are in them."""
        new = [room for room in dict.fromkeys(rooms) if room and room not in self.responses]
        self.responses.update(zip(new, self.run(cabin.response_or_error, new, self.size), strict=True))

    def read(
        self, groups: Iterable[Sequence[Scene]], noise: Lent | None, speech: Lent | None
    ) -> Generator[tuple[Rows | None, Failed], None, None]:
        """The groups in their order: the rows of what could be read, None if nothing could, and what could not.

        Args:
            groups: To read; taken lazily.
            noise: What `lend` gave; other recordings are decoded whenever they are asked for.
            speech: The same.

        Returns:
            Rows that hold until the next are asked for: the memory is used again.
        """
        under_way: deque[_Group] = deque()
        told = self.run(_read, self._parts(groups, noise, speech, under_way), self.size)
        for first in told:
            group = under_way.popleft()
            yield group.rows([first, *islice(told, group.parts - 1)])
            self.free.append(group.memory)  # not if this is left before its end, for someone may still write

    def _parts(
        self, groups: Iterable[Sequence[Scene]], noise: Lent | None, speech: Lent | None, under_way: deque[_Group]
    ) -> Iterator[_Part]:
        for group in groups:
            self.enter(one.cabin for one in group)
            longest = max(round(one.clean_duration * SAMPLING_RATE) for one in group)
            memory, shape = self.free.pop() if self.free else self._memory(), (2, len(group), longest + SLACK)
            starts = np.linspace(0, len(group), min(self.size, len(group)) + 1).round().astype(int).tolist()
            under_way.append(_Group(tuple(group), memory, shape, len(starts) - 1, self.responses))
            for start, end in pairwise(starts):
                yield _Part(tuple(group[start:end]), start, shape, memory.place, noise, speech)

    def _memory(self) -> _Memory:
        return self.stack.enter_context(closing(_Memory(os.fdopen(os.memfd_create("rows"), "w+b"), self.pin)))


@contextmanager
def apart(size: int | None = None) -> Iterator[Apart]:
    """Start the processes; they end with the context, and when this process is killed.

    Args:
        size: How many; else one for every two cores, and at most `MOST`.
    """
    size = size or min(MOST, max(1, (os.cpu_count() or 1) // 2))
    with jobs.processes(size, __name__) as run, ExitStack() as stack:
        yield Apart(size, run, stack)
