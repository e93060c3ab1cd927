"""Sound levels: dB(A) at the cabin's microphone, and what they are in a file.

One mapping holds for all recordings, 94 dB SPL = -26 dBFS (an RMS of 1 is 120 dB SPL), which is what digital microphones
have. So a parked car stays as much quieter than the motorway as it is. The loudest peaks come some dB below full scale,
and the quietest sound, a microphone's own noise, lies above the steps of 16 bits: nothing is clamped or normalised.
"""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from speechbench.audio import SAMPLING_RATE

Track = NDArray[np.floating[Any]]  # one value per step of time or frequency
Decibels = TypeVar("Decibels", float, Track)

FULL_SCALE_DB_SPL = 120.0


def amplitude(level_db: Track | float) -> Track:
    """The factor of a gain in dB."""
    return np.asarray(np.exp(np.multiply(level_db, np.log(10.0) / 20.0)))


def power(level_db: Track | float) -> Track:
    """The power ratio of a gain in dB."""
    return np.asarray(np.exp(np.multiply(level_db, np.log(10.0) / 10.0)))


def full_scale(level_dba: Decibels) -> Decibels:
    """A sound pressure level in dB as a level in dBFS."""
    return level_dba - FULL_SCALE_DB_SPL


def a_weighting_db(hz: Track) -> Track:
    """How much quieter than 1 kHz a tone counts in dB(A).

    Source: IEC 61672-1, annex E.
    """
    square = np.square(np.maximum(hz, 1.0))
    low, second, third, high = np.square([20.598997, 107.65265, 737.86223, 12194.217])
    response = high * square**2 / ((square + low) * np.sqrt((square + second) * (square + third)) * (square + high))
    return np.asarray(20.0 * np.log10(response) + 2.0)


def shaped(shape_db: Track, hz: Track) -> Track:
    """A spectrum of some shape as power per frequency, so scaled that its A-weighted sum is 1.

    Shape:
        (F,) or (T, F), as `shape_db`; each row is scaled by itself.
    """
    spectrum = power(shape_db)
    heard = (spectrum * power(a_weighting_db(hz))).sum(axis=-1, keepdims=True)
    return np.asarray(spectrum / heard)


def of_exposure(kernel: Track, level_dba: float) -> Track:
    """An impulse scaled to the A-weighted energy that one second of steady sound at a level has.

    So n such impulses a second sound as loud as `level_dba` + 10 log10 n.
    """
    size = 4 * kernel.size
    bins = np.square(np.abs(np.fft.rfft(kernel, size)))
    heard = bins * power(a_weighting_db(np.fft.rfftfreq(size, 1.0 / SAMPLING_RATE)))
    energy = 2.0 * float(heard.sum()) / size / SAMPLING_RATE  # Parseval; both ends of the spectrum weigh nothing
    return np.asarray(kernel * amplitude(full_scale(level_dba)) / np.sqrt(energy))
