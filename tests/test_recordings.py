import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import soundfile
from made_speech import RATE

from speechbench import audio
from speechbench.errors import AudioError
from synth.recordings import Recordings


@pytest.fixture(params=[(8000, 1), (16000, 1), (44100, 2)], ids=str)
def path(request, tmp_path):
    rate, channels = request.param
    samples = np.random.default_rng(0).normal(0, 0.1, (3 * rate, channels)).clip(-1, 1)
    soundfile.write(tmp_path / "noise.flac", samples, rate)
    return tmp_path / "noise.flac"


@pytest.mark.parametrize("room", [0, 10**8])
def test_a_stretch_is_what_audio_reads_whether_it_is_kept_or_not(path, room):
    recordings = Recordings(room)
    for offset, duration in ((0.0, 0.5), (1.234, 0.777), (2.5, 0.5), (0.0, 3.0)):
        assert np.array_equal(recordings.read(path, offset, duration), audio.read(path, offset, duration))
    assert bool(recordings.kept) == bool(room)


def test_what_is_kept_cannot_be_changed_by_who_asked_for_it(tmp_path):
    path = tmp_path / "noise.flac"
    audio.write(path, np.full(2 * RATE, 0.1, np.float32))
    recordings = Recordings()
    first = recordings.read(path, 0.0, 1.0)
    with pytest.raises(ValueError, match="read-only"):
        first *= 0.0
    assert np.array_equal(recordings.read(path, 0.0, 1.0), audio.read(path, 0.0, 1.0))


def test_the_room_is_never_overdrawn(tmp_path):
    paths = [tmp_path / f"{n}.flac" for n in range(5)]
    for path in paths:
        audio.write(path, np.full(RATE, 0.1, np.float32))
    recordings = Recordings(room=2 * 4 * RATE)
    for path in paths:
        recordings.read(path, 0.0, 1.0)
    assert list(recordings.kept) == paths[:2] and recordings.room == 0
    recordings.forget()
    assert not recordings.kept and recordings.room == 2 * 4 * RATE


def test_beyond_the_end_is_an_error_that_names_the_file(path):
    with pytest.raises(AudioError, match=r"noise\.flac: ends 1\.00 s early"):
        Recordings().read(path, 2.0, 2.0)


def test_threads_that_ask_at_once_decode_a_recording_once(path, monkeypatch):
    decoded, decode = [], audio.decode
    monkeypatch.setattr(audio, "decode", lambda *asked: time.sleep(0.05) or decoded.append(asked) or decode(*asked))
    recordings = Recordings()
    whole = recordings.room
    with ThreadPoolExecutor(8) as pool:
        read = list(pool.map(lambda _: recordings.read(path, 0.5, 1.0), range(8)))
    assert all(np.array_equal(read[0], other) for other in read)
    assert len(decoded) == 1 and recordings.room == whole - recordings.kept[path][0].nbytes
