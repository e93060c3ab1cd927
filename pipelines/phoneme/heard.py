"""What acoustic models start from: log-mel energies, and how their speaker sounds otherwise. T frames, F bands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipelines.batches import extract
from pipelines.frames import Frames, write_frames
from speechbench.audio import Samples
from speechbench.features import Moments, cepstra, log_mel
from speechbench.manifest import Manifest, Skipped

BANDS = 40  # of the log-mel energies, from which all features of mixtures and of the network over their states are made

Voices = Mapping[str, Moments]  # of all cepstral coefficients, by speaker


def energies(samples: Samples, bands: int = BANDS) -> Tensor:
    """Log-mel energies, (N,) -> (T, F)."""
    return log_mel(samples, bands)


class Heard(NamedTuple):
    """An utterance."""

    mel: Tensor  # (T, F), log-mel energies
    voice: Moments | None = None  # of all that its speaker says; None where no speaker is named


@dataclass(frozen=True)
class Energies:
    """The log-mel energies of many utterances, in a file, with the voices of their speakers."""

    frames: Frames
    voices: Sequence[Moments | None]  # of each utterance

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, number: int) -> Heard:
        return Heard(self.frames[number], self.voices[number])

    def __iter__(self) -> Iterator[Heard]:
        return map(Heard, self.frames, self.voices)

    def some(self, most: int) -> range:
        """As `Frames.some`."""
        return self.frames.some(most)

    def cut(self, values: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """As `Frames.cut`."""
        return self.frames.cut(values)

    def map(self, path: Path, function: Callable[[Heard], Tensor]) -> Frames:
        """Each utterance as features (T, F'), in a new file."""
        return write_frames(path, map(function, self))


class Listener:
    """Learns how speakers sound, from utterance to utterance."""

    def __init__(self) -> None:
        self._sums: dict[str, tuple[int, Tensor, Tensor]] = {}

    def hear(self, speaker: str | None, mel: Tensor) -> None:
        """Take an utterance (T, F) into account, if its speaker is known."""
        if speaker is None:
            return
        values = cepstra(mel, mel.shape[1]).double()
        count, total, squares = self._sums.get(speaker, (0, torch.tensor(0.0), torch.tensor(0.0)))
        self._sums[speaker] = count + len(values), total + values.sum(0), squares + values.square().sum(0)

    def voices(self) -> dict[str, Moments]:
        """Of all speakers that were heard."""
        return {speaker: _moments(*sums) for speaker, sums in self._sums.items()}


def _moments(count: int, total: Tensor, squares: Tensor) -> Moments:
    mean = total / count
    return Moments(mean.float(), (squares / count - mean.square()).clamp_min(0.0).float())  # rounding may go below


def voices_of(manifest: Manifest) -> Voices:
    """The voices of speakers who say more than one thing in a manifest; what cannot be read of it is left out."""
    counts = Counter(utterance.speaker for utterance in manifest)
    listener = Listener()
    if said := manifest.select(lambda utterance: utterance.speaker is not None and counts[utterance.speaker] > 1):
        for utterance, mel in extract(said, energies, Skipped(), f"speakers of {manifest.name}"):
            listener.hear(utterance.speaker, mel)
    return listener.voices()
