"""The user's own room impulse responses, as files."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from speechbench import audio, manifest
from speechbench.audio import Samples
from speechbench.errors import AudioError, SpeechbenchError

SUFFIXES = (".flac", ".wav")


@dataclass(frozen=True)
class Rir:
    """A recorded impulse response from a mouth to a microphone."""

    id: str
    audio_filepath: str  # absolute

    def row(self) -> dict[str, Any]:
        """As a JSON object."""
        return {"id": self.id, "audio_filepath": self.audio_filepath}


def load(place: Path) -> list[Rir]:
    """The impulse responses of a folder (its FLAC and WAV files) or of a manifest, in the order of their ids.

    Raises:
        SpeechbenchError: Nothing there, a file that cannot be read, or one with several channels, which would be several
            responses.
    """
    if place.is_dir():
        files = sorted(path for path in place.rglob("*") if path.suffix.lower() in SUFFIXES)
        found = {path.relative_to(place).as_posix(): path for path in files}
    else:
        found = {utterance.id: utterance.audio_filepath for utterance in manifest.read(place)}
    if not found:
        raise SpeechbenchError(f"{place}: holds no impulse responses; expected {' or '.join(SUFFIXES)} files, or a manifest")
    for path in found.values():
        channels = audio.inspect(path).channels
        if channels != 1:
            raise SpeechbenchError(f"{path}: holds {channels} channels; write one impulse response a file")
    return [Rir(name, os.path.normpath(path.absolute())) for name, path in sorted(found.items())]


def response(rir: Rir) -> tuple[Samples, int]:
    """The impulse response at 16 kHz with a peak of 1, and the place of the peak, taken for the direct path.

    Raises:
        AudioError: The file cannot be read, or is silent.

    Shape:
        (N,)
    """
    samples = audio.read(Path(rir.audio_filepath))
    delay = int(np.abs(samples).argmax())
    peak = abs(float(samples[delay]))
    if peak == 0.0:
        raise AudioError(f"{rir.audio_filepath}: the impulse response is silent; remove it")
    return samples / np.float32(peak), delay
