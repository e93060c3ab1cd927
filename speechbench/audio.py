"""Reading and writing audio, and its levels.

Arrays are float32, mono, in [-1, 1], shape (N,), at 16 kHz unless said otherwise.
"""

from __future__ import annotations

import io
import math
import wave
from dataclasses import dataclass
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
ROW = 1024  # samples


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


def decibels(ratio: float) -> float:
    """A power ratio in dB; silence gives -infinity."""
    return 10.0 * math.log10(ratio) if ratio > 0 else float("-inf")


def rms_dbfs(samples: Samples) -> float:
    """The level over the whole signal, silence included, in dB relative to a full-scale square wave."""
    return decibels(_energy(samples) / samples.size) if samples.size else float("-inf")


def without_offset(samples: Samples) -> Samples:
    """The signal without its mean (DC), which is no sound but would count in its level."""
    return samples - np.float32(_sum(samples) / max(1, samples.size))


def _energy(samples: Samples) -> float:
    return _sum(samples, samples)


def _sum(*factors: Samples) -> float:
    """The sum of a signal's samples, or of the products of several signals'.

    Rows are added up in float32, rows in float64: right to a millionth for any length. Not a dot product, whose threads would
    add up in another order in another process; `sum` and `mean` take three times as long.
    """
    whole = factors[0].size // ROW * ROW
    rows = np.einsum(",".join(["ij"] * len(factors)) + "->i", *(one[:whole].reshape(-1, ROW) for one in factors))
    rest = np.einsum(",".join("i" * len(factors)) + "->", *(one[whole:] for one in factors))
    return float(rows.sum(dtype=np.float64)) + float(rest)


class ActiveLevel(NamedTuple):
    """Active speech level in dBFS and activity factor, the share of time in which there is speech."""

    level_dbfs: float
    activity: float


# Constants of ITU-T P.56 (12/2011), method B, clause 8, under the recommendation's own names.
TIME_CONSTANT = 0.03  # T, of each of the two smoothing stages, s
HANGOVER = 0.2  # H, s
STEP = 0.001  # ours, s: the envelope, smoothed over 30 ms, is followed in steps of this
MARGIN_DB = 15.9  # M, between active level and threshold
THRESHOLDS = 15
THRESHOLDS_DBFS = 20.0 * np.log10(2.0 ** np.arange(-THRESHOLDS, 0))  # c_j, a factor of 2 apart
ROUNDS = 9  # of the smoothing, which so reaches back 2^9 steps: of what lies before, float32 holds nothing


@dataclass(frozen=True)
class SpeechEnvelope:
    """What the active level is read from; computed once, it answers for any gain."""

    held: Samples  # (T,), the smoothed envelope, held on over the hangover; in rising order
    samples: int
    sum_squares: float  # sq

    def level(self, gain_db: float = 0.0) -> ActiveLevel:
        """The active level that the speech has after a gain.

        A louder signal meets the same thresholds, so that this is not the level before plus the gain: it strays from
        that by some hundredths of a dB.

        Returns:
            Level in dBFS and activity in [0, 1]; (-infinity, 0) for silence.
        """
        if self.sum_squares <= 0.0:
            return ActiveLevel(float("-inf"), 0.0)
        thresholds_db = THRESHOLDS_DBFS - gain_db
        steps = self.held.size - self.held.searchsorted((10.0 ** (thresholds_db / 20.0)).astype(np.float32))
        level, before = float("-inf"), None
        for count, threshold_db in zip(steps[steps > 0].tolist(), thresholds_db.tolist(), strict=False):
            level = decibels(self.sum_squares * self.held.size / (count * self.samples))  # A_j
            above = level - threshold_db  # A_j - C_j
            # The answer is the level at the first threshold from below that lies M under it, between two of them. A_j - C_j
            # falls as the threshold rises, except where a loud moment stands over much quieter speech: it may cross M again.
            if above <= MARGIN_DB:
                if before is not None:
                    level_before, above_before = before
                    level += (level_before - level) * (MARGIN_DB - above) / (above_before - above)
                break
            before = level, above
        if level == float("-inf"):
            return ActiveLevel(level, 0.0)
        long_term = decibels(self.sum_squares / self.samples)
        return ActiveLevel(level + gain_db, min(1.0, 10.0 ** ((long_term - level) / 10.0)))


def speech_envelope(samples: Samples, sampling_rate: int = SAMPLING_RATE) -> SpeechEnvelope:
    """The envelope of ITU-T P.56 (12/2011), method B."""
    step = round(STEP * sampling_rate)
    steps = -(-samples.size // step)
    rectified = np.empty(steps * step, dtype=np.float32)
    np.abs(samples, out=rectified[: samples.size])
    rectified[samples.size :] = 0.0
    # einsum adds short rows up five times faster than `sum`, and unlike a matrix product in one order for any threads.
    held = _smoothed(np.einsum("ij->i", rectified.reshape(steps, step)) / np.float32(step))  # q
    # A step counts as active at threshold c while the envelope reached c within the last `hangover` steps: a trailing
    # running maximum, so that all thresholds share one pass. Each round doubles how far back it looks.
    hangover, reach = round(HANGOVER / STEP), 1
    spare = np.empty_like(held)
    while reach < hangover:
        back = min(reach, hangover - reach)
        spare[:back] = held[:back]
        np.maximum(held[back:], held[:-back], out=spare[back:])
        held, spare = spare, held
        reach += back
    held.sort()
    return SpeechEnvelope(held, samples.size, _energy(samples))


def _smoothed(mean: Samples) -> Samples:
    """P.56's two equal stages of exponential smoothing, (1 - g)^2 / (1 - g z^-1)^2.

    1 / (1 - g z^-1) is the product of 1 + (g z^-1)^m for m = 1, 2, 4, 8 and so on: each round doubles how far back the
    sum reaches. Half the time of Fourier transforms; a recursion would need `scipy.signal`, which takes longer to import
    than most commands run.

    Shape:
        (T,) -> (T,)
    """
    g = float(np.exp(-STEP / TIME_CONSTANT))
    smoothed = mean * np.float32((1.0 - g) ** 2)
    for back in (1 << number for number in range(ROUNDS)):
        for _stage in range(2):
            smoothed[back:] += smoothed[:-back] * np.float32(g**back)
    return smoothed


def active_speech_level(samples: Samples, sampling_rate: int = SAMPLING_RATE) -> ActiveLevel:
    """The level of the speech while there is speech, so that pauses do not lower it.

    Returns:
        Level in dBFS and activity in [0, 1]; (-infinity, 0) for silence.

    Source: ITU-T P.56 (12/2011), method B.
    """
    return speech_envelope(samples, sampling_rate).level()
