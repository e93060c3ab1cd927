import json

import numpy as np
import pytest
from click.testing import CliRunner

from speechbench import audio, embedded, manifest
from speechbench.cli import speechbench
from speechbench.errors import SpeechbenchError
from speechbench.manifest import Manifest, Utterance


def call(*arguments):
    """Run a command; an error of the user's is raised as in `main`."""
    result = CliRunner().invoke(speechbench, [str(argument) for argument in arguments])
    if isinstance(result.exception, SpeechbenchError):
        raise result.exception
    return result


def as_json(*arguments):
    result = call(*arguments, "--format", "json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture
def digits(tmp_path, monkeypatch):
    """FSDD's layout with three speakers."""
    root = tmp_path / "data/fsdd"
    rows = ["file\ttext\tspeaker\tseconds"]
    for speaker in ("george", "jackson", "theo"):
        for digit in ("zero", "one"):
            name = f"audio/{digit}_{speaker}.flac"
            rng = np.random.default_rng(len(rows))
            audio.write(root / name, rng.normal(0, 0.05, 8_000).astype(np.float32), 8_000)
            rows.append(f"{name}\t{digit}\t{speaker}\t1.0")
    (root / "transcripts.tsv").write_text("\n".join(rows) + "\n")
    monkeypatch.setenv("SPEECHBENCH_DATA", str(tmp_path / "data"))
    return root


def test_prepare_split_and_check_in_a_row(digits, tmp_path):
    out, splits = tmp_path / "out", tmp_path / "splits"
    document = as_json("prepare", "fsdd", "--out", out)
    assert document["splits"] == [
        {"split": "all", "utterances": 6, "hours": 0.002, "speakers": 3, "words": 6, "dropped": 0, "skipped": 0}
    ]
    assert manifest.read(out / "manifest.jsonl").utterances[0].sampling_rate == 8_000
    assert not (out / "skipped.jsonl").exists()
    pinned = ["--fractions", "train=.5,dev=.5", "--only", "test=george"]
    document = as_json("split", out / "manifest.jsonl", "--by", "speaker", *pinned, "--out", splits)
    assert [(row["split"], row["utterances"], row["groups"]) for row in document["splits"]] == [
        ("train", 2, 1), ("dev", 2, 1), ("test", 2, 1),
    ]  # fmt: skip
    assert {u.speaker for u in manifest.read(splits / "test.jsonl")} == {"george"}
    document = as_json("check", *(splits / f"{name}.jsonl" for name in ("train", "dev", "test")), "--jobs", 1)
    assert document["counts"] == {"error": 0, "warning": 0, "info": 3}


def test_prepare_takes_the_root_and_shows_a_table(digits, tmp_path, monkeypatch):
    monkeypatch.delenv("SPEECHBENCH_DATA")
    result = call("prepare", "fsdd", "--root", digits, "--out", tmp_path / "out")
    assert result.exit_code == 0 and "speakers" in result.stdout and "all" in result.stdout


def test_prepare_lists_the_cards(digits):
    rows = {row["name"]: row for row in as_json("prepare", "--list")}
    assert rows["fsdd"]["found"] == f"yes, {digits}"
    assert rows["librispeech"]["found"] == "no" and rows["embedded"]["found"] == "made here"
    assert "openslr" in rows["librispeech"]["source"]


def test_prepare_refuses_to_overwrite_and_leaves_foreign_folders_alone(digits, tmp_path):
    out, foreign = tmp_path / "out", tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "mine.txt").touch()
    call("prepare", "fsdd", "--out", out)
    with pytest.raises(SpeechbenchError, match="--overwrite"):
        call("prepare", "fsdd", "--out", out)
    assert call("prepare", "fsdd", "--out", out, "--overwrite").exit_code == 0
    with pytest.raises(SpeechbenchError, match="left alone"):
        call("prepare", "fsdd", "--out", foreign, "--overwrite")
    assert (foreign / "mine.txt").exists()


def test_prepare_that_fails_leaves_the_old_output(digits, tmp_path):
    out = tmp_path / "out"
    call("prepare", "fsdd", "--out", out)
    (digits / "transcripts.tsv").unlink()
    with pytest.raises(SpeechbenchError, match="holds no"):
        call("prepare", "fsdd", "--out", out, "--overwrite")
    assert (out / "manifest.jsonl").exists()


def test_prepare_explains_wrong_use(tmp_path):
    assert call("prepare").exit_code == 2
    for arguments, message in (
        (("fsd",), "did you mean fsdd"),
        (("embedded", "--root", tmp_path), "leave --root out"),
        (("fsdd", "--set", "a=1"), "takes no --set"),
        (("embedded", "--set", "utterances=3"), "unknown config key"),
        (("embedded", "--set", "utterances_per_speaker=0"), "1 or more"),
    ):
        with pytest.raises(SpeechbenchError, match=message):
            call("prepare", *arguments, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_car_noise_is_made_with_its_options(tmp_path):
    size = ["--set", "cars=2", "--set", "seconds=1", "--jobs", 1]
    [row] = as_json("prepare", "car_noise", *size, "--seed", 5, "--out", tmp_path / "out")["splits"]
    assert row["sources"] == 2 and row["skipped"] == 0
    assert manifest.read(tmp_path / "out/manifest.jsonl").utterances[0].samples().size == 16_000


def test_an_output_that_holds_the_input_is_refused(tmp_path):
    out = tmp_path / "out"
    call("prepare", "car_noise", "--set", "cars=1", "--set", "seconds=1", "--jobs", 1, "--out", out)
    card = tmp_path / "own.toml"
    card.write_text('kind = "noise"\n[layout]\nreader = "files"\n')
    with pytest.raises(SpeechbenchError, match="name another folder"):
        call("prepare", card, "--root", out / "audio", "--out", out, "--overwrite")
    with pytest.raises(SpeechbenchError, match="name another folder"):
        call("split", out / "manifest.jsonl", "--by", "id", "--fractions", "a=.5,b=.5", "--out", out, "--overwrite")
    assert (out / "manifest.jsonl").exists()


def test_embedded_is_prepared_with_its_splits(tmp_path, monkeypatch):
    pytest.importorskip("espeakng_loader")
    few = embedded.speakers()[::6]
    monkeypatch.setattr(embedded, "speakers", lambda: few)
    size = ["--set", "utterances_per_speaker=6", "--set", "held_out_per_speaker=1"]
    document = as_json("prepare", "embedded", *size, "--jobs", 1, "--out", tmp_path / "out")
    rows = {row["split"]: row["utterances"] for row in document["splits"]}
    assert rows == {"train": 36, "train-dev": 2, "dev": 1, "test": 1, "all": 40}
    parts = [tmp_path / f"out/{name}.jsonl" for name in ("train", "train-dev", "dev", "test")]
    assert as_json("check", *parts, "--jobs", 1)["findings"] == []


def test_check_ends_with_an_error_after_its_table(tmp_path):
    utterance = Utterance("gone", tmp_path / "gone.wav", 1.0, text="hi", speaker="x")
    Manifest((utterance,)).write(tmp_path / "m.jsonl")
    result = CliRunner().invoke(speechbench, ["check", str(tmp_path / "m.jsonl"), "--jobs", "1"])
    assert "AUDIO_UNREADABLE" in result.stdout and "gone" in result.stdout
    assert isinstance(result.exception, SpeechbenchError) and "1 errors" in str(result.exception)


def test_split_explains_wrong_use(tmp_path):
    Manifest((Utterance("a", tmp_path / "a.wav", 1.0, speaker="x"),)).write(tmp_path / "m.jsonl")
    for fractions in ("train", "train=much", "train="):
        arguments = ["split", tmp_path / "m.jsonl", "--by", "id", "--fractions", fractions, "--out", tmp_path / "out"]
        assert call(*arguments).exit_code == 2
