"""Noise with a spectrum that changes over time: random frames that overlap by half.

All of a cabin's broadband sounds are added up as power in time and frequency first, so that they cost one random number
and one inverse transform together.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft

from speechbench.audio import SAMPLING_RATE
from synth.car.level import Track

FRAME = 2048  # samples: 7.8 Hz resolve a tyre's cavity
HOP = FRAME // 2
HZ: Track = np.fft.rfftfreq(FRAME, 1.0 / SAMPLING_RATE)
LOWEST_HZ = 18.0
WINDOW = np.sin(np.pi * (np.arange(FRAME) + 0.5) / FRAME).astype(np.float32)  # its square and the next one's add up to 1


def frame_times(samples: int) -> Track:
    """The middle of each frame in seconds; the first and the last lie half outside."""
    return np.arange(-(-samples // HOP) + 1) * (HOP / SAMPLING_RATE)


def noise(spectra: Track, samples: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Gaussian noise.

    Args:
        spectra: Mean square per frame and frequency; a row adds up to the mean square of the sound at that time.
        samples: N.
        rng: Of the noise.

    Shape:
        spectra (T, F), T = frames of `frame_times`, F = `HZ`; result (N,)
    """
    # A real frame's variance is the sum over bins of 2 E|X|^2 / FRAME^2, of which real and imaginary part have half each.
    scale = np.sqrt(spectra, dtype=np.float32) * np.float32(FRAME / 2.0)
    scale[:, HZ < LOWEST_HZ] = 0.0
    scale[:, -1] = 0.0
    bins = rng.standard_normal((spectra.shape[0], 2 * HZ.size), dtype=np.float32).view(np.complex64)
    frames = irfft(bins * scale, FRAME, axis=1) * WINDOW
    blocks = frames[:-1, HOP:] + frames[1:, :HOP]
    return np.asarray(blocks.reshape(-1)[:samples])


def falling(hz: Track, knee: Track | float, slope_db: float) -> Track:
    """A spectrum in dB that is flat below the knee and falls by `slope_db` per octave above."""
    return np.asarray(-slope_db * 0.5 * np.log2(1.0 + np.square(hz / knee)))


def hill(hz: Track, centre: float, octaves: float) -> Track:
    """A spectrum in dB that falls by 4.3 dB at so many octaves from its centre, by four times as much at twice as many."""
    away = np.log2(np.maximum(hz, 1.0) / centre) / octaves
    return np.asarray(-4.343 * np.minimum(np.square(away), 16.0))


def hump(hz: Track, centre: float, octaves: float, height_db: float) -> Track:
    """A resonance of so many dB on a spectrum: what it adds in dB."""
    away = np.log2(np.maximum(hz, 1.0) / centre) / octaves
    return np.asarray(height_db * np.exp(-np.square(away)))


def wander(times: Track, hz: float, depth_db: float, rng: np.random.Generator) -> Track:
    """A level in dB that strays by about `depth_db` around 0, no faster than `hz`."""
    count = int(times[-1] * hz) + 3
    return np.asarray(np.interp(times * hz, np.arange(count), depth_db * rng.standard_normal(count)))
