"""Impulses: one short sound at many moments."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from speechbench.audio import SAMPLING_RATE
from synth.car.level import Track

ATTACK = 0.0005  # s


def ring(*modes: tuple[float, float, float]) -> Track:
    """A body that is struck.

    Args:
        modes: Frequency (Hz), decay (s until the amplitude has fallen to 1/e) and gain of each of its resonances.

    Shape:
        (N,), six times the longest decay, so that it ends at -52 dB.
    """
    time = np.arange(round(6.0 * max(decay for _, decay, _ in modes) * SAMPLING_RATE)) / SAMPLING_RATE
    rings = sum(gain * np.sin(2.0 * np.pi * hz * time) * np.exp(-time / decay) for hz, decay, gain in modes)
    return np.asarray((1.0 - np.exp(-time / ATTACK)) * rings)


def strike(sound: NDArray[np.float32], times: Track, gains: Track, kernel: Track) -> None:
    """Add the kernel to a sound at each time, as loud as its gain says; what lies outside is cut off."""
    starts = np.rint(times * SAMPLING_RATE).astype(np.int64)
    light = kernel.astype(np.float32)
    for start, gain in zip(starts.tolist(), gains.astype(np.float32), strict=True):
        if 0 <= start < sound.size:
            part = sound[start : start + light.size]
            part += gain * light[: part.size]


def at_random(per_second: Track, times: Track, rng: np.random.Generator) -> Track:
    """Moments that fall by chance, so many per second (a Poisson process whose rate changes).

    Shape:
        per_second (T,) at times (T,); result (K,), K by chance
    """
    most = float(per_second.max(initial=0.0))
    seconds = float(times[-1])
    moments = rng.uniform(0.0, seconds, rng.poisson(most * seconds))
    kept = rng.random(moments.size) * most < np.interp(moments, times, per_second)
    return np.sort(moments[kept])
