import io
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


def test_wav_is_written_as_libsndfile_writes_it():
    steps = np.random.default_rng(0).integers(-(2**15), 2**15, 1001, dtype=np.int16)
    theirs = io.BytesIO()
    soundfile.write(theirs, steps, 8000, format="WAV", subtype="PCM_16")
    assert audio.encode(steps, 8000, ".wav") == theirs.getvalue()
