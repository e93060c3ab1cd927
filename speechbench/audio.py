"""Reading and writing audio.

Arrays are float32, mono, in [-1, 1], shape (N,), at 16 kHz unless said otherwise.
"""

from __future__ import annotations

import io
import wave
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
from numpy.typing import NDArray

from speechbench import archive
from speechbench.errors import AudioError
from speechbench.files import writing

Samples = NDArray[np.float32]

SAMPLING_RATE = 16_000
ROUNDING = 0.05  # s, by which a manifest's duration may pass the file's end: many tools round to 0.01 or 0.1 s
FORMATS = {".flac": "FLAC", ".wav": "WAV"}


class AudioInfo(NamedTuple):
    """What a file's header says: duration in seconds, sampling rate in Hz, channels, libsndfile's name of the encoding."""

    duration: float
    sampling_rate: int
    channels: int
    subtype: str = "PCM_16"


def inspect(path: Path) -> AudioInfo:
    """Read a file's header.

    Raises:
        AudioError: The file is missing, is no audio that libsndfile knows, or holds no samples.
    """
    try:
        header = soundfile.info(archive.opened(path))
    except (soundfile.LibsndfileError, OSError) as error:
        raise _unreadable(path, error) from error
    if header.frames == 0:
        raise AudioError(f"{path}: holds no samples; remove it or record it again")
    return AudioInfo(header.frames / header.samplerate, header.samplerate, header.channels, header.subtype)


TAIL = 0.1  # s


def probe(path: Path) -> AudioInfo:
    """Read a file's header and its last samples, so that a file that was cut off is found without decoding it all.

    Only floating-point files are decoded whole: they alone can hold NaN.

    Raises:
        AudioError: As `inspect` and `read`.
    """
    info = inspect(path)
    start = 0.0 if info.subtype in ("FLOAT", "DOUBLE") else max(0.0, info.duration - TAIL)
    read(path, start, sampling_rate=info.sampling_rate)
    return info


def read(path: Path, offset: float = 0.0, duration: float | None = None, sampling_rate: int = SAMPLING_RATE) -> Samples:
    """Read a recording as mono at the asked sampling rate.

    Args:
        path: A file that libsndfile can read (FLAC, WAV, Ogg, MP3, ...); any sampling rate and channel count. It may lie in a
            tar file (`speechbench.archive`).
        offset: Where to start, in seconds.
        duration: How much to read, in seconds; None reads to the end.
        sampling_rate: The rate of the result, in Hz; converted by soxr at its "HQ" quality.

    Returns:
        The channels' mean.

    Raises:
        AudioError: Missing, unreadable, empty, or with samples that are not finite.

    Shape:
        (N,), N = round(duration * sampling_rate), or what the file holds where `duration` was rounded up.
    """
    return resample(*decode(path, offset, duration), sampling_rate)


def decode(path: Path, offset: float = 0.0, duration: float | None = None) -> tuple[Samples, int]:
    """Read a recording as mono at the sampling rate of its file, which is returned too; otherwise as `read`."""
    try:
        with soundfile.SoundFile(archive.opened(path)) as stream:
            rate: int = stream.samplerate
            start = min(round(offset * rate), stream.frames)
            count = -1 if duration is None else round(duration * rate)
            mostly = stream.format == "FLAC" and 2 * (stream.frames - start if duration is None else count) > stream.frames
            whole = _whole_flac(path, stream.frames, stream.channels) if mostly else None
            if whole is not None:
                block = whole[start:] if duration is None else whole[start : start + count]
            else:
                if start:
                    stream.seek(start)
                block = stream.read(count, dtype="float32", always_2d=True)
            whole_numbers = stream.subtype.startswith("PCM")
    except (soundfile.LibsndfileError, OSError) as error:
        raise _unreadable(path, error) from error
    if block.shape[0] == 0:
        raise AudioError(f"{path}: holds no samples at {offset:.3f} s; remove it or record it again")
    if block.shape[0] < count - ROUNDING * rate:
        raise AudioError(
            f"{path}: ends {(count - block.shape[0]) / rate:.2f} s early; it is cut off or its manifest line is wrong"
        )
    samples = block[:, 0] if block.shape[1] == 1 else block.mean(axis=1, dtype=np.float32)
    if not whole_numbers and not np.isfinite(samples).all():
        raise AudioError(f"{path}: holds samples that are not finite (NaN or infinity); export it again")
    return np.ascontiguousarray(samples), rate


def _whole_flac(path: Path, frames: int, channels: int) -> Samples | None:
    """All samples of a FLAC file in two thirds of the time that libsndfile takes, and the same; None where it is left to that.

    It is where `miniaudio` is not installed, and where that does not find what the header promises: then libsndfile knows
    what is wrong.

    Shape:
        (frames, channels)
    """
    try:
        import miniaudio  # here, for machines that only train do without it, and most commands start faster
    except ImportError:
        return None
    data = archive.read(path) if archive.is_member(path) else path.read_bytes()
    try:
        samples = np.frombuffer(miniaudio.flac_read_f32(data).samples, dtype=np.float32)
    except miniaudio.DecodeError:
        return None
    return samples.reshape(frames, channels) if samples.size == frames * channels else None


def resample(samples: Samples, rate: int, sampling_rate: int = SAMPLING_RATE) -> Samples:
    """From one sampling rate to another, by soxr at its "HQ" quality."""
    if rate == sampling_rate:
        return samples
    import soxr  # here, for machines that only train on speech at 16 kHz do without it

    return np.asarray(soxr.resample(samples, rate, sampling_rate), dtype=np.float32)


def encode(samples: Samples | NDArray[np.int16], sampling_rate: int = SAMPLING_RATE, suffix: str = ".flac") -> bytes:
    """The bytes of a 16-bit FLAC or WAV file; the same samples give the same bytes.

    Args:
        samples: In [-1, 1], or 16-bit steps as they are to be written.
        sampling_rate: In Hz.
        suffix: One of `FORMATS`.

    Raises:
        AudioError: A sample lies outside [-1, 1], or the format is not one of `FORMATS`.
    """
    if suffix not in FORMATS:
        raise AudioError(f"cannot write '{suffix}' audio; known: {', '.join(FORMATS)}")
    if samples.dtype != np.int16:
        peak = float(np.abs(samples).max(initial=0.0))
        if not peak <= 1.0:
            raise AudioError(f"refuse to write clipped audio (peak {peak:.3f} of 1.0)")
        # Rounded here, not in libsndfile, whose float scaling (32767 or 32768) depends on its flags.
        samples = np.clip(np.rint(samples * 32768.0), -32768, 32767).astype(np.int16)
    buffer = io.BytesIO()
    if suffix == ".wav":  # a header before the samples: the same bytes as libsndfile's in a fifth of the time
        with wave.open(buffer, "wb") as stream:
            stream.setparams((1, samples.itemsize, sampling_rate, samples.size, "NONE", ""))
            stream.writeframes(samples.data)
    else:
        soundfile.write(buffer, samples, sampling_rate, format=FORMATS[suffix], subtype="PCM_16")
    return buffer.getvalue()


def write(path: Path, samples: Samples, sampling_rate: int = SAMPLING_RATE) -> None:
    """Write a 16-bit FLAC or WAV file (by the path's suffix), whole or not at all."""
    data = encode(samples, sampling_rate, path.suffix)
    with writing(path) as aside:
        aside.write_bytes(data)


def _unreadable(path: Path, error: Exception) -> AudioError:
    if isinstance(error, FileNotFoundError) or not (path.exists() or archive.is_member(path)):
        return AudioError(f"{path}: no such file")
    return AudioError(f"{path}: cannot be read as audio ({str(error).strip().splitlines()[-1]}); convert or remove it")
