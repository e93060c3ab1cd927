import dataclasses

import numpy as np
import pytest

from speechbench import audio
from speechbench.errors import SpeechbenchError
from speechbench.manifest import Manifest, Skipped, Utterance
from synth.allotment import Allotment
from synth.noise import FADE, Noise, NoiseBank


def bank_of(**seconds):
    return NoiseBank(tuple(Noise(name, f"/{name}.flac", 0.0, length, name.split("_")[0]) for name, length in seconds.items()))


def uses(pieces, name, length):
    """How often each hundredth of a second of a recording is used, fades aside."""
    count = np.zeros(round(length * 100))
    for piece in pieces:
        if piece.id == name:
            count[round(piece.offset * 100) : round((piece.offset + piece.duration - FADE) * 100)] += 1
    return count


def test_no_second_is_used_twice_before_all_are_used_once():
    bank = bank_of(a_1=60.0, a_2=60.0, b_1=120.0, c_1=120.0)
    allotment = Allotment(bank, {}, 0)
    pieces = [piece for _ in range(68) for piece in allotment.take(5.0, None, 0.0)]  # 340 of 360 s
    for noise in bank.recordings:
        assert uses(pieces, noise.id, noise.duration).max() == 1
    pieces += [piece for _ in range(68) for piece in allotment.take(5.0, None, 0.0)]
    for noise in bank.recordings:
        # The 40 s that two passes have left over may be one source's: a third of it.
        assert 2.0 - 40 / 120 - 0.05 < np.mean(uses(pieces, noise.id, noise.duration)) <= 2.0
        assert uses(pieces, noise.id, noise.duration).max() == 2


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


@pytest.mark.parametrize("seed", range(5))
def test_no_second_is_used_twice_in_a_pass_over_unequal_recordings(seed):
    bank = bank_of(**{f"{source}_{n}": 7.0 + 3.3 * n for source in "abcdefgh" for n in range(6)})
    allotment = Allotment(bank, {}, seed)
    pieces = [piece for _ in range(int(bank.seconds * 0.85 / 3.0)) for piece in allotment.take(3.0, None, 0.0)]
    assert max(uses(pieces, noise.id, noise.duration).max() for noise in bank.recordings) == 1


def event_bank(**seconds):
    horns = (Noise(name, f"/{name}", 0.0, length, name[:1], "horn", event=True) for name, length in seconds.items())
    return NoiseBank((*horns, Noise("n", "/n", 0.0, 60.0, "car", "city"), Noise("h", "/h", 0.0, 60.0, "car", "horn")))


def test_events_are_whole_recordings_each_once_before_any_twice():
    allotment = Allotment(event_bank(a1=1.0, a2=2.0, b1=1.5, c1=0.3), {}, 0, ["horn"])
    for _ in range(3):
        drawn = [allotment.event("horn", 4.0, None) for _ in range(4)]
        assert sorted((piece.id, piece.offset, piece.duration) for piece in drawn) == [
            ("a1", 0.0, 1.0),
            ("a2", 0.0, 2.0),
            ("b1", 0.0, 1.5),
            ("c1", 0.0, 0.3),
        ]


def test_an_event_that_is_too_long_goes_on_under_the_next_utterance():
    allotment = Allotment(event_bank(a1=5.0), {}, 0, ["horn"])
    drawn = [allotment.event("horn", 2.0, None) for _ in range(4)]
    assert [(piece.offset, piece.duration) for piece in drawn] == [(0.0, 2.0), (2.0, 2.0), (4.0, 1.0), (0.0, 2.0)]


def test_events_are_no_background_and_backgrounds_no_events():
    bank = event_bank(a1=1.0, a2=2.0)
    allotment = Allotment(bank, {}, 0, ["horn"])
    assert {allotment.take(1.0, None, 0.0)[0].id for _ in range(50)} == {"n", "h"}
    assert {allotment.event("horn", 1.0, None).id for _ in range(20)} == {"a1", "a2"}
    with pytest.raises(SpeechbenchError, match=r"unknown noise event 'city'; known: horn; .*--set events=\{\}"):
        Allotment(bank, {}, 0, ["city"])
    with pytest.raises(SpeechbenchError, match=r"unknown noise event 'horn'; known: none"):
        Allotment(NoiseBank(bank.recordings[-2:]), {}, 0, ["horn"])
    apart = NoiseBank(tuple(dataclasses.replace(noise, split="train") for noise in bank.recordings))
    with pytest.raises(SpeechbenchError, match=r"no noise event for .* split 'dev' under condition 'horn'.*splits train"):
        Allotment(apart, {}, 0, ["horn"]).event("horn", 1.0, "dev")
