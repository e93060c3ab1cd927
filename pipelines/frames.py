"""Frames of many utterances in one file, so that hours of speech need no memory.

T frames, F features. A file of frames holds float32 numbers, all utterances one behind the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipelines.ahead import each
from speechbench import files


class Frames:
    """A file of frames, read where it is needed."""

    def __init__(self, path: Path, lengths: Sequence[int], features: int) -> None:
        self.path, self.lengths = path, list(lengths)
        self.ends = np.cumsum(self.lengths)
        self.values = np.memmap(path, dtype=np.float32, mode="r", shape=(int(self.ends[-1]), features))

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, number: int) -> Tensor:
        end = int(self.ends[number])
        return self.slice(end - self.lengths[number], end)

    def __iter__(self) -> Iterator[Tensor]:
        return (self[number] for number in range(len(self)))

    def slice(self, start: int, end: int, step: int = 1) -> Tensor:
        """Frames of the whole file, or one of so many, ((end - start) / step, F)."""
        return torch.from_numpy(np.array(self.values[start:end:step]))

    def some(self, most: int) -> range:
        """The numbers of utterances, evenly spread, that have about so many frames; of all if there are no more."""
        return range(0, len(self), max(1, round(int(self.ends[-1]) / most)))

    def cut(self, values: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """What is known of each frame of the whole file, by utterance."""
        return np.split(values, self.ends[:-1])

    def remove(self) -> None:
        """Remove the file."""
        self.path.unlink()

    def map(self, path: Path, function: Callable[[Tensor], Tensor]) -> Frames:
        """Each utterance's (T, F) as (T, F'), in a new file."""
        return write_frames(path, each(function, self))

    def rewrite(self, function: Callable[[int, Tensor], Tensor]) -> None:
        """Each utterance's number and (T, F) as (T, F), in the same file."""
        values = np.memmap(self.path, dtype=np.float32, mode="r+", shape=self.values.shape)
        for number, (end, length) in enumerate(zip(self.ends.tolist(), self.lengths, strict=True)):
            values[end - length : end] = function(number, self[number]).numpy()
        values.flush()


def write_frames(path: Path, utterances: Iterable[Tensor]) -> Frames:
    """Write a file of frames, one utterance (T, F) after the other."""
    lengths, features = [], 0
    with files.writing(path) as aside, aside.open("wb") as stream:
        for values in utterances:
            lengths.append(len(values))
            features = values.shape[1]
            stream.write(values.contiguous().numpy().tobytes())
    return Frames(path, lengths, features)
