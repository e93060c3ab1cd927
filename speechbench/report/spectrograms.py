"""Pictures of sound, small enough for a page."""

from __future__ import annotations

import base64
import io

import numpy as np
from matplotlib import image
from numpy.typing import NDArray

from speechbench.audio import SAMPLING_RATE, Samples

HEIGHT = 96  # pixels, from 0 Hz to `HIGHEST`
WIDEST = 480  # pixels
SHIFT = 0.010  # s
WINDOW = 512  # samples, 32 ms
HIGHEST = 6000  # Hz; above it there is little of a word to be seen
RANGE = 60.0  # dB from the loudest to black
QUALITY = 55  # of WebP: 5 kB a picture; below, formants blur


def draw_spectrogram(samples: Samples) -> str:
    """A spectrogram as a data URI.

    Args:
        samples: At `SAMPLING_RATE`.

    Shape:
        samples: (N,)
    """
    buffer = io.BytesIO()
    # Grey keeps the order of loudness for every eye and on paper.
    image.imsave(
        buffer, _levels(samples), cmap="gray", vmin=-RANGE, vmax=0, format="webp", pil_kwargs={"quality": QUALITY, "method": 6}
    )
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _levels(samples: Samples) -> NDArray[np.float32]:
    """Levels in dB below the loudest, the highest frequency first.

    Shape:
        samples: (N,); result: (HEIGHT, T), T at most WIDEST
    """
    padded = np.pad(samples, WINDOW // 2)  # however short it is, there is a frame
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[:: round(SHIFT * SAMPLING_RATE)]
    power = np.square(np.abs(np.fft.rfft(frames * np.hanning(WINDOW), axis=1)))
    power = power[:, : HIGHEST * WINDOW // SAMPLING_RATE]
    power = _shrink(_shrink(power, WIDEST).T, HEIGHT)
    level = 10 * np.log10(power + 1e-9)
    shown: NDArray[np.float32] = np.clip(level - level.max(), -RANGE, 0.0)[::-1].astype(np.float32)
    return shown


def _shrink(values: NDArray[np.float64], most: int) -> NDArray[np.float64]:
    """Means over neighbouring rows, so that at most so many are left."""
    if len(values) <= most:
        return values
    starts = np.linspace(0, len(values), most, endpoint=False).astype(int)
    sums = np.add.reduceat(values, starts, axis=0)
    means: NDArray[np.float64] = sums / np.diff([*starts, len(values)])[:, None]
    return means
