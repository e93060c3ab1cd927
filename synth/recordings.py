"""Noise recordings that stay decoded, for most are asked for many times.

A stretch from the middle of a compressed file costs a search for it each time. What is read is the same whether a
recording is kept or not, so that the order of the work changes no byte.
"""

from __future__ import annotations

import json
import os
import secrets
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import BinaryIO

import numpy as np

from speechbench import audio
from speechbench.audio import Samples
from speechbench.errors import AudioError

KEPT_BYTES = 256 * 2**20  # per process that decodes: 70 minutes at 16 kHz
SAMPLE_BYTES = 4
NOTHING: tuple[Samples, int] = np.zeros(0, np.float32), 0


@dataclass(frozen=True, slots=True)
class Lent:
    """Where another process of this machine finds decoded recordings."""

    place: Path  # of the memory, as the system shows it
    name: str  # what the system calls it: no other memory has this name
    samples: int  # of all recordings, one after the other; behind them stands what is whose


@dataclass
class Recordings:
    """Reads stretches of recordings; the first recordings that are asked for are kept whole while there is room.

    None gives way to a later one: a bank that is larger than the room, used evenly, would lose each recording just
    before it is asked for again. Threads may share it.
    """

    room: int = KEPT_BYTES  # bytes that are left
    kept: dict[Path, tuple[Samples, int]] = field(default_factory=dict)  # samples and sampling rate of the file
    borrowed: str | None = None  # the name of what was last borrowed
    lock: Lock = field(default_factory=Lock, repr=False)  # held while any of these changes
    decoding: dict[Path, Lock] = field(default_factory=dict, repr=False)  # so that no two threads decode the same one

    def keep(self, paths: Iterable[Path], thread_count: int) -> None:
        """Decode recordings before they are asked for, while there is room; what cannot be decoded says so when it is."""

        def decode(path: Path) -> None:
            with suppress(AudioError):
                self._keep(path)

        with ThreadPoolExecutor(thread_count) as pool:
            deque(pool.map(decode, dict.fromkeys(paths)), maxlen=0)

    def read(self, path: Path, offset: float, duration: float) -> Samples:
        """As `audio.read`; what is kept may be shared out as it is, so that no result can be written to.

        Raises:
            AudioError: As `audio.read`.
        """
        if path not in self.kept:
            self._keep(path)
        return self.look(path, offset, duration)

    def look(self, path: Path, offset: float, duration: float, sampling_rate: int = audio.SAMPLING_RATE) -> Samples:
        """The same of any sampling rate; a recording that is not kept yet is not kept now.

        Raises:
            AudioError: As `audio.read`.
        """
        samples, rate = self.kept.get(path, NOTHING)
        start, size = round(offset * rate), round(duration * rate)
        stretch = samples[start : start + size]
        # What lies beyond the end is an error with a message of its own.
        if 0 < stretch.size == size:
            return audio.resample(stretch, rate, sampling_rate)
        return audio.read(path, offset, duration, sampling_rate)

    def forget(self) -> None:
        """Give back all that is kept."""
        with self.lock:
            self._forget()

    @contextmanager
    def lent(self) -> Iterator[Lent | None]:
        """While open, other processes can `borrow` what is kept; None where there is nothing or the system is not Linux.

        The memory lies in no folder: when this process ends, in whatever way, nothing is left to remove.
        """
        if not self.kept or not hasattr(os, "memfd_create"):
            yield None
            return
        name = f"recordings-{secrets.token_hex(8)}"
        with os.fdopen(os.memfd_create(name), "w+b") as memory:
            with self.lock:
                samples = self._move_to(memory)
            yield Lent(Path(f"/proc/{os.getpid()}/fd/{memory.fileno()}"), f"/memfd:{name} (deleted)", samples)

    def borrow(self, lent: Lent) -> None:
        """Keep what another process lends instead of what was kept here.

        Nothing changes where it is out of reach: on another machine, or where processes may not look at each other.
        """
        with self.lock, suppress(OSError):
            # Elsewhere another process can have the number, and any file.
            if lent.name != self.borrowed and lent.place.readlink() == Path(lent.name):
                with lent.place.open("rb") as memory:
                    self._forget()
                    self._map(memory, lent.samples)
                self.borrowed = lent.name

    def _move_to(self, memory: BinaryIO) -> int:
        """Move what is kept, one by one, so that it is never held twice; the number of samples."""
        whose, start = {}, 0
        while self.kept:
            path, (samples, rate) = self.kept.popitem()
            memory.write(samples.data)
            whose[str(path)] = (start, samples.size, rate)
            start += samples.size
            self.room += samples.nbytes
        memory.write(json.dumps(whose).encode())
        memory.flush()
        self._map(memory, start)
        return start

    def _map(self, memory: BinaryIO, samples: int) -> None:
        memory.seek(samples * SAMPLE_BYTES)
        whose = json.loads(memory.read())
        whole = np.memmap(memory, np.float32, "r", shape=(samples,)).view(np.ndarray)
        for path, (start, size, rate) in whose.items():
            self.kept[Path(path)] = whole[start : start + size], rate
        self.room -= whole.nbytes

    def _forget(self) -> None:
        self.room += sum(samples.nbytes for samples, _ in self.kept.values())
        self.kept.clear()

    def _keep(self, path: Path) -> None:
        header = audio.inspect(path)
        size = round(header.duration * header.sampling_rate) * SAMPLE_BYTES
        if size > self.room:
            return
        with self.lock:
            decoding = self.decoding.setdefault(path, Lock())
        with decoding:
            with self.lock:
                if path in self.kept or size > self.room:
                    return
                self.room -= size
            try:
                whole = audio.decode(path)
            except AudioError:
                with self.lock:
                    self.room += size
                raise
            whole[0].flags.writeable = False
            with self.lock:
                self.kept[path] = whole


RECORDINGS = Recordings()  # of this process
