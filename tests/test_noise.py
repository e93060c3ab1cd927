import dataclasses

import numpy as np
import pytest
from made_speech import make_noise

from speechbench import audio, manifest
from speechbench.errors import SpeechbenchError
from speechbench.manifest import Manifest, Skipped, Utterance
from synth.noise import FADE, Allotment, Noise, NoiseBank


def bank_of(**seconds):
    return NoiseBank(tuple(Noise(name, f"/{name}.flac", 0.0, length, name.split("_")[0]) for name, length in seconds.items()))


def uses(pieces, name, length):
    """How often each hundredth of a second of a recording is used, fades aside."""
    count = np.zeros(round(length * 100))
    for piece in pieces:
        if piece.id == name:
            count[round(piece.offset * 100) : round((piece.offset + piece.duration - FADE) * 100)] += 1
    return count


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


def test_no_second_is_used_twice_before_all_are_used_once():
    bank = bank_of(a_1=60.0, a_2=60.0, b_1=120.0, c_1=120.0)
    allotment = Allotment(bank, {}, 0)
    pieces = [piece for _ in range(68) for piece in allotment.take(5.0, None, 0.0)]  # 340 of 360 s
    for noise in bank.recordings:
        assert uses(pieces, noise.id, noise.duration).max() == 1
    pieces += [piece for _ in range(68) for piece in allotment.take(5.0, None, 0.0)]
    for noise in bank.recordings:
        assert np.mean(uses(pieces, noise.id, noise.duration)) == pytest.approx(68 * 10 / 360, abs=0.15)
        assert uses(pieces, noise.id, noise.duration).max() <= 3


def test_sources_are_drawn_evenly_and_offsets_vary():
    allotment = Allotment(bank_of(a=3600.0, b=3600.0, c=7200.0), {}, 0)
    pieces = [allotment.take(5.0, None, 0.0)[0] for _ in range(600)]
    shares = [sum(piece.source == name for piece in pieces) / 600 for name in "abc"]
    assert all(share == pytest.approx(1 / 3, abs=0.06) for share in shares)
    starts = [Allotment(bank_of(a=3600.0), {}, seed).take(5.0, None, 0.0)[0].offset for seed in range(20)]
    assert min(starts) < 1000 < 2500 < max(starts)  # not the head of the file


def test_noise_shorter_than_speech_is_joined_from_the_same_source_and_condition():
    recordings = [Noise(f"{s}{c}{n}", f"/{s}{c}{n}", 0.0, 2.0, s, c) for s in "ab" for c in ("city", "rain") for n in range(4)]
    pieces = Allotment(NoiseBank(tuple(recordings)), {}, 0).take(5.0, None, 0.0)
    assert len(pieces) > 1
    assert len({(piece.source, piece.condition) for piece in pieces}) == 1
    assert sum(piece.duration for piece in pieces) - FADE * (len(pieces) - 1) == pytest.approx(5.0)
    assert len({piece.id for piece in pieces}) >= 3  # further pieces before any is repeated


def test_splits_are_kept_apart():
    recordings = tuple(
        Noise(f"{split}{n}", f"/{split}{n}", 0.0, 9.0, f"{split}{n}", None, split)
        for split in ("train", "dev")
        for n in range(3)
    )
    allotment = Allotment(NoiseBank(recordings), {}, 0)
    assert all(allotment.take(3.0, "dev", 0.0)[0].id.startswith("dev") for _ in range(20))
    with pytest.raises(SpeechbenchError, match=r"no noise for speech of split 'test'.*dev, train"):
        allotment.take(3.0, "test", 0.0)


def test_conditions_are_drawn_by_weight_and_unknown_ones_are_named():
    recordings = tuple(Noise(f"{c}{n}", f"/{c}{n}", 0.0, 60.0, f"car{n}", c) for c in ("city", "rain") for n in range(3))
    allotment = Allotment(NoiseBank(recordings), {"city": 3.0, "rain": 1.0}, 0)
    drawn = [allotment.take(1.0, None, (n + 0.5) / 100)[0].condition for n in range(100)]
    assert drawn.count("city") == 75
    with pytest.raises(SpeechbenchError, match="did you mean city"):
        Allotment(NoiseBank(recordings), {"citty": 1.0}, 0)


def test_utterance_offsets_in_long_noise_files_are_respected(tmp_path):
    path = tmp_path / "long.flac"
    audio.write(path, np.random.default_rng(0).normal(0, 0.1, 160000).astype(np.float32))
    Manifest((Utterance("cut", path, 2.0, offset=6.0),)).write(tmp_path / "n.jsonl")
    allotment = Allotment(NoiseBank.load([tmp_path / "n.jsonl"], Skipped()), {}, 0)
    for _ in range(20):
        for piece in allotment.take(0.7, None, 0.0):
            assert piece.offset >= 6.0 and piece.offset + piece.duration <= 8.0 + 1e-5
