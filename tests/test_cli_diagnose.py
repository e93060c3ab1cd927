import json

import pytest
from click.testing import CliRunner
from planted_errors import plant

from speechbench.cli import diagnosis, recognition
from speechbench.errors import SpeechbenchError
from speechbench.files import mark, write_json
from speechbench.recognizer import write_hypotheses


def run(*arguments):
    return CliRunner().invoke(diagnosis.diagnose, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets")
    for name, rate in (("dev", 0.1), ("test", 0.3)):
        scored = plant(name, rate, utterances=60, folder=folder)
        scored.manifest.write(folder / f"{name}.jsonl")
        write_hypotheses(folder / f"{name}.hyp.jsonl", scored.hypotheses.values())
    return folder


def outside(files, out):
    names = ",".join(f"{name}={files / name}.hyp.jsonl" for name in ("dev", "test"))
    return (
        "--hypotheses",
        names,
        "--dev",
        files / "dev.jsonl",
        "--test",
        files / "test.jsonl",
        "--human",
        "0.01",
        "--out",
        out,
    )


def test_table_from_errors_alone():
    result = run("--errors", "human=0.04,train=0.07,train_dev=0.10,dev=0.12,test=0.12")
    assert result.exit_code == 0, result.output
    for expected in ("avoidable bias", "+3.00", "Avoidable bias adds 3.0 points", "Next: Fit the training data better"):
        assert expected in result.output
    document = json.loads(run("--errors", "human=0.01,train=0.01,train-dev=0.1", "--format", "json").stdout)
    assert document["verdict"] == ["variance"]


def test_outside_recogniser(files, tmp_path):
    out = tmp_path / "report"
    result = run(*outside(files, out))
    assert result.exit_code == 0, result.output
    document = json.loads((out / "report.json").read_text())
    assert document["verdict"][0] == "dev_overfitting"
    assert (out / "report.html").stat().st_size > 10_000
    assert (out / "speechbench.json").exists()
    with pytest.raises(SpeechbenchError, match="--overwrite"):
        CliRunner().invoke(diagnosis.diagnose, [str(a) for a in outside(files, out)], catch_exceptions=False)
    before = (out / "report.html").read_bytes()
    assert run(*outside(files, out), "--overwrite").exit_code == 0
    assert (out / "report.html").read_bytes() == before


def test_two_outside_recognisers_and_people(files, tmp_path):
    people = tmp_path / "person.jsonl"
    write_hypotheses(people, plant("dev", 0.02, utterances=60, seed=4).hypotheses.values())
    other = tmp_path / "other.jsonl"
    write_hypotheses(other, plant("dev", 0.4, utterances=60).hypotheses.values())
    arguments = [*outside(files, tmp_path / "report"), "--hypotheses", f"human={people}", "--versus-hypotheses", f"dev={other}"]
    arguments[arguments.index("--human") + 1] = "0.5"
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    for expected in ("Two distributions", "Against other outside recogniser", "better of both", "segments"):
        assert expected in result.output
    document = json.loads((tmp_path / "report" / "report.json").read_text())
    assert document["errors"]["human"]["words"] == document["errors"]["dev"]["words"]
    assert document["errors"]["human"]["rate"] < 0.05
    assert list(document["versus"]["changes"]) == ["dev"]
    assert document["versus"]["differences"] is None


def test_ids_that_do_not_match_and_empty_references_are_one_line(files, tmp_path):
    odd = tmp_path / "odd.jsonl"
    odd.write_text((files / "dev.hyp.jsonl").read_text() + '{"id": "stranger", "text": "a"}\n')
    result = run("--hypotheses", f"dev={odd}", "--dev", files / "dev.jsonl", "--out", tmp_path / "out")
    assert isinstance(result.exception, SpeechbenchError)
    assert "stranger" in str(result.exception)
    (first, *rest) = (files / "dev.jsonl").read_text().splitlines()
    bare = files / "bare.jsonl"
    bare.write_text("\n".join([json.dumps(json.loads(first) | {"text": " "}), *rest]))
    result = run("--hypotheses", f"dev={files / 'dev.hyp.jsonl'}", "--dev", bare, "--out", tmp_path / "out")
    assert isinstance(result.exception, SpeechbenchError)
    assert "no text: dev-000" in str(result.exception)
    assert "\n" not in str(result.exception)


def test_a_missing_hypothesis_is_an_error_unless_asked(files, tmp_path):
    lines = (files / "dev.hyp.jsonl").read_text().splitlines()
    part = tmp_path / "part.jsonl"
    part.write_text("\n".join(lines[1:]))
    arguments = ("--hypotheses", f"dev={part}", "--dev", files / "dev.jsonl", "--out", tmp_path / "out")
    result = run(*arguments)
    assert isinstance(result.exception, SpeechbenchError)
    assert "dev-000" in str(result.exception)
    assert not (tmp_path / "out").exists()
    assert run(*arguments, "--missing", "deletions").exit_code == 0


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--errors", "train=0.1", "--dev", "x.jsonl"),
        ("run", "--errors", "train=0.1"),
        ("run",),
        ("--hypotheses", "dev=h.jsonl", "--out", "o"),
        ("--hypotheses", "x=h.jsonl", "--out", "o"),
        ("--hypotheses", "dev=h.jsonl", "--out", "o", "--versus", "r"),
        ("--hypotheses", "human=h.jsonl", "--out", "o"),
        ("--errors", "train=0.1", "--hypotheses", "human=h.jsonl"),
        ("run", "--versus", "r", "--versus-hypotheses", "dev=h.jsonl", "--out", "o"),
    ],
)
def test_usage_errors_exit_2(arguments):
    assert run(*arguments).exit_code == 2


def test_a_run_against_an_older_one_on_the_manifests_it_was_trained_with(files, tmp_path, monkeypatch):
    rates = {"new": 0.1, "old": 0.4}
    for name in rates:
        folder = tmp_path / name
        write_json(folder / "config.json", {"mode": "e2e" if name == "new" else "pipeline"})
        write_json(folder / "provenance.json", {"manifests": {"dev": {"path": str(files / "dev.jsonl")}}})
        mark(folder, "run")
    monkeypatch.setattr(
        recognition,
        "decoded",
        lambda run, name, manifest: plant(name, rates[run.path.name], utterances=60).hypotheses,
        raising=False,
    )
    result = run(tmp_path / "new", "--versus", tmp_path / "old", "--out", tmp_path / "out", "--format", "json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["name"] == "new"
    assert document["versus"]["name"] == "old"
    assert document["versus"]["changes"]["dev"]["value"] == pytest.approx(-0.3, abs=0.08)
    assert document["versus"]["changes"]["dev"]["separable"] is True
    assert [row["about"] for row in document["versus"]["differences"]] == ["mode"]


def test_errors_alone_can_have_a_page(tmp_path):
    assert run("--errors", "train=0.07,dev=84/700", "--out", tmp_path / "out").exit_code == 0
    assert "upper bound" in (tmp_path / "out" / "report.html").read_text()
