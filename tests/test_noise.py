import dataclasses

import numpy as np
import pytest
import soundfile
from made_speech import make_noise

from speechbench import audio, manifest
from speechbench.errors import SpeechbenchError
from speechbench.manifest import Manifest, Skipped
from synth.noise import NoiseBank
from synth.recordings import Recordings


def test_bank_knows_hours_and_sources_and_says_once_that_sources_are_missing(tmp_path, capsys):
    path = make_noise(tmp_path, sources=2, each=2, seconds=1.0, source="")
    bank = NoiseBank.load([path], Skipped())
    assert bank.seconds == pytest.approx(4.0)
    assert set(bank.sources) == {"noise-0-0", "noise-0-1", "noise-1-0", "noise-1-1"}
    assert capsys.readouterr().err.count("have no 'source'") == 1


def test_unreadable_and_silent_noise_is_skipped_by_name_and_padding_is_left_out(tmp_path):
    path = make_noise(tmp_path, sources=3, each=1, seconds=2.0)
    (tmp_path / "noise" / "noise-0-0.flac").write_bytes(b"no audio")
    audio.write(tmp_path / "noise" / "noise-1-0.flac", np.zeros(32000, np.float32))
    padded = np.zeros(32000, np.float32)
    padded[8000:24000] = 0.1
    audio.write(tmp_path / "noise" / "noise-2-0.flac", padded)
    skipped = Skipped()
    bank = NoiseBank.load([path], skipped).listen(1, skipped)
    assert set(skipped.reasons) == {"noise-0-0", "noise-1-0"}
    assert "silent" in skipped.reasons["noise-1-0"]
    assert (bank.recordings[0].offset, bank.recordings[0].duration) == (0.5, 1.0)


def test_four_threads_hear_what_one_hears_and_it_stays_decoded(tmp_path):
    path = make_noise(tmp_path, sources=4, each=3, seconds=1.0)
    (tmp_path / "noise" / "noise-1-1.flac").write_bytes(b"no audio")
    padded = np.zeros(16000, np.float32)
    padded[4000:] = 0.1
    audio.write(tmp_path / "noise" / "noise-2-0.flac", padded)
    heard = []
    for threads in (1, 4):
        skipped, recordings = Skipped(), Recordings()
        heard.append((NoiseBank.load([path], skipped).listen(threads, skipped, recordings), list(skipped.reasons)))
        assert len(recordings.kept) == 11
    assert heard[0] == heard[1]


def test_no_usable_noise_is_an_error(tmp_path):
    path = make_noise(tmp_path, sources=1, each=1)
    (tmp_path / "noise" / "noise-0-0.flac").unlink()
    with pytest.raises(SpeechbenchError, match="no noise recording can be used"):
        NoiseBank.load([path], Skipped())


def test_a_line_that_asks_for_more_than_the_file_holds_is_skipped(tmp_path):
    path = make_noise(tmp_path, sources=2, each=1, seconds=1.0)
    rows = list(manifest.read(path))
    Manifest((dataclasses.replace(rows[0], duration=9.0), rows[1])).write(path)
    skipped = Skipped()
    assert len(NoiseBank.load([path], skipped).recordings) == 1
    assert "manifest line" in skipped.reasons["noise-0-0"]


def test_the_same_id_in_two_noise_manifests_is_an_error(tmp_path):
    path = make_noise(tmp_path, sources=1, each=1)
    with pytest.raises(SpeechbenchError, match="occur twice"):
        NoiseBank.load([path, path], Skipped())


def test_events_need_a_name_and_are_known_as_such(tmp_path):
    path = make_noise(tmp_path, sources=4, each=1)
    keys = ({"event": True}, {"event": False}, {"event": "yes"}, {"event": True, "condition": None})
    rows = [dataclasses.replace(row, extra=row.extra | more) for row, more in zip(manifest.read(path), keys, strict=True)]
    rows[3].extra.pop("condition")
    Manifest(tuple(rows)).write(path)
    skipped = Skipped()
    bank = NoiseBank.load([path], skipped)
    assert [(noise.id, noise.event) for noise in bank.recordings] == [("noise-0-0", True), ("noise-1-0", False)]
    assert all("'event' is true or false" in skipped.reasons[name] for name in ("noise-2-0", "noise-3-0"))


def test_an_offset_without_sound_and_noise_that_is_not_a_number_are_named(tmp_path):
    path = make_noise(tmp_path, sources=3, each=1, seconds=2.0)
    audio.write(tmp_path / "noise" / "noise-0-0.flac", np.full(32000, 0.25, np.float32))
    samples = np.full(32000, 0.1, np.float32)
    samples[9999] = np.nan
    rows = list(manifest.read(path))
    soundfile.write(tmp_path / "nan.wav", samples, 16000, subtype="FLOAT")
    rows[1] = dataclasses.replace(rows[1], audio_filepath=tmp_path / "nan.wav")
    Manifest(tuple(rows)).write(path)
    skipped = Skipped()
    bank = NoiseBank.load([path], skipped).listen(1, skipped)
    assert [noise.id for noise in bank.recordings] == ["noise-2-0"]
    assert "silent" in skipped.reasons["noise-0-0"] and "not finite" in skipped.reasons["noise-1-0"]
