"""Scenes read ahead in a process of its own.

A thread that launches a GPU's kernels needs Python's lock for each of them. Threads that read 1,500 scenes beside it kept it
waiting for 0.4 to 1.3 s, where it has work for about a second; a process, for 0.03 s.

What was read lies in memory that both processes see and that has no name: when they end, in whatever way, nothing is left.
POSIX shared memory, by which torch's data loader hands over its batches, is 64 MB in many a container.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import cache
from itertools import count
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from speechbench import jobs
from speechbench.audio import Samples
from synth.reading import Failed, Reader, Rows, finished, side_by_side
from synth.scene import Scene

POSSIBLE = hasattr(os, "memfd_create")  # on Linux


class _Order(NamedTuple):
    """What is to be read, and where the other process finds the memory for it."""

    scenes: tuple[Scene, ...]
    memory: Path
    thread_count: int
    noise_bytes: int
    speech_bytes: int


class _Told(NamedTuple):
    """What was read into the memory."""

    places: tuple[int, ...]  # of the rows' scenes among those of the order
    lengths: tuple[int, ...]
    responses: Samples | None
    delay: int
    failed: Failed


@cache
def _reader(thread_count: int, noise_bytes: int, speech_bytes: int) -> tuple[Reader, ThreadPoolExecutor]:
    """The other process's, which lasts as long as it does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that trains, which ends this one
    return Reader(noise_bytes, speech_bytes), ThreadPoolExecutor(thread_count)


def _read(order: _Order) -> _Told:
    reader, pool = _reader(*order[2:])
    raw, failed = finished(reader.submit(order.scenes, pool))
    if not raw:
        return _Told((), (), None, 0, failed)
    rows = side_by_side(raw, lambda shape: np.memmap(order.memory, np.float32, "r+", shape=shape))
    numbers = {one.id: number for number, one in enumerate(order.scenes)}
    return _Told(tuple(numbers[one.id] for one in rows.scenes), rows.lengths, rows.responses, rows.delay, failed)


class Apart:
    """A process that reads groups of scenes, a few of them ahead."""

    def __init__(self, run: jobs.Run, memories: Sequence[BinaryIO]) -> None:
        self._run, self._memories = run, memories

    def read(
        self, groups: Iterable[Sequence[Scene]], thread_count: int, noise_bytes: int, speech_bytes: int
    ) -> Generator[tuple[Rows | None, Failed], None, None]:
        """The groups in their order: the rows of what could be read, None if nothing could, and what could not.

        Args:
            groups: To read; taken lazily.
            thread_count: In the other process.
            noise_bytes: As for `Reader`.
            speech_bytes: The same.

        Returns:
            Rows that hold until the next are asked for: the memory is used again.
        """
        scenes: dict[int, tuple[Scene, ...]] = {}

        def orders() -> Iterator[_Order]:
            for number, group in zip(count(), groups, strict=False):
                scenes[number] = tuple(group)
                memory = self._memories[number % len(self._memories)]
                place = Path(f"/proc/{os.getpid()}/fd/{memory.fileno()}")
                yield _Order(scenes[number], place, thread_count, noise_bytes, speech_bytes)

        for number, told in enumerate(self._run(_read, orders())):
            ordered, memory = scenes.pop(number), self._memories[number % len(self._memories)]
            if not told.places:
                yield None, told.failed
                continue
            both = np.memmap(memory, np.float32, "r+", shape=(2, len(told.places), max(told.lengths))).view(np.ndarray)
            kept = tuple(ordered[place] for place in told.places)
            yield Rows(kept, told.lengths, both[0], both[1], told.responses, told.delay), told.failed


@contextmanager
def apart() -> Iterator[Apart]:
    """Start the process; it ends with the context, and when this process is killed."""
    with jobs.processes(1, __name__) as run, ExitStack() as stack:
        # No more are under way at once than `jobs` takes before the first of them must be ready.
        yield Apart(run, [stack.enter_context(os.fdopen(os.memfd_create("batch"), "w+b")) for _ in range(jobs.UNDER_WAY)])
