import multiprocessing
import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile
from made_speech import RATE

from speechbench import audio, jobs
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


@pytest.mark.parametrize("rate", [8000, 16000, 22050])
def test_a_look_is_what_audio_reads_at_any_sampling_rate_and_keeps_nothing(path, rate):
    recordings = Recordings()
    for is_kept in (False, True):
        assert (path in recordings.kept) == is_kept
        assert np.array_equal(recordings.look(path, 0.7, 0.9, rate), audio.read(path, 0.7, 0.9, rate))
        assert (path in recordings.kept) == is_kept
        recordings.read(path, 0.0, 1.0)


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


linux = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="memory without a name is Linux's own")


@pytest.fixture
def lender(tmp_path):
    """Keeps recordings of three sampling rates."""
    recordings = Recordings()
    for n, rate in enumerate((8000, 16000, 44100)):
        samples = np.random.default_rng(n).normal(0, 0.1, 2 * rate).clip(-1, 1)
        soundfile.write(tmp_path / f"{n}.flac", samples, rate)
        recordings.read(tmp_path / f"{n}.flac", 0.0, 1.0)
    return recordings


def read_borrowed(paths, lent):
    """What a process reads of borrowed recordings, and whether it is another one."""
    recordings = Recordings()
    recordings.borrow(lent)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(audio, "decode", None)  # decoding would fail
        return multiprocessing.parent_process() is not None, [recordings.read(path, 0.4, 0.3) for path in paths]


@linux
def test_another_process_reads_what_was_lent_and_decodes_nothing(lender):
    paths = list(lender.kept)
    with lender.lent() as lent:
        for is_other, read in jobs.run(partial(read_borrowed, paths), [lent] * 4, 2):
            assert is_other
            assert all(np.array_equal(one, audio.read(path, 0.4, 0.3)) for path, one in zip(paths, read, strict=True))


@linux
def test_the_lender_holds_it_once_reads_on_and_lends_again(lender):
    paths, room = list(lender.kept), lender.room
    for _ in range(2):
        with lender.lent() as lent:
            assert lender.room == room and set(lender.kept) == set(paths)
            with pytest.raises(ValueError, match="read-only"):
                lender.kept[paths[0]][0][0] = 0.0
        assert not Path(lent.place).is_symlink()  # closed
        for path in paths:
            assert np.array_equal(lender.read(path, 0.7, 0.5), audio.read(path, 0.7, 0.5))


@linux
def test_what_is_out_of_reach_changes_nothing(lender, tmp_path):
    own = tmp_path / "own.flac"
    audio.write(own, np.full(RATE, 0.1, np.float32))
    recordings = Recordings()
    recordings.read(own, 0.0, 0.5)
    room = recordings.room
    with lender.lent() as lent, (tmp_path / "other").open("w+b") as other:
        stranger = Path(f"/proc/{os.getpid()}/fd/{other.fileno()}")  # as on a machine where another process has the number
        for wrong in (replace(lent, place=stranger), replace(lent, place=tmp_path / "none"), replace(lent, name="/memfd:x")):
            recordings.borrow(wrong)
            assert (list(recordings.kept), recordings.room) == ([own], room)
    recordings.borrow(lent)  # closed
    assert (list(recordings.kept), recordings.room) == ([own], room)


@linux
def test_what_is_borrowed_takes_the_place_of_what_was_kept(lender, tmp_path):
    own = tmp_path / "own.flac"
    audio.write(own, np.full(RATE, 0.1, np.float32))
    recordings = Recordings()
    recordings.read(own, 0.0, 0.5)
    with lender.lent() as lent:
        recordings.borrow(lent)
        recordings.borrow(lent)
    assert set(recordings.kept) == set(lender.kept) and recordings.room == lender.room
    assert np.array_equal(recordings.read(own, 0.2, 0.5), audio.read(own, 0.2, 0.5))


def test_nothing_is_lent_where_nothing_is_kept_or_the_system_cannot(lender, monkeypatch):
    with Recordings().lent() as lent:
        assert lent is None
    monkeypatch.delattr(os, "memfd_create", raising=False)
    with lender.lent() as lent:
        assert lent is None
    assert len(lender.kept) == 3


def test_a_recording_that_cannot_be_decoded_takes_no_room(path):
    path.write_bytes(path.read_bytes()[:-2000])
    recordings = Recordings()
    room = recordings.room
    for _ in range(2):
        with pytest.raises(AudioError, match=r"noise\.flac"):
            recordings.read(path, 0.0, 1.0)
    assert recordings.room == room and not recordings.kept
