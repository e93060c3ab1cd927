import json
import sys

import pytest
from made_speech import make_noise, make_speech

from speechbench import cli


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
