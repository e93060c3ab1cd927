import dataclasses
import json
import sys

import pytest
import soundfile
import soxr
from made_speech import make_noise, make_speech
from test_fingerprint import coloured

from speechbench import audio, cli
from speechbench.manifest import Manifest, Utterance


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    """Run a command in a folder with speech and noise; answers exit code, stdout and stderr."""
    make_speech(tmp_path, [0.5, 1.0, 2.0])
    make_noise(tmp_path)
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["speechbench", *arguments])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


SYNTH = ("synth", "--speech", "speech.jsonl", "--noise", "noise.jsonl", "--jobs", "1", "--out", "out", "--set", "cabin.count=1")


def test_synth_prints_the_budget_and_its_warnings(call, tmp_path):
    code, out, _ = call(*SYNTH, "--snr", "-5:5", "--copies", "2")
    assert code == 0
    assert "uses of each second" in out and "warning NOISE_FEW_SOURCES" in out
    rows = [json.loads(line) for line in (tmp_path / "out" / "manifest.jsonl").read_text().splitlines()]
    assert len(rows) == 6
    assert all(-5 <= row["snr_db_requested"] <= 5 for row in rows)


def test_a_dry_run_writes_nothing_and_needs_no_speech(call, tmp_path):
    for path in (tmp_path / "speech").iterdir():
        path.unlink()
    code, out, _ = call(*SYNTH, "--dry-run", "--format", "json")
    assert code == 0
    assert json.loads(out)["speech_seconds"] == 3.5
    assert not (tmp_path / "out").exists()


def test_strict_exits_with_1_in_one_line(call, tmp_path):
    for extra in ((), ("--dry-run",)):
        code, _, err = call(*SYNTH, "--strict", *extra)
        assert code == 1
        assert "NOISE_FEW_SOURCES" in err.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_against_names_shared_noise(call):
    call(*SYNTH)
    code, out, _ = call(*SYNTH, "--out", "dev", "--against", "out", "--format", "json")
    assert code == 0
    assert "NOISE_SPLIT_OVERLAP" in {warning["code"] for warning in json.loads(out)["warnings"]}


def test_explain_tells_everything(call):
    call(*SYNTH)
    code, out, _ = call("explain", "out", "utt01-noisy1", "--format", "json")
    facts = json.loads(out)
    assert code == 0
    assert {"clean_id", "noise", "cabin", "snr_db", "level_dbfs", "sha256", "scene"} <= set(facts)
    assert "utt01" in call("explain", "out", "utt01-noisy1")[1]
    code, _, err = call("explain", "out", "utt01-noisy")
    assert code == 1 and "did you mean utt0" in err


def test_rebuild_verifies_and_fails_loudly(call, tmp_path):
    call(*SYNTH)
    lost = tmp_path / "out" / "audio" / "utt01-noisy1.flac"
    lost.unlink()
    code, out, _ = call("rebuild", "out", "--jobs", "1", "--format", "json")
    assert code == 0 and lost.exists()
    assert json.loads(out)["counts"] == {"verified": 2, "rebuilt": 1, "failed": 0}
    lost.unlink()
    (tmp_path / "speech" / "utt01.flac").unlink()
    code, out, err = call("rebuild", "out", "--jobs", "1")
    assert code == 1 and "utt01-noisy1" in out and "cannot be rebuilt" in err


def test_mistakes_are_answered_in_one_line(call):
    assert call(*SYNTH, "--snr", "loud")[0] == 2
    assert call(*SYNTH, "--resume", "--overwrite")[0] == 2
    assert "did you mean car" in call(*SYNTH, "--recipe", "cars")[2]
    assert "lower value first" in call(*SYNTH, "--snr", "20:-5")[2]
    assert "no such file" in call(*SYNTH, "--noise", "none.jsonl")[2]
    assert call("rebuild", "speech")[0] == 1


def coloured_noise(folder, name, slope, keys, seconds=6.0, count=40):
    rows = []
    for number in range(count):
        path = folder / name / f"{name}{number:02d}.flac"
        audio.write(path, coloured([*name.encode(), number], seconds, slope))
        rows.append(Utterance(path.stem, path, seconds, extra={"source": f"{name}{number}"} | keys))
    Manifest(tuple(rows)).write(folder / f"{name}.jsonl")
    return rows


SOUND = ("synth", "--speech", "speech.jsonl", "--jobs", "1", "--set", "cabin.count=1", "--strict", "--format", "json")


@pytest.mark.slow
def test_sound_noise_passes_strictly_with_its_content_and_spectrum_compared(call, tmp_path):
    coloured_noise(tmp_path, "car", 1.0, {"split": "train"})
    make_speech(tmp_path, [0.5] * 80, split="train")
    coloured_noise(tmp_path, "dev", 1.0, {"split": "dev"})
    code, out, err = call(*SOUND, "--noise", "car.jsonl", "--noise", "dev.jsonl", "--target", "dev.jsonl", "--out", "out")
    assert code == 0, err
    found = json.loads(out)
    assert found["warnings"] == [] and found["content_compared"]
    assert found["content"] == {"recordings": 80, "too_short": 0, "unreadable": 0, "shared": []}
    assert found["coverage"]["uncovered_share"] == 0.0


def test_a_recording_that_was_cut_and_coded_anew_for_dev_fails_strictly(call, tmp_path):
    coloured_noise(tmp_path, "car", 1.0, {"split": "train"})
    make_speech(tmp_path, [0.5] * 80, split="train")
    (piece,) = coloured_noise(tmp_path, "dev", 1.0, {"split": "dev"}, count=1)
    samples = audio.read(tmp_path / "car" / "car03.flac")[2 * 16000 :]
    soundfile.write(tmp_path / "dev" / "piece.ogg", soxr.resample(0.4 * samples, 16000, 44100), 44100)
    Manifest((dataclasses.replace(piece, audio_filepath=tmp_path / "dev" / "piece.ogg", duration=4.0),)).write(
        tmp_path / "dev.jsonl"
    )
    arguments = (*SOUND, "--noise", "car.jsonl", "--noise", "dev.jsonl", "--out", "out")
    code, _, err = call(*arguments)
    assert code == 1
    said = err.splitlines()[-1]
    assert "NOISE_SPLIT_OVERLAP" in said and "piece.ogg from 0.0 s" in said and "car03.flac from 2." in said
    assert not (tmp_path / "out").exists()
    code, out, _ = call(*arguments, "--dry-run")
    assert code == 0 and json.loads(out)["content_compared"] is False  # a dry run says that it did not look


def test_noise_of_another_spectrum_than_the_targets_fails_strictly(call, tmp_path):
    coloured_noise(tmp_path, "car", 0.0, {})
    coloured_noise(tmp_path, "target", 2.0, {}, count=4)
    make_speech(tmp_path, [0.5] * 80)
    arguments = (*SOUND, "--noise", "car.jsonl", "--target", "target.jsonl", "--out", "out")
    for extra in ((), ("--dry-run",)):
        code, _, err = call(*arguments, *extra)
        assert code == 1 and "NOISE_SPECTRUM_MISMATCH: 4 of 4 recordings of target.jsonl" in err.splitlines()[-1]
