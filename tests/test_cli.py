"""How the command line ends, and the commands that have no test file of their own."""

import json
import os
import subprocess
import sys

import click
import pytest

from speechbench import cli
from speechbench.errors import SpeechbenchError
from speechbench.manifest import Manifest, Utterance
from speechbench.recognizer import ORACLES


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    """Run a command as the shell would; answers exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["speechbench", *map(str, arguments)])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code
        return code, *capsys.readouterr()

    return call


@pytest.mark.parametrize(("wanted", "told"), [(None, "PASSIVE"), ("active", "ACTIVE")])
def test_threads_that_wait_leave_their_core_to_others_unless_told_otherwise(wanted, told):
    code = "import sys; sys.argv[1:] = ['--version']; from speechbench import cli; cli.main(); import torch"
    known = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    chosen = {"OMP_WAIT_POLICY": wanted} if wanted else {}
    environment = known | chosen | {"OMP_DISPLAY_ENV": "true"}  # OpenMP tells on stderr what it goes by
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert f"OMP_WAIT_POLICY = '{told}'" in done.stderr


@pytest.fixture
def texts(tmp_path):
    """References a to c and hypotheses with two errors."""
    rows = {"a": ("stop the music", "stop music", "A"), "b": ("call now", "call cow", "B"), "c": ("stop", "stop", "A")}
    Manifest(tuple(Utterance(k, tmp_path / f"{k}.wav", 1.0, text=r[0], extra={"grade": r[2]}) for k, r in rows.items())).write(
        tmp_path / "ref.jsonl"
    )
    (tmp_path / "hyp.jsonl").write_text("".join(json.dumps({"id": k, "text": r[1]}) + "\n" for k, r in rows.items()))
    return ("score", "--reference", "ref.jsonl", "--hypothesis", "hyp.jsonl")


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (SpeechbenchError("m.jsonl: line 3:\n  not JSON"), 1, "speechbench: m.jsonl: line 3: not JSON"),
        (KeyboardInterrupt(), 130, "speechbench: stopped"),
        (click.Abort(), 130, "speechbench: stopped"),
        (PermissionError(13, "Permission denied", "/out"), 1, "speechbench: /out: Permission denied; check the path, "),
        (OSError(28, "No space left on device"), 1, "speechbench: No space left on device; check the path, "),
    ],
)
def test_every_end_has_its_exit_code_and_one_line(call, monkeypatch, error, code, said):
    def fail(**_):
        raise error

    monkeypatch.setattr(cli.speechbench.commands["score"], "callback", fail)
    ended, out, err = call("score", "--reference", "r", "--hypothesis", "h")
    assert (ended, out) == (code, "") and err.strip().startswith(said) and err.strip().count("\n") == 0


def test_a_fault_of_ours_keeps_its_traceback(call, monkeypatch):
    monkeypatch.setattr(cli.speechbench.commands["score"], "callback", lambda **_: {}["gone"])
    with pytest.raises(KeyError):
        call("score", "--reference", "r", "--hypothesis", "h")


@pytest.mark.parametrize(
    "arguments",
    [
        "nonsense",
        "score",
        "score --reference ref.jsonl",
        "score --reference ref.jsonl --hypothesis hyp.jsonl --format xml",
        "score --reference ref.jsonl --hypothesis hyp.jsonl --missing ignore",
        "train --mode both --train m --dev m --out run",
        "train --mode e2e --train m --dev m --out run --seed x",
        "train --mode e2e --train m --dev m",
        "decode",
        "decode run --data m",
        "synth --speech m --noise n",
        "synth --speech m --noise n --out o --jobs 0",
        "synth --speech m --noise n --out o --copies 0",
        "split m --by id --out o",
        "check",
        "prepare",
        "prepare fsdd",
        "diagnose",
        "diagnose run --errors train=0.1",
        "diagnose --errors train=0.1 --dev m",
        "diagnose run --dev m",
        "diagnose --hypotheses dev=h --versus run --dev m --out o",
        "explain out",
        "rebuild",
        "demo --nothing",
    ],
)
def test_wrong_use_exits_with_2_and_writes_nothing(call, texts, tmp_path, arguments):
    before = sorted(tmp_path.rglob("*"))
    code, out, err = call(*arguments.split())
    assert (code, out) == (2, "") and "Usage:" in err and "Traceback" not in err
    assert sorted(tmp_path.rglob("*")) == before


def test_version_and_help_exit_with_0(call):
    assert call("--version")[:2] == (0, "speechbench, version 0.1.0\n")
    code, out, err = call("train", "-h")
    assert (code, err) == (0, "") and "--mode" in out


def test_a_reader_that_goes_away_is_told_nothing():
    command = f"{sys.executable} -m speechbench prepare --list | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_score_shows_kaldis_lines(call, texts):
    assert call(*texts) == (
        0,
        "%WER 33.33 [ 2 / 6, 0 ins, 1 del, 1 sub ]\n%CER 19.23 [ 5 / 26, 0 ins, 4 del, 1 sub ]\nScored 3, 0 missing\n",
        "",
    )


def test_score_of_a_part_and_as_json(call, texts):
    code, out, _ = call(*texts, "--where", "grade=A", "--format", "json")
    document = json.loads(out)
    word = document["rates"][0]
    assert (code, document["utterances"], document["missing"]) == (0, 2, [])
    assert (word["name"], word["rate"], word["errors"], word["tokens"], word["deletions"]) == ("WER", 0.25, 1, 4, 1)


def test_score_counts_missing_hypotheses_only_when_asked(call, texts, tmp_path):
    lines = (tmp_path / "hyp.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "hyp.jsonl").write_text("".join(lines[:2]))
    code, out, err = call(*texts)
    assert (code, out) == (1, "") and "1 of 3 hypotheses are missing: c" in err
    code, out, _ = call(*texts, "--missing", "deletions")
    assert code == 0 and out.startswith("%WER 50.00 [ 3 / 6, 0 ins, 2 del, 1 sub ]") and out.endswith("Scored 3, 1 missing\n")


def test_score_shows_a_networks_own_texts_beside(call, texts, tmp_path):
    rows = [json.loads(line) | {"greedy": "stop", "beam": ""} for line in (tmp_path / "hyp.jsonl").read_text().splitlines()]
    (tmp_path / "hyp.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert (
        "%WER greedy 66.67 [ 4 / 6, 0 ins, 3 del, 1 sub ]\n%WER beam 100.00 [ 6 / 6, 0 ins, 6 del, 0 sub ]" in call(*texts)[1]
    )


def test_score_knows_its_normalizers(call, texts):
    code, _, err = call(*texts, "--normalizer", "plane")
    assert (code, err) == (1, "speechbench: unknown normalizer 'plane'; did you mean plain?\n")


def test_convert_refuses_what_it_cannot_write(call, texts):
    code, _, err = call("convert", "hyp.jsonl", "h.ctm", "--to", "ctm")
    assert code == 1 and "a: has no words with times; decode with a recogniser that gives them" in err
    code, _, err = call("convert", "hyp.jsonl", "grids", "--to", "textgrid")
    assert code == 1 and "a: has no words with times" in err
    code, _, err = call("convert", "hyp.jsonl", "h.trn", "--to", "trn", "--tier", "phonemes")
    assert code == 2 and "--tier is of ctm files; trn has words only" in err
    assert call("convert", "hyp.jsonl", "h.trn", "--to", "trn")[0] == 0
    code, _, err = call("convert", "hyp.jsonl", "h.trn", "--to", "trn")
    assert code == 1 and "h.trn: exists already; name another or add --overwrite" in err


def test_decode_asks_for_one_thing_and_knows_every_oracle(call):
    (option,) = [option for option in cli.speechbench.commands["decode"].params if option.name == "oracle"]
    assert list(option.type.choices) == list(ORACLES)
    code, _, err = call("decode", "run", "--data", "m", "--out", "h", "--oracle", "search", "--nbest", "3")
    assert code == 2 and "--nbest is for what was heard; leave it out with --oracle" in err
