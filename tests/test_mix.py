import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_speech import RATE, syllables

from speechbench import audio
from speechbench.errors import AudioError
from synth import mix
from synth.noise import Piece
from synth.scene import Scene


def white(seconds, level, seed=0):
    return np.random.default_rng(seed).normal(0, level, round(seconds * RATE)).astype(np.float32)


@settings(max_examples=40, deadline=None)
@given(
    seconds=st.floats(0.4, 8.0),
    speech_level=st.floats(0.003, 0.3),
    noise_level=st.floats(1e-4, 0.4),
    pause=st.floats(0.0, 0.7),
    snr_db=st.floats(-10, 30),
    level_dbfs=st.floats(-40, -15),
)
def test_the_snr_measured_on_the_parts_is_the_one_asked_for(seconds, speech_level, noise_level, pause, snr_db, level_dbfs):
    speech = syllables(np.random.default_rng(1), seconds, speech_level, pause)
    noise = white(seconds, noise_level, 2)
    parts = mix.mix(speech, noise[: speech.size], snr_db, level_dbfs)
    measured = audio.active_speech_level(parts.speech).level_dbfs - audio.rms_dbfs(parts.noise)
    assert measured == pytest.approx(snr_db, abs=0.1)
    assert parts.snr_db == pytest.approx(measured, abs=0.01)
    assert np.abs(parts.sum).max() <= 1.0
    level = audio.active_speech_level(parts.speech).level_dbfs
    assert level == pytest.approx(level_dbfs + parts.output_gain_db, abs=0.3)


@pytest.mark.parametrize("snr_db", [-5.0, 0.0, 10.0, 20.0])
def test_plain_arithmetic_agrees_on_speech_without_pauses(snr_db):
    # With speech throughout, the active level is the RMS level: the oracle needs no P.56.
    parts = mix.mix(white(4, 0.1), white(4, 0.02, 5), snr_db, -26.0)
    speech, noise = parts.speech.astype(float), parts.noise.astype(float)
    assert 10 * np.log10((speech @ speech) / (noise @ noise)) == pytest.approx(snr_db, abs=0.1)
    assert 10 * np.log10(np.mean(speech**2)) == pytest.approx(-26.0, abs=0.1)
    assert parts.snr_db_rms == pytest.approx(10 * np.log10((speech @ speech) / (noise @ noise)), abs=0.001)


def test_silence_around_the_speech_does_not_change_the_mix():
    # RMS over silence would put the noise 3 dB too low on a recording that is half silent.
    speech, noise = white(4, 0.1), white(8, 0.02, 5)
    padded = np.concatenate([speech, np.zeros_like(speech)])
    dense = mix.mix(speech, noise[: speech.size], 0.0, -26.0)
    sparse = mix.mix(padded, noise, 0.0, -26.0)
    assert sparse.snr_db_rms == pytest.approx(-3.0, abs=0.3)
    assert audio.rms_dbfs(sparse.noise) == pytest.approx(audio.rms_dbfs(dense.noise), abs=0.3)


def test_a_sum_that_would_clip_is_turned_down_whole():
    speech = syllables(np.random.default_rng(0), 3.0)
    parts = mix.mix(speech, white(3, 0.1), -20.0, -12.0)
    assert parts.output_gain_db < -1
    assert np.abs(parts.sum).max() == pytest.approx(mix.CEILING, abs=1e-3)
    assert audio.active_speech_level(parts.speech).level_dbfs - audio.rms_dbfs(parts.noise) == pytest.approx(-20, abs=0.1)


def test_silence_has_no_level_and_gives_an_error_never_nan():
    silent = np.zeros(RATE, np.float32)
    with pytest.raises(AudioError, match="speech is silent"):
        mix.mix(silent, white(1, 0.1), 0.0, -26.0)
    with pytest.raises(AudioError, match="noise is silent"):
        mix.mix(white(1, 0.1), silent, 0.0, -26.0)


def scene(tmp_path, pieces, seconds=4.0):
    path = tmp_path / "clean.flac"
    audio.write(path, syllables(np.random.default_rng(0), seconds))
    return Scene("a-noisy1", "a", str(path), 0.0, seconds, pieces, None, 7.5, -26.0, 1)


def piece(path, offset, duration):
    return Piece(path.stem, str(path), "car", None, offset, duration)


def test_noise_is_levelled_after_it_is_cut(tmp_path):
    # The file is 20 dB louder outside the piece; a level of the whole file would miss the SNR.
    loud = np.concatenate([white(4, 0.01), white(16, 0.1)])
    audio.write(tmp_path / "n.flac", np.clip(loud, -1, 1))
    parts = mix.render(scene(tmp_path, (piece(tmp_path / "n.flac", 0.0, 4.0),)))
    assert audio.active_speech_level(parts.speech).level_dbfs - audio.rms_dbfs(parts.noise) == pytest.approx(7.5, abs=0.1)


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
def test_noise_of_any_sampling_rate_covers_the_speech(tmp_path, rate):
    import soundfile

    soundfile.write(tmp_path / "n.wav", np.random.default_rng(0).normal(0, 0.1, rate * 14), rate)
    parts = mix.render(scene(tmp_path, (piece(tmp_path / "n.wav", 0.3333, 2.7777), piece(tmp_path / "n.wav", 9.1, 1.2423))))
    assert parts.noise.size == 4 * RATE
    assert np.all(np.abs(parts.noise[-200:]).max() > 0)
    assert audio.active_speech_level(parts.speech).level_dbfs - audio.rms_dbfs(parts.noise) == pytest.approx(7.5, abs=0.1)


def test_rendering_twice_gives_the_same_bytes(tmp_path):
    audio.write(tmp_path / "n.flac", np.clip(white(5, 0.1), -1, 1))
    one = scene(tmp_path, (piece(tmp_path / "n.flac", 0.5, 4.0),))
    assert audio.encode(mix.render(one).sum) == audio.encode(mix.render(one).sum)


def test_errors_name_the_recordings(tmp_path):
    with pytest.raises(AudioError, match=r"gone\.flac: no such file"):
        mix.render(scene(tmp_path, (piece(tmp_path / "gone.flac", 0.0, 4.0),)))
    audio.write(tmp_path / "still.flac", np.zeros(5 * RATE, np.float32))
    with pytest.raises(AudioError, match=r"clean\.flac with .*still\.flac: noise is silent"):
        mix.render(scene(tmp_path, (piece(tmp_path / "still.flac", 0.0, 4.0),)))
