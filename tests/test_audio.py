import io
import os
import subprocess
import sys
import tarfile

import miniaudio
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from speechbench import audio
from speechbench.errors import AudioError

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


@pytest.mark.parametrize("click_dbfs", [-18.0, -16.0, -14.0])
def test_of_two_answers_to_p56_the_one_at_the_lower_threshold_counts(click_dbfs):
    # A click of 50 ms over quiet speech: the active level lies 15.9 dB over a threshold below the speech, where all of it
    # is active, and again over one that the click alone reaches.
    samples = np.random.default_rng(0).normal(0, 10 ** (-45 / 20), 8 * RATE).astype(np.float32)
    samples[RATE : RATE + 800] = 10 ** (click_dbfs / 20)
    whole = audio.rms_dbfs(samples)
    assert audio.active_speech_level(samples).level_dbfs == pytest.approx(whole, abs=0.2)


def noise(seconds=1.0, rate=RATE):
    return np.random.default_rng(0).normal(0, 0.1, round(seconds * rate)).astype(np.float32)


@pytest.mark.parametrize("suffix", [".flac", ".wav"])
def test_what_is_written_is_read_to_the_last_bit(tmp_path, suffix):
    whole = np.array([-32768, -1, 0, 1, 12345, 32767], dtype=np.float32) / 32768
    audio.write(tmp_path / f"a{suffix}", whole)
    assert audio.read(tmp_path / f"a{suffix}").tolist() == whole.tolist()


@settings(max_examples=25)
@given(st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=50), st.sampled_from([".flac", ".wav"]))
def test_writing_rounds_to_the_nearest_step(values, suffix):
    samples = np.array(values, dtype=np.float32)
    data = audio.encode(samples, suffix=suffix)
    assert data == audio.encode(samples.copy(), suffix=suffix)
    read, rate = soundfile.read(io.BytesIO(data), dtype="float32")
    assert rate == RATE
    assert np.abs(read - np.minimum(samples, 32767 / 32768)).max() <= 0.5 / 32768


@pytest.mark.parametrize("peak", [1.001, float("nan"), float("inf")])
def test_clipped_audio_is_never_written(tmp_path, peak):
    with pytest.raises(AudioError, match="refuse to write clipped audio"):
        audio.write(tmp_path / "a.wav", np.array([0.0, peak], dtype=np.float32))
    assert list(tmp_path.iterdir()) == []


def test_other_formats_are_not_written(tmp_path):
    with pytest.raises(AudioError, match=r"cannot write '.mp3' audio; known: .flac, .wav"):
        audio.write(tmp_path / "a.mp3", noise())


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000])
def test_any_sampling_rate_becomes_16_khz(tmp_path, rate):
    time = np.arange(rate) / rate
    soundfile.write(tmp_path / "a.wav", 0.5 * np.sin(2 * np.pi * 1_000 * time), rate)
    samples = audio.read(tmp_path / "a.wav")
    spectrum = np.abs(np.fft.rfft(samples))
    assert samples.dtype == np.float32 and abs(samples.size - RATE) <= 1
    assert np.argmax(spectrum) == 1_000 and np.sqrt(np.mean(samples**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.01)


@pytest.mark.parametrize(
    ("suffix", "subtype"), [(".wav", "PCM_24"), (".wav", "FLOAT"), (".flac", "PCM_16"), (".ogg", "VORBIS")]
)
def test_channels_are_averaged_in_any_format(tmp_path, suffix, subtype):
    left = noise()
    soundfile.write(tmp_path / f"a{suffix}", np.stack([left, -0.5 * left], axis=1), RATE, subtype=subtype)
    assert audio.inspect(tmp_path / f"a{suffix}") == audio.AudioInfo(1.0, RATE, 2, subtype)
    mean = audio.read(tmp_path / f"a{suffix}")
    assert mean.shape == (RATE,) and np.corrcoef(mean, left)[0, 1] > 0.8  # Vorbis blurs noise


@pytest.mark.parametrize(("channels", "subtype"), [(1, "PCM_16"), (2, "PCM_16"), (1, "PCM_24"), (1, "PCM_S8")])
@pytest.mark.parametrize(("offset", "duration"), [(0.0, None), (0.0, 0.9), (0.3, None), (0.2, 0.7), (0.9, None), (0.0, 1.04)])
@pytest.mark.parametrize("in_tar", [False, True])
def test_either_decoder_of_flac_gives_the_same_samples(tmp_path, monkeypatch, channels, subtype, offset, duration, in_tar):
    path = tmp_path / "a.flac"
    soundfile.write(path, np.stack([noise(), -0.4 * noise()][:channels], axis=1), RATE, subtype=subtype)
    if in_tar:
        with tarfile.open(tmp_path / "shard.tar", "w") as shard:
            shard.add(path, path.name)
        path = tmp_path / "shard.tar" / path.name
    samples = audio.read(path, offset, duration)
    monkeypatch.setitem(sys.modules, "miniaudio", None)  # as if it were not installed
    np.testing.assert_array_equal(samples, audio.read(path, offset, duration))
    assert samples.size == round(min(1.0 - offset, duration or 1.0) * RATE) and samples.flags.writeable


@pytest.mark.parametrize(("offset", "duration", "whole"), [(0.0, 3.0, 1), (0.5, None, 1), (2.0, 1.0, 0), (2.0, None, 0)])
def test_a_flac_file_is_decoded_whole_where_most_of_it_is_asked_for(tmp_path, monkeypatch, offset, duration, whole):
    audio.write(tmp_path / "a.flac", noise(3.0))
    decode, decoded = miniaudio.flac_read_f32, []
    monkeypatch.setattr(miniaudio, "flac_read_f32", lambda data: decoded.append(data) or decode(data))
    audio.read(tmp_path / "a.flac", offset, duration)
    assert len(decoded) == whole


@pytest.fixture(scope="module")
def bad_files(tmp_path_factory):
    """A file of every kind of fault, with what is said of it."""
    folder = tmp_path_factory.mktemp("bad")
    flac, wav = (audio.encode(noise(), suffix=suffix) for suffix in (".flac", ".wav"))
    scratched = flac[: len(flac) // 2] + bytes(400) + flac[len(flac) // 2 + 400 :]
    contents = {
        "empty.flac": b"", "text.wav": b"not audio", "cut.flac": flac[: len(flac) // 2], "scratched.flac": scratched,
        "cut.wav": wav[: len(wav) // 2], "header.wav": wav[:44],
    }  # fmt: skip
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    for name, value in (("nan.wav", np.nan), ("infinite.wav", -np.inf)):
        soundfile.write(folder / name, np.array([0.0] * 8_000 + [value] + [0.0] * 7_999), RATE, subtype="FLOAT")
    (folder / "folder.wav").mkdir()
    return folder


FAULTS = {
    "empty.flac": "cannot be read as audio", "text.wav": "cannot be read as audio", "cut.flac": "cannot be read as audio",
    "scratched.flac": "cannot be read as audio", "cut.wav": "ends 0.50 s early", "header.wav": "holds no samples",
    "nan.wav": "not finite", "infinite.wav": "not finite", "folder.wav": "cannot be read as audio", "gone.wav": "no such file",
}  # fmt: skip


@pytest.mark.parametrize(("name", "fault"), FAULTS.items())
def test_bad_files_are_named_with_their_fault_in_one_line(bad_files, name, fault):
    with pytest.raises(AudioError) as error:
        audio.read(bad_files / name, duration=1.0)
    message = str(error.value)
    assert message.startswith(f"{bad_files / name}: ") and fault in message and "\n" not in message


@pytest.mark.parametrize("name", [name for name in FAULTS if name not in ("scratched.flac", "cut.wav")])
def test_a_probe_finds_what_reading_would(bad_files, name):
    with pytest.raises(AudioError):
        audio.probe(bad_files / name)


def test_a_probe_reads_only_the_end_of_a_good_file(tmp_path, monkeypatch):
    audio.write(tmp_path / "a.flac", noise(3.0))
    starts = []
    read = audio.read
    monkeypatch.setattr(audio, "read", lambda path, offset, **keys: starts.append(offset) or read(path, offset, **keys))
    assert audio.probe(tmp_path / "a.flac") == audio.AudioInfo(3.0, RATE, 1)
    assert starts == [pytest.approx(2.9)]


def test_levels_of_known_signals():
    assert audio.rms_dbfs(np.ones(100, np.float32)) == 0.0
    assert audio.rms_dbfs(np.full(100, 0.1, np.float32)) == pytest.approx(-20.0, abs=1e-5)
    assert audio.rms_dbfs(np.zeros(0, np.float32)) == audio.decibels(0.0) == float("-inf")
    assert audio.decibels(100.0) == 20.0


@pytest.mark.parametrize("silence", ["before", "after", "both"])
def test_digital_silence_is_not_active(silence):
    speech = tone_bursts(-30.0, 1.0, 3.0)
    nothing = np.zeros(2 * RATE, np.float32)
    longer = np.concatenate([nothing] * (silence != "after") + [speech] + [nothing] * (silence != "before"))
    alone, among = audio.active_speech_level(speech), audio.active_speech_level(longer)
    assert among.level_dbfs == pytest.approx(alone.level_dbfs, abs=0.5)  # the hangover takes 0.2 s of the silence behind
    assert among.activity == pytest.approx(alone.activity * speech.size / longer.size, rel=0.1)


LEVELS = """
import hashlib
import numpy as np
from speechbench import audio
digest = hashlib.sha256()
for size in (1_000, 40_007, 160_000, 600_123):
    samples = np.random.default_rng(size).normal(0, 0.1, size).astype(np.float32)
    envelope = audio.speech_envelope(samples)
    digest.update(envelope.held.tobytes() + repr((envelope.sum_squares, audio.rms_dbfs(samples))).encode())
print(digest.hexdigest())
"""


def test_levels_have_the_same_bits_for_any_number_of_threads():
    found = set()
    for threads in ("1", "4"):
        environment = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), threads)
        done = subprocess.run([sys.executable, "-c", LEVELS], env=environment, capture_output=True, text=True, check=True)
        found.add(done.stdout)
    assert len(found) == 1


def test_wav_is_written_as_libsndfile_writes_it():
    steps = np.random.default_rng(0).integers(-(2**15), 2**15, 1001, dtype=np.int16)
    theirs = io.BytesIO()
    soundfile.write(theirs, steps, 8000, format="WAV", subtype="PCM_16")
    assert audio.encode(steps, 8000, ".wav") == theirs.getvalue()
