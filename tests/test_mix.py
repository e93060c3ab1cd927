import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_speech import RATE, syllables

from speechbench import audio, levels
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
    measured = levels.active_speech_level(parts.speech).level_dbfs - levels.rms_dbfs(parts.noise)
    assert measured == pytest.approx(snr_db, abs=0.1)
    assert parts.snr_db == pytest.approx(measured, abs=0.01)
    assert np.abs(parts.sum).max() <= 1.0
    level = levels.active_speech_level(parts.speech).level_dbfs
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
    assert levels.rms_dbfs(sparse.noise) == pytest.approx(levels.rms_dbfs(dense.noise), abs=0.3)


def test_a_sum_that_would_clip_is_turned_down_whole():
    speech = syllables(np.random.default_rng(0), 3.0)
    parts = mix.mix(speech, white(3, 0.1), -20.0, -12.0)
    assert parts.output_gain_db < -1
    assert np.abs(parts.sum).max() == pytest.approx(mix.CEILING, abs=1e-3)
    assert levels.active_speech_level(parts.speech).level_dbfs - levels.rms_dbfs(parts.noise) == pytest.approx(-20, abs=0.1)


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
    assert levels.active_speech_level(parts.speech).level_dbfs - levels.rms_dbfs(parts.noise) == pytest.approx(7.5, abs=0.1)


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
def test_noise_of_any_sampling_rate_covers_the_speech(tmp_path, rate):
    import soundfile

    soundfile.write(tmp_path / "n.wav", np.random.default_rng(0).normal(0, 0.1, rate * 14), rate)
    parts = mix.render(scene(tmp_path, (piece(tmp_path / "n.wav", 0.3333, 2.7777), piece(tmp_path / "n.wav", 9.1, 1.2423))))
    assert parts.noise.size == 4 * RATE
    assert np.all(np.abs(parts.noise[-200:]).max() > 0)
    assert levels.active_speech_level(parts.speech).level_dbfs - levels.rms_dbfs(parts.noise) == pytest.approx(7.5, abs=0.1)


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


def test_an_offset_changes_nothing():
    speech, noise = white(4, 0.1), white(4, 0.02, 5)
    plain = mix.mix(speech, noise, 5.0, -26.0)
    offset = mix.mix(speech + np.float32(0.3), noise, 5.0, -26.0)
    assert np.abs(offset.sum - plain.sum).max() <= 1.01 / 32768
    assert plain.speech.mean() == pytest.approx(0.0, abs=1e-7)
    with pytest.raises(AudioError, match="speech is silent"):
        mix.mix(np.full(RATE, 0.3, np.float32), white(1, 0.1), 0.0, -26.0)


def test_speech_of_any_level_is_brought_to_its_level():
    for level in (1e-4, 0.3):
        speech = syllables(np.random.default_rng(3), 4.0, level)
        assert levels.active_speech_level(mix.mix(speech, None, None, -30.0).speech).level_dbfs == pytest.approx(
            -30.0, abs=0.02
        )


def test_a_clip_that_is_asked_for_saturates_and_is_counted():
    speech = syllables(np.random.default_rng(0), 3.0)
    parts = mix.mix(speech, white(3, 0.1), -20.0, -12.0, clip=True)
    whole = parts.speech.astype(float) + parts.noise
    assert parts.output_gain_db == 0.0 and parts.snr_db == pytest.approx(-20.0, abs=0.1)
    assert parts.clipped_samples == np.count_nonzero((whole > 1 - 2**-15) | (whole < -1)) > 1000
    assert np.abs(parts.sum - np.clip(whole, -1, 1 - 2**-15)).max() < 1e-6
    assert mix.mix(speech, white(3, 0.001), 20.0, -30.0, clip=True).clipped_samples == 0


def sound(seconds=1.0, start=1.0, snr_db=10.0, samples=None):
    return mix.Sound(round(start * RATE), white(seconds, 0.1, 7) if samples is None else samples, snr_db)


def test_events_and_total_are_met_together():
    speech, noise = white(4, 0.1), white(4, 0.02, 5)
    parts = mix.mix(speech, noise, 6.0, -26.0, [sound(), sound(0.5, 3.0, 3.0)])
    level = levels.rms_dbfs(parts.speech)  # without pauses this is the active level
    assert level - levels.rms_dbfs(parts.noise) == pytest.approx(6.0, abs=0.1)
    assert [event.snr_db for event in parts.events] == pytest.approx([10.0, 3.0], abs=0.001)
    alone = noise * np.float32(10 ** (parts.noise_gain_db / 20))
    for event, start, seconds in zip(parts.events, (1.0, 3.0), (1.0, 0.5), strict=True):
        place = slice(round(start * RATE), round((start + seconds) * RATE))
        rest = parts.noise[place] - alone[place] - white(seconds, 0.1, 7) * np.float32(10 ** (event.gain_db / 20))
        assert levels.rms_dbfs(rest) < -95  # nothing but rounding is left


def test_events_that_cannot_be_met_are_errors():
    speech, noise = white(4, 0.1), white(4, 0.02, 5)
    with pytest.raises(AudioError, match=r"the events alone exceed the noise of 20 dB SNR; raise"):
        mix.mix(speech, noise, 20.0, -26.0, [sound(4.0, 0.0, 10.0)])
    with pytest.raises(AudioError, match="an event is silent here"):
        mix.mix(speech, noise, 0.0, -26.0, [sound(samples=np.zeros(RATE, np.float32))])


def test_what_16_bits_do_not_hold_is_an_error_and_never_another_snr():
    with pytest.raises(AudioError, match=r"noise of -106 dBFS is less than 16 bits hold"):
        mix.mix(white(2, 0.1), white(2, 0.1, 5), 80.0, -26.0)
    square = np.sign(white(2, 0.1, 5)) * np.float32(0.5)
    with pytest.raises(AudioError, match=r"the SNR came out as .* where 75.00 dB was asked for: 16 bits do not hold"):
        mix.mix(np.concatenate([white(0.2, 0.1), np.zeros(28800, np.float32)]), square, 75.0, -26.0)


def test_noise_that_repeats_its_values_is_not_rounded_to_another_level():
    # Half a second of speech, then a square wave of 10.45 steps, that rounding alone would make one of 10.
    speech, square = np.concatenate([white(0.5, 0.1), np.zeros(56000, np.float32)]), np.sign(white(4, 0.1, 5))
    level = -26.0 - 20 * np.log10(10.45 / 32768)
    parts = mix.mix(speech, square, level, -26.0)
    assert np.abs(np.rint(square * 10.45)).max() == 10
    assert parts.snr_db == pytest.approx(level, abs=0.05)
    assert np.array_equal(mix.mix(speech, square, level, -26.0).sum, parts.sum)
