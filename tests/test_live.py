import numpy as np
import pytest
import torch
from made_speech import RATE, make_noise, make_speech, rows_of

from pipelines.batches import length_batches
from speechbench import audio, manifest
from speechbench.errors import SpeechbenchError
from speechbench.manifest import Skipped
from synth import build, mix
from synth.budget import Use
from synth.live import Live
from synth.recipe import CabinRanges, EventRanges, Recipe

RECIPE = Recipe(cabin=CabinRanges(count=2))
EVENTFUL = Recipe(cabin=CabinRanges(count=2), events={"horn": EventRanges(0.7, (0, 15))}, lombard=0.3)


@pytest.fixture
def plan(tmp_path):
    speech = manifest.read(make_speech(tmp_path, [0.5, 1.0, 7.0, 2.0, 1.5]))
    horns = make_noise(tmp_path, sources=2, each=1, seconds=0.6, name="horn", condition="horn", event=True)
    return build.Plan(speech, [make_noise(tmp_path), horns], EVENTFUL)


def in_pairs(lengths):
    return [range(start, min(start + 2, len(lengths))) for start in range(0, len(lengths), 2)]


def test_epoch_0_is_what_synth_writes(plan, tmp_path):
    build.build(plan, tmp_path / "out")
    written = manifest.read(tmp_path / "out" / "manifest.jsonl").by_id
    live = Live(plan, Skipped())
    assert any(one.events for one in live.scenes(0)) and any(one.lombard_db for one in live.scenes(0))
    assert [one.row(str(tmp_path / "out")) for one in live.scenes(0)] == rows_of(tmp_path / "out" / "scenes.jsonl")
    for batch in live.batches(0, in_pairs):
        for row, length, one, snr_db in zip(batch.samples, batch.lengths, batch.scenes, batch.snr_db, strict=True):
            file = written.pop(one.id)
            # Files are rounded to 16 bits.
            assert row[:length].numpy() == pytest.approx(file.samples(), abs=0.5 / 32768 + 1e-4)
            assert snr_db == pytest.approx(file.extra["snr_db"], abs=0.02)
    assert not written


def test_each_epoch_is_fresh_and_the_same_whenever_it_is_asked_for(plan):
    live = Live(plan, Skipped())
    epochs = [live.scenes(epoch) for epoch in range(3)]
    facts = {(one.snr_db, one.level_dbfs, one.seed, one.noise[0].offset, one.cabin) for scenes in epochs for one in scenes}
    assert len(facts) == 15
    assert [[one.id for one in scenes] for scenes in epochs] == 3 * [[f"utt{n:02d}-noisy1" for n in range(5)]]
    assert [live.scenes(epoch) for epoch in (2, 0, 1, 1)] == [epochs[epoch] for epoch in (2, 0, 1, 1)]
    assert Live(plan, Skipped()).scenes(2) == epochs[2]


def test_an_epoch_that_is_asked_for_again_is_not_drawn_again(plan):
    live = Live(plan, Skipped())
    assert live.scenes(1) is live.scenes(1)
    assert live.scenes(2) == Live(plan, Skipped()).scenes(2)


def test_no_noise_is_heard_twice_before_all_was_heard_once_over_all_epochs(tmp_path):
    # 60 s of noise, 10 s of speech: each epoch alone could draw the same sixth of it.
    speech = manifest.read(make_speech(tmp_path, [2.0] * 5))
    live = Live(build.Plan(speech, [make_noise(tmp_path, sources=5, each=1, seconds=12.0)], RECIPE), Skipped())
    use = Use(live.bank)
    for epoch in range(5):
        list(use.watch(live.scenes(epoch), {}))
    heard = use.budget()
    assert heard["noise_seconds_used"] == pytest.approx(50, abs=1)
    assert heard["repeats_mean"] < 1.1
    assert heard["effective_sources"] > 4.9


def test_audio_that_cannot_be_used_is_named_and_left_out(plan):
    gone, silent, cut = (plan.speech.utterances[number].audio_filepath for number in (1, 2, 3))
    gone.unlink()
    audio.write(silent, np.zeros(7 * RATE, np.float32))
    cut.write_bytes(cut.read_bytes()[:2000])
    skipped = Skipped()
    batches = list(Live(plan, skipped).batches(0, lambda lengths: [[0, 1], [2, 3], [4]]))
    assert [[one.clean_id for one in batch.scenes] for batch in batches] == [["utt00"], ["utt04"]]
    assert all(batch.samples.isfinite().all() and len(batch.samples) == len(batch.scenes) for batch in batches)
    assert set(skipped.reasons) == {"utt01-noisy1", "utt02-noisy1", "utt03-noisy1"}
    assert f"{gone}: no such file" in skipped.reasons["utt01-noisy1"]
    assert f"{silent} with " in skipped.reasons["utt02-noisy1"] and "speech is silent" in skipped.reasons["utt02-noisy1"]


def test_a_silent_row_takes_nothing_from_the_rows_beside_it(plan):
    live = Live(plan, Skipped())
    (whole,) = live.render([live.scenes(0)])
    audio.write(plan.speech.utterances[2].audio_filepath, np.zeros(7 * RATE, np.float32))
    live = Live(plan, Skipped())
    (left,) = live.render([live.scenes(0)])
    assert left.samples.numpy() == pytest.approx(whole.samples[[0, 1, 3, 4]].numpy(), abs=1e-6)
    assert left.lengths.tolist() == whole.lengths[[0, 1, 3, 4]].tolist()


def test_a_trainer_batches_by_its_own_rule(plan):
    live = Live(plan, Skipped())

    def group(lengths):
        return length_batches(lengths, 4 * RATE, np.random.default_rng(0))

    batches = list(live.batches(1, group))
    assert sorted(one.clean_id for batch in batches for one in batch.scenes) == [f"utt{n:02d}" for n in range(5)]
    for batch in batches:
        assert len(batch.scenes) == 1 or batch.samples.numel() <= 4 * RATE
        assert batch.samples.shape == (len(batch.scenes), batch.lengths.max())


def test_readers_stay_a_bounded_number_of_batches_ahead_and_stop_when_training_does(plan, monkeypatch):
    live = Live(plan, Skipped())
    asked = []
    batches = live.render(asked.append(one.id) or [one] for one in live.scenes(0) * 10)
    next(batches)
    assert len(asked) == 3
    next(batches)
    assert len(asked) == 4
    batches.close()
    assert len(asked) == 4


def test_an_error_that_is_no_recordings_fault_is_not_hidden(plan, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(mix, "lay", broken)
    with pytest.raises(ZeroDivisionError):
        list(Live(plan, Skipped()).batches(0, in_pairs))


def test_a_device_that_is_not_there_is_an_error(plan):
    with pytest.raises(SpeechbenchError, match="on 'cpu' or 'cuda', not on 'meta'"):
        Live(plan, Skipped(), "meta")


def test_speech_that_stays_decoded_is_the_same(plan, monkeypatch):
    """In an epoch after the first no speech is decoded again, unless there is no room for it."""
    roomy, narrow = Live(plan, Skipped()), Live(plan, Skipped(), speech_bytes=0)
    first = [list(live.render([live.scenes(0)])) for live in (roomy, narrow)]
    decoded = []
    decode = audio.decode
    monkeypatch.setattr(audio, "decode", lambda path, *rest: decoded.append(path) or decode(path, *rest))
    again = list(roomy.render([roomy.scenes(0)]))
    assert not decoded
    list(narrow.render([narrow.scenes(0)]))
    assert set(decoded) == {utterance.audio_filepath for utterance in plan.speech}
    for batches in zip(*first, again, strict=True):
        assert all(torch.equal(batches[0].samples, one.samples) for one in batches[1:])
