import numpy as np
import pytest
from made_speech import RATE
from scipy.signal import welch

from speechbench import levels
from synth import cabin, lombard


def test_the_voice_rises_with_the_noise_and_ends_at_a_shout():
    assert lombard.raised_db(20.0, 0.5) == lombard.raised_db(35.0, 0.5) == lombard.raised_db(-5.0, 0.0) == 0.0
    # 20 dB more noise and 0.5 dB of voice for each: 10 dB of voice, and the SNR falls from 20 to 10 dB.
    assert lombard.raised_db(10.0, 0.5) == 10.0
    assert lombard.raised_db(10.0, 0.3) < lombard.raised_db(10.0, 0.7)
    assert lombard.raised_db(-40.0, 0.5) == pytest.approx(19.95)


def test_the_spectrum_of_a_loud_voice_is_the_standards():
    # The difference of two rows of ANSI S3.5-1997, less the 12.5 dB by which a loud voice is louder.
    expected = np.array([41.55, 44.85, 42.16, 34.39, 25.41, 11.39]) - [34.75, 34.27, 25.01, 17.32, 9.33, 1.13] - 12.5
    assert lombard.shape_db(12.5) == pytest.approx(tuple(expected))
    assert lombard.shape_db(0.0) == pytest.approx((0.0,) * 6)


@pytest.mark.parametrize("raised", [3.0, 12.5, 19.95])
def test_white_noise_gets_that_spectrum_and_stays_in_its_place(raised):
    white = np.random.default_rng(0).normal(0, 0.1, 20 * RATE).astype(np.float32)
    heard = cabin.apply(white, *lombard.response(raised))
    hz, before = welch(white, RATE, nperseg=1024)
    _, after = welch(heard, RATE, nperseg=1024)
    gains_db = np.interp(lombard.BANDS[:5], hz, 10 * np.log10(after / before))
    assert gains_db == pytest.approx(lombard.shape_db(raised)[:5], abs=0.9)  # half an octave of smoothing
    assert np.argmax(np.correlate(heard[1000:3000], white[950:3050], "valid")) == 50
    assert levels.rms_dbfs(heard) > -40.0
