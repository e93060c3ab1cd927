"""How a voice changes in noise: an approximation of the Lombard effect for speech that was recorded in quiet.

Only the long-term spectrum follows the vocal effort. The longer vowels, the higher pitch and the clearer articulation
of real Lombard speech are not modelled; recordings of people who speak in noise are better where there are any.
"""

from __future__ import annotations

import numpy as np

from speechbench.audio import SAMPLING_RATE, Samples

# ANSI S3.5-1997, table 4: standard speech spectrum levels in octave bands (dB), and the overall level of each effort.
BANDS = (250.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0)  # Hz
OVERALL = (62.35, 68.34, 74.85, 82.30)  # dB SPL: normal, raised, loud, shout
SPECTRA = (
    (34.75, 34.27, 25.01, 17.32, 9.33, 1.13),
    (38.98, 40.15, 33.86, 25.32, 16.78, 5.07),
    (41.55, 44.85, 42.16, 34.39, 25.41, 11.39),
    (42.50, 49.24, 51.31, 44.32, 34.41, 20.72),
)
# Normal speech at a microphone half a metre away has about 70 dB; voices begin to rise in noise of about 50 dB.
QUIET_SNR_DB = 20.0
MOST_DB = OVERALL[-1] - OVERALL[0]
TAPS = 257  # 16 ms: resolves the lowest octave


def raised_db(snr_db: float, slope: float) -> float:
    """By how much a speaker raises the voice who is heard at this SNR in the end.

    From the noise of `QUIET_SNR_DB` on, each dB of noise raises the voice by `slope` and so lowers the SNR by only
    1 - slope; the noise that leads to an SNR lies (QUIET_SNR_DB - snr_db) / (1 - slope) above that.
    """
    return round(min(max(0.0, QUIET_SNR_DB - snr_db) * slope / (1.0 - slope), MOST_DB), 2)


def shape_db(raised: float) -> tuple[float, ...]:
    """The change of the spectrum in `BANDS` beside the change of the level: effort lifts the octaves above 1 kHz most."""
    efforts = np.subtract(OVERALL, OVERALL[0])
    return tuple(float(np.interp(raised, efforts, levels)) - levels[0] - raised for levels in zip(*SPECTRA, strict=True))


def response(raised: float) -> tuple[Samples, int]:
    """A filter with that shape, and its delay in samples.

    Shape:
        (TAPS,) at 16 kHz
    """
    hz = np.linspace(0.0, SAMPLING_RATE / 2, TAPS)
    curve = np.interp(np.log2(np.maximum(hz, 1.0)), np.log2(BANDS), shape_db(raised))
    from scipy.signal import firwin2  # takes long to import, and raised voices are off by default

    taps = firwin2(TAPS, hz, 10.0 ** (curve / 20.0), fs=SAMPLING_RATE)
    return taps.astype(np.float32), TAPS // 2
