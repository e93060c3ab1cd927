"""Rendering a scene: pure functions of the scene and the files it names.

The SNR is the active level of the speech (ITU-T P.56, so that pauses do not count) as the microphone hears it, over
the RMS level of the noise that lies under it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from speechbench import audio
from speechbench.audio import SAMPLING_RATE, Samples
from speechbench.errors import AudioError
from synth import cabin
from synth.noise import FADE, Piece
from synth.scene import Scene

OVERLAP = round(FADE * SAMPLING_RATE)
FADE_IN = np.sin(np.linspace(0.0, np.pi / 2.0, OVERLAP, dtype=np.float32))
LONGEST_KEPT = 12.0  # s; 256 recordings of this length take 200 MB
CEILING = 0.999  # of full scale: the largest peak that is written
Reader = Callable[[Piece, int], Samples]


@dataclass(frozen=True)
class Parts:
    """A rendered scene before it is summed, and what was measured on it."""

    speech: Samples  # (N,)
    noise: Samples | None  # (N,)
    noise_gain_db: float | None  # what the noise recordings were raised by, the output gain included
    output_gain_db: float  # 0, or below it where the sum would have clipped
    snr_db: float | None  # measured: active level of the speech over RMS level of the noise
    snr_db_rms: float | None  # measured: both RMS, over the whole file

    @property
    def sum(self) -> Samples:
        """The utterance as it is written."""
        return self.speech if self.noise is None else self.speech + self.noise


def render(scene: Scene) -> Parts:
    """Read, filter, level and lay together what the scene names.

    Raises:
        AudioError: A recording that cannot be read, silent speech or silent noise.
    """
    speech = audio.read(Path(scene.clean_filepath), scene.clean_offset, scene.clean_duration)
    if scene.cabin is not None:
        speech = cabin.apply(speech, scene.cabin)
    noise = join(scene.noise, speech.size) if scene.noise else None
    try:
        return mix(speech, noise, scene.snr_db, scene.level_dbfs)
    except AudioError as error:
        raise named(scene, error) from error


def named(scene: Scene, error: AudioError) -> AudioError:
    """The error with the recordings that it comes from."""
    lain = f" with {', '.join(piece.audio_filepath for piece in scene.noise)}" if scene.noise else ""
    return AudioError(f"{scene.clean_filepath}{lain}: {error}")


def mix(speech: Samples, noise: Samples | None, snr_db: float | None, level_dbfs: float) -> Parts:
    """Bring the speech to its level and the noise to its distance from it.

    Args:
        speech: What the microphone hears of the speech.
        noise: As long as the speech, or None.
        snr_db: The distance; None without noise.
        level_dbfs: Active level of the speech in the output.

    Raises:
        AudioError: Silent speech or silent noise: there is no level to speak of.
    """
    envelope = audio.speech_envelope(speech)
    before = envelope.level().level_dbfs
    check_levels(before, None if noise is None else audio.rms_dbfs(noise))
    speech_gain_db = level_dbfs - before
    noise_gain_db = None
    if noise is not None and snr_db is not None:
        noise_level = audio.rms_dbfs(noise)
        # The SNR refers to the speech as it will be heard: P.56 answers differ by hundredths of a dB after a gain.
        noise_gain_db = envelope.level(speech_gain_db).level_dbfs - snr_db - noise_level
    speech = _gain(speech, speech_gain_db)
    if noise is not None and noise_gain_db is not None:
        noise = _gain(noise, noise_gain_db)
    peak = float(np.abs(speech if noise is None else speech + noise).max())
    output_gain_db = min(0.0, 20.0 * float(np.log10(CEILING / peak)))
    if output_gain_db < 0.0:
        speech = _gain(speech, output_gain_db)
        noise = None if noise is None else _gain(noise, output_gain_db)
    if noise is None or noise_gain_db is None:
        return Parts(speech, None, None, output_gain_db, None, None)
    level = audio.rms_dbfs(noise)
    active = envelope.level(speech_gain_db + output_gain_db).level_dbfs
    return Parts(speech, noise, noise_gain_db + output_gain_db, output_gain_db, active - level, audio.rms_dbfs(speech) - level)


def check_levels(speech_dbfs: float, noise_dbfs: float | None) -> None:
    """Refuse what has no level; `noise_dbfs` is None without noise.

    Raises:
        AudioError: Silent speech or silent noise.
    """
    if not np.isfinite(speech_dbfs):
        raise AudioError("speech is silent, it has no level; remove the utterance")
    if noise_dbfs is not None and not np.isfinite(noise_dbfs):
        raise AudioError("noise is silent here, no SNR can be set; remove the silence from the noise")


def _gain(samples: Samples, gain_db: float) -> Samples:
    return samples * np.float32(10.0 ** (gain_db / 20.0))


def join(pieces: tuple[Piece, ...], samples: int, reader: Reader | None = None) -> Samples:
    """Read the pieces and lay them end to end.

    Each fades into the next along a quarter of a sine: the powers of two sounds that do not know each other then add
    up to a constant.

    Args:
        pieces: The noise.
        samples: How long the result is.
        reader: As `read`, which is the default.

    Raises:
        AudioError: A piece that cannot be read.

    Shape:
        (samples,)
    """
    laid = np.zeros(samples, dtype=np.float32)
    position = 0
    before = 0  # samples of overlap with the piece before
    for number, piece in enumerate(pieces):
        last = number == len(pieces) - 1
        wanted = samples - position if last else min(round(piece.duration * SAMPLING_RATE), samples - position)
        if wanted <= 0:
            break
        block = (reader or read)(piece, wanted)
        after = 0 if last else OVERLAP
        block[:before] *= FADE_IN[: min(before, wanted)]
        if after:
            block[-after:] *= FADE_IN[::-1][-min(after, wanted) :]
        laid[position : position + wanted] += block
        position += wanted - after
        before = after
    return laid


def read(piece: Piece, samples: int) -> Samples:
    """A piece's audio; its last value is held for the few samples that rounding or the speech's end may ask beyond it."""
    path = Path(piece.audio_filepath)
    whole = _recording(path)
    if whole is None:
        block = audio.read(path, piece.offset, piece.duration)[:samples]
    else:
        start = min(round(piece.offset * SAMPLING_RATE), whole.size - 1)
        block = whole[start : start + samples].copy()
    return block if block.size == samples else np.pad(block, (0, samples - block.size), mode="edge")


@lru_cache(maxsize=256)
def _recording(path: Path) -> Samples | None:
    """A short recording whole, for it will be asked again; None for a long one."""
    return audio.read(path) if audio.inspect(path).duration <= LONGEST_KEPT else None
