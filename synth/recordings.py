"""Noise recordings that stay decoded, for most are asked for many times.

A stretch from the middle of a compressed file costs a search for it each time. What is read is the same whether a
recording is kept or not, so that the order of the work changes no byte.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from speechbench import audio
from speechbench.audio import Samples

KEPT_BYTES = 256 * 2**20  # per process: 70 minutes at 16 kHz


@dataclass
class Recordings:
    """Reads stretches of recordings; the first recordings that are asked for are kept whole while there is room.

    None gives way to a later one: a bank that is larger than the room, used evenly, would lose each recording just
    before it is asked for again. Threads may share it.
    """

    room: int = KEPT_BYTES  # bytes that are left
    kept: dict[Path, tuple[Samples, int]] = field(default_factory=dict)  # samples and sampling rate of the file
    lock: Lock = field(default_factory=Lock, repr=False)  # held while decoding, so that no two threads keep the same one

    def read(self, path: Path, offset: float, duration: float) -> Samples:
        """As `audio.read`; what is kept may be shared out as it is, so that no result can be written to.

        Raises:
            AudioError: As `audio.read`.
        """
        whole = self.kept.get(path) or self._keep(path)
        if whole is None:
            return audio.read(path, offset, duration)
        samples, rate = whole
        start = round(offset * rate)
        stretch = samples[start : start + round(duration * rate)]
        # What lies beyond the end is an error with a message of its own.
        return audio.resample(stretch, rate) if stretch.size == round(duration * rate) else audio.read(path, offset, duration)

    def forget(self) -> None:
        """Give back all that is kept."""
        with self.lock:
            self.room += sum(samples.nbytes for samples, _ in self.kept.values())
            self.kept.clear()

    def _keep(self, path: Path) -> tuple[Samples, int] | None:
        header = audio.inspect(path)
        if header.duration * header.sampling_rate * 4 > self.room:
            return None
        with self.lock:
            whole = self.kept.get(path)
            if whole is None and header.duration * header.sampling_rate * 4 <= self.room:
                self.kept[path] = whole = audio.decode(path)
                whole[0].flags.writeable = False
                self.room -= whole[0].nbytes
            return whole


RECORDINGS = Recordings()  # of this process
