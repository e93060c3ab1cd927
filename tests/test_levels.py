import os
import subprocess
import sys

import numpy as np
import pytest

from speechbench import levels
from speechbench.audio import SAMPLING_RATE as RATE


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
    measured = levels.active_speech_level(tone_bursts(-26.0, activity))
    # By the recommendation each burst stays active for the hangover of 0.2 s after its envelope has died away.
    burst = 4.0 * activity
    held = min(1.0, (burst + levels.HANGOVER) / 4.0)
    assert measured.level_dbfs == pytest.approx(-26.0 + 10 * np.log10(activity / held), abs=0.3)
    assert measured.activity == pytest.approx(held, abs=0.03)


def test_active_level_ignores_added_silence_that_rms_counts():
    speech = tone_bursts(-26.0, 1.0, 8.0)
    half_silent = np.concatenate([speech, np.zeros_like(speech)])
    change = levels.active_speech_level(half_silent).level_dbfs - levels.active_speech_level(speech).level_dbfs
    assert abs(change) < 0.3
    assert levels.rms_dbfs(half_silent) - levels.rms_dbfs(speech) == pytest.approx(-3.01, abs=0.01)


@pytest.mark.parametrize("gain_db", [-20.0, 6.0])
def test_active_level_moves_with_gain(gain_db):
    speech = tone_bursts(-30.0, 0.6)
    louder = (speech * 10 ** (gain_db / 20)).astype(np.float32)
    change = levels.active_speech_level(louder).level_dbfs - levels.active_speech_level(speech).level_dbfs
    assert change == pytest.approx(gain_db, abs=0.35)


def test_active_level_of_silence():
    assert levels.active_speech_level(np.zeros(RATE, np.float32)) == (float("-inf"), 0.0)


@pytest.mark.parametrize("gain_db", [0.0, -7.0, 4.5])
def test_steps_of_a_millisecond_agree_with_p56_sample_by_sample(gain_db):
    samples = tone_bursts(-30.0, 0.6, 8.0) * np.float32(10 ** (gain_db / 20))
    g = np.exp(-1 / (RATE * levels.TIME_CONSTANT))
    p = q = 0.0
    counts, left = np.zeros(15), np.zeros(15)
    thresholds = 10 ** (levels.THRESHOLDS_DBFS / 20)
    for x in np.abs(samples.astype(float)).tolist():  # method B as the recommendation writes it
        p = g * p + (1 - g) * x
        q = g * q + (1 - g) * p
        left = np.where(q >= thresholds, levels.HANGOVER * RATE, left - 1)
        counts += left > 0
    each = 10 * np.log10(np.sum(samples.astype(float) ** 2) / counts[counts > 0])
    exact = np.interp(-levels.MARGIN_DB, -(each - levels.THRESHOLDS_DBFS[counts > 0]), each)
    assert levels.active_speech_level(samples).level_dbfs == pytest.approx(exact, abs=0.03)
    loud = levels.speech_envelope(tone_bursts(-30.0, 0.6, 8.0)).level(gain_db)
    assert loud.level_dbfs == pytest.approx(levels.active_speech_level(samples).level_dbfs, abs=1e-3)


@pytest.mark.parametrize("click_dbfs", [-18.0, -16.0, -14.0])
def test_of_two_answers_to_p56_the_one_at_the_lower_threshold_counts(click_dbfs):
    # A click of 50 ms over quiet speech: the active level lies 15.9 dB over a threshold below the speech, where all of it
    # is active, and again over one that the click alone reaches.
    samples = np.random.default_rng(0).normal(0, 10 ** (-45 / 20), 8 * RATE).astype(np.float32)
    samples[RATE : RATE + 800] = 10 ** (click_dbfs / 20)
    whole = levels.rms_dbfs(samples)
    assert levels.active_speech_level(samples).level_dbfs == pytest.approx(whole, abs=0.2)


def test_levels_of_known_signals():
    assert levels.rms_dbfs(np.ones(100, np.float32)) == 0.0
    assert levels.rms_dbfs(np.full(100, 0.1, np.float32)) == pytest.approx(-20.0, abs=1e-5)
    assert levels.rms_dbfs(np.zeros(0, np.float32)) == levels.decibels(0.0) == float("-inf")
    assert levels.decibels(100.0) == 20.0


@pytest.mark.parametrize("silence", ["before", "after", "both"])
def test_digital_silence_is_not_active(silence):
    speech = tone_bursts(-30.0, 1.0, 3.0)
    nothing = np.zeros(2 * RATE, np.float32)
    longer = np.concatenate([nothing] * (silence != "after") + [speech] + [nothing] * (silence != "before"))
    alone, among = levels.active_speech_level(speech), levels.active_speech_level(longer)
    assert among.level_dbfs == pytest.approx(alone.level_dbfs, abs=0.5)  # the hangover takes 0.2 s of the silence behind
    assert among.activity == pytest.approx(alone.activity * speech.size / longer.size, rel=0.1)


LEVELS = """
import hashlib
import numpy as np
from speechbench import levels
digest = hashlib.sha256()
for size in (1_000, 40_007, 160_000, 600_123):
    samples = np.random.default_rng(size).normal(0, 0.1, size).astype(np.float32)
    envelope = levels.speech_envelope(samples)
    digest.update(envelope.held.tobytes() + repr((envelope.sum_squares, levels.rms_dbfs(samples))).encode())
print(digest.hexdigest())
"""


def test_levels_have_the_same_bits_for_any_number_of_threads():
    found = set()
    for threads in ("1", "4"):
        environment = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), threads)
        done = subprocess.run([sys.executable, "-c", LEVELS], env=environment, capture_output=True, text=True, check=True)
        found.add(done.stdout)
    assert len(found) == 1
