"""Levels: over a whole signal, and of the speech while there is speech (ITU-T P.56)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from speechbench.audio import SAMPLING_RATE, Samples

ROW = 1024  # samples


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
