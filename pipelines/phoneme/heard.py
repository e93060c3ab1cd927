"""What acoustic models start from: log-mel energies, and how their speaker sounds otherwise. T frames, F bands."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from pipelines.ahead import each
from pipelines.frames import Frames, write_frames
from speechbench.audio import Samples
from speechbench.features import Moments, cepstra, log_mel

BANDS = 40  # of the log-mel energies, from which all features of mixtures and of the network over their states are made


def energies(samples: Samples, bands: int = BANDS) -> Tensor:
    """Log-mel energies, (N,) -> (T, F)."""
    return log_mel(samples, bands)


def all_cepstra(mel: Tensor) -> Tensor:
    """As many cepstral coefficients as bands, (T, F) -> (T, F): those of a speaker serve any number of them."""
    return cepstra(mel, mel.shape[1])


class Heard(NamedTuple):
    """An utterance."""

    mel: Tensor  # (T, F), log-mel energies
    speaker: Moments | None = None  # of the cepstra of all that its speaker says; None where no speaker is named


@dataclass(frozen=True)
class Energies:
    """The log-mel energies of many utterances, in a file, with how their speakers sound otherwise."""

    frames: Frames
    speakers: Sequence[Moments | None]  # of each utterance

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, number: int) -> Heard:
        return Heard(self.frames[number], self.speakers[number])

    def __iter__(self) -> Iterator[Heard]:
        return map(Heard, self.frames, self.speakers)

    def some(self, most: int) -> range:
        """As `Frames.some`."""
        return self.frames.some(most)

    def cut(self, values: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """As `Frames.cut`."""
        return self.frames.cut(values)

    def map(self, path: Path, function: Callable[[Heard], Tensor]) -> Frames:
        """Each utterance as features (T, F'), in a new file."""
        return write_frames(path, each(function, self))
