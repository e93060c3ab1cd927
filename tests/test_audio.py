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
