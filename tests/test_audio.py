import numpy as np
import pytest

from speechbench import audio

RATE = audio.SAMPLING_RATE


def tone_bursts(level_dbfs: float, activity: float, seconds: float = 20.0) -> np.ndarray:
    """Noise bursts of 1 s mean spacing whose level and share of time are known."""
    rng = np.random.default_rng(0)
    samples = rng.normal(0, 10 ** (level_dbfs / 20), round(seconds * RATE))
    period = 4 * RATE
    silent = (np.arange(samples.size) % period) >= activity * period
    samples[silent] = 0
    return samples.astype(np.float32)


@pytest.mark.parametrize("activity", [0.3, 0.5, 0.8, 1.0])
def test_active_level_finds_the_planted_level_and_activity(activity):
    measured = audio.active_speech_level(tone_bursts(-26.0, activity))
    # By the recommendation each burst stays active for the hangover of 0.2 s after its envelope has died away.
    burst = 4.0 * activity
    held = min(1.0, (burst + audio.HANGOVER) / 4.0)
    assert measured.level_dbfs == pytest.approx(-26.0 + 10 * np.log10(activity / held), abs=0.3)
    assert measured.activity == pytest.approx(held, abs=0.03)


def test_active_level_ignores_added_silence_that_rms_counts():
    speech = tone_bursts(-26.0, 1.0, 8.0)
    half_silent = np.concatenate([speech, np.zeros_like(speech)])
    change = audio.active_speech_level(half_silent).level_dbfs - audio.active_speech_level(speech).level_dbfs
    assert abs(change) < 0.3
    assert audio.rms_dbfs(half_silent) - audio.rms_dbfs(speech) == pytest.approx(-3.01, abs=0.01)


@pytest.mark.parametrize("gain_db", [-20.0, 6.0])
def test_active_level_moves_with_gain(gain_db):
    speech = tone_bursts(-30.0, 0.6)
    louder = (speech * 10 ** (gain_db / 20)).astype(np.float32)
    change = audio.active_speech_level(louder).level_dbfs - audio.active_speech_level(speech).level_dbfs
    assert change == pytest.approx(gain_db, abs=0.35)


def test_active_level_of_silence():
    assert audio.active_speech_level(np.zeros(RATE, np.float32)) == (float("-inf"), 0.0)


@pytest.mark.parametrize("gain_db", [0.0, -7.0, 4.5])
def test_steps_of_a_millisecond_agree_with_p56_sample_by_sample(gain_db):
    samples = tone_bursts(-30.0, 0.6, 8.0) * np.float32(10 ** (gain_db / 20))
    g = np.exp(-1 / (RATE * audio.TIME_CONSTANT))
    p = q = 0.0
    counts, left = np.zeros(15), np.zeros(15)
    thresholds = 10 ** (audio.THRESHOLDS_DBFS / 20)
    for x in np.abs(samples.astype(float)).tolist():  # method B as the recommendation writes it
        p = g * p + (1 - g) * x
        q = g * q + (1 - g) * p
        left = np.where(q >= thresholds, audio.HANGOVER * RATE, left - 1)
        counts += left > 0
    levels = 10 * np.log10(np.sum(samples.astype(float) ** 2) / counts[counts > 0])
    exact = np.interp(-audio.MARGIN_DB, -(levels - audio.THRESHOLDS_DBFS[counts > 0]), levels)
    assert audio.active_speech_level(samples).level_dbfs == pytest.approx(exact, abs=0.03)
    loud = audio.speech_envelope(tone_bursts(-30.0, 0.6, 8.0)).level(gain_db)
    assert loud.level_dbfs == pytest.approx(audio.active_speech_level(samples).level_dbfs, abs=1e-3)
