import json

import numpy as np
import pytest
import soundfile
import soxr
from test_fingerprint import RATE, coloured

from speechbench import audio
from speechbench.errors import SpeechbenchError
from speechbench.manifest import Manifest, Skipped, Utterance
from synth import overlap, scene, warning
from synth.noise import Noise, NoiseBank
from synth.recipe import Recipe
from synth.recordings import RECORDINGS


def write(path, samples, rate=RATE):
    path.parent.mkdir(exist_ok=True)
    soundfile.write(path, soxr.resample(samples, RATE, rate), rate)  # the suffix names the coding
    return path


def noise(path, source, split=None):
    return Noise(path.stem, str(path), 0.0, audio.inspect(path).duration, source, "city", split)


@pytest.fixture
def cut(tmp_path):
    """One recording cut into pieces for train and dev that share 5 s, coded anew, among others that share nothing."""
    long = coloured(0, 15.0)
    train = write(tmp_path / "a.wav", long[: 10 * RATE])
    dev = write(tmp_path / "b.ogg", 0.3 * long[5 * RATE :], 44_100)
    others = [noise(write(tmp_path / f"o{n}.flac", coloured(n, 6.0)), f"car{n}", ("train", "dev")[n % 2]) for n in range(1, 7)]
    return [noise(train, "monday", "train"), noise(dev, "tuesday", "dev"), *others]


def test_one_recording_in_two_splits_is_found_by_its_sound(cut):
    found = overlap.compare(cut, [], 1)
    assert (found["recordings"], found["too_short"], found["unreadable"]) == (8, 0, 0)
    (shared,) = found["shared"]
    assert (shared["first_side"], shared["second_side"]) == ("dev", "train")
    assert shared["second_start"] == pytest.approx(5.0, abs=0.8) and shared["seconds"] == pytest.approx(5.0, abs=0.8)
    (one,) = warning.shared_sound(found)
    assert one["code"] == "NOISE_SPLIT_OVERLAP"
    assert f"{cut[1].audio_filepath} from 0.0 s is {cut[0].audio_filepath} from" in one["message"]
    assert "keep all that was cut from one recording in one split" in one["message"]


def test_sound_noise_is_compared_without_a_warning(cut):
    assert overlap.compare(cut[2:], [], 1)["shared"] == []
    assert warning.shared_sound(overlap.compare(cut[2:], [], 1)) == []


def test_one_split_leaves_nothing_to_compare(cut):
    assert overlap.compare([one for one in cut if one.split == "train"], [], 1) is None


def test_what_cannot_be_compared_is_counted(cut, tmp_path, capsys):
    short = noise(write(tmp_path / "short.wav", coloured(9, 1.0)), "car9", "dev")
    broken = Noise("broken", str(tmp_path / "none.wav"), 0.0, 5.0, "car10", "city", "dev")
    found = overlap.compare([*cut[2:], short, broken], [], 1)
    assert (found["recordings"], found["too_short"], found["unreadable"]) == (7, 1, 1)
    assert "none.wav" in capsys.readouterr().err


def test_another_build_is_compared_by_its_noise(cut, tmp_path):
    speech = Manifest((Utterance("u", tmp_path / "u.wav", 9.0),))
    built = tmp_path / "built"
    built.mkdir()
    rows = [one.row(str(built)) for one in scene.draw(speech, NoiseBank((cut[1],)), Recipe(), 0)]
    (built / "scenes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (theirs,) = overlap.noise_of(built)
    assert (theirs.audio_filepath, theirs.duration) == (cut[1].audio_filepath, pytest.approx(9.0, abs=1.1))
    found = overlap.compare([cut[0]], [(built, [theirs])], 1)
    assert found["shared"][0]["second_side"] == str(built)
    assert "'train' and '" in warning.shared_sound(found)[0]["message"]
    same = overlap.compare([cut[1]], [(built, [theirs])], 1)
    assert same["shared"] == []  # the same file and source is named by its source
    with pytest.raises(SpeechbenchError, match=r"holds no scenes.jsonl"):
        overlap.noise_of(tmp_path)


def test_a_bank_that_was_listened_to_is_compared_where_it_sounds(cut, tmp_path):
    padded = np.concatenate([np.zeros(2 * RATE, np.float32), coloured(0, 15.0)[4 * RATE : 9 * RATE]])
    path = write(tmp_path / "padded.wav", padded)
    (listened,) = NoiseBank((noise(path, "wednesday", "dev"),)).listen(1, Skipped()).recordings
    (shared,) = overlap.compare([cut[0], listened], [], 1)["shared"]
    assert shared["first"] == str(path) and shared["first_start"] == pytest.approx(2.0, abs=0.1)


def test_what_was_listened_to_is_compared_alike_and_not_decoded_again(cut, monkeypatch):
    before = overlap.compare(cut, [], 1)
    RECORDINGS.forget()  # other tests may have filled the room
    bank = NoiseBank(tuple(cut)).listen(2, Skipped())
    monkeypatch.setattr(audio, "decode", None)  # decoding would fail
    for threads in (1, 3):
        assert overlap.compare(bank.recordings, [], threads) == before
