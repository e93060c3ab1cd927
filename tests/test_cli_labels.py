import csv
import io
import json
import re
import shlex

import click
import pytest
from click.testing import CliRunner
from planted_labels import doubt

from speechbench import manifest
from speechbench.cli import recognition, speechbench
from speechbench.errors import SpeechbenchError
from speechbench.files import mark, write_json
from speechbench.recognizer import write_hypotheses


def run(*arguments):
    result = CliRunner().invoke(speechbench, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


def refused(*arguments):
    return CliRunner().invoke(speechbench, [str(argument) for argument in arguments])


@pytest.fixture
def files(tmp_path):
    planted = doubt(share=0.1)
    planted.scored.manifest.write(tmp_path / "dev.jsonl")
    for name, hypotheses in (
        ("first", planted.scored.hypotheses),
        ("second", planted.rival.hypotheses),
        ("references", planted.references),
    ):
        write_hypotheses(tmp_path / f"{name}.jsonl", hypotheses.values())
    return tmp_path, planted


def edit(path, change):
    lines = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline="")))
    for line in lines:
        change(line)
    with path.open("w", encoding="utf-8", newline="") as stream:
        table = csv.DictWriter(stream, list(lines[0]), delimiter=";")
        table.writeheader()
        table.writerows(lines)
    return lines


def test_errors_are_drawn_filled_and_counted(files):
    folder, _ = files
    data = ("--data", folder / "dev.jsonl", "--ear", folder / "ear.json")
    drawn = run("errors", "draw", folder / "first.jsonl", *data, "--train", folder / "dev.jsonl", "--out", folder / "sheet.csv")
    assert "First look at Ear" in drawn.stderr
    edit(folder / "sheet.csv", lambda row: row.update(tags="accent; child"))
    shown = run("errors", "count", folder / "sheet.csv", "--ear", folder / "ear.json")
    assert "accent" in shown.stdout and "100 utterances read" in shown.stdout
    document = json.loads(run("errors", "count", folder / "sheet.csv", "--ear", folder / "ear.json", "--format", "json").stdout)
    assert [row["tag"] for row in document["tags"]] == ["accent", "child"]
    again = run("errors", "draw", folder / "second.jsonl", *data, "--out", folder / "sheet2.csv")
    assert "Look 2 at Ear" in again.stderr
    assert len(json.loads((folder / "ear.json").read_text())["looks"]) == 2
    with pytest.raises(SpeechbenchError, match="--overwrite"):
        run("errors", "draw", folder / "second.jsonl", *data, "--out", folder / "sheet2.csv")


def test_a_small_dev_set_says_that_it_gives_fewer_errors(files):
    folder, _ = files
    lines = (folder / "dev.jsonl").read_text().splitlines()[:60]
    (folder / "small.jsonl").write_text("\n".join(lines))
    kept = {json.loads(line)["id"] for line in lines}
    rows = [line for line in (folder / "first.jsonl").read_text().splitlines() if json.loads(line)["id"] in kept]
    (folder / "small.hyp.jsonl").write_text("\n".join(rows))
    drawn = run(
        "errors",
        "draw",
        folder / "small.hyp.jsonl",
        "--data",
        folder / "small.jsonl",
        "--ear",
        folder / "small-ear.json",
        "--out",
        folder / "small.csv",
    )
    assert "instead of 100" in drawn.stderr


def test_wrong_transcripts_are_found_counted_and_corrected(files):
    folder, planted = files
    data = ("--data", folder / "dev.jsonl")
    found = ("--references", folder / "references.jsonl", "--versus", folder / "second.jsonl")
    run("labels", "find", folder / "first.jsonl", *data, *found, "--out", folder / "suspects.csv")

    def check(row):
        truth = planted.truth[row["id"].lstrip("'")]
        row.update({"corrected": truth} if truth != row["reference"] else {"checked": "x"})

    assert len(edit(folder / "suspects.csv", check)) == 100
    system = ("--system", folder / "first.jsonl", "--versus", folder / "second.jsonl")
    counted = run("labels", "count", folder / "suspects.csv", *system, *data, "--patch", folder / "dev.patch.jsonl")
    assert "caused by wrong transcripts" in counted.stdout and "Under " in counted.stdout
    before = (folder / "dev.jsonl").read_bytes()
    run("labels", "apply", folder / "dev.patch.jsonl", *data, "--out", folder / "corrected.jsonl")
    assert (folder / "dev.jsonl").read_bytes() == before
    corrected = {u.id: u.text for u in manifest.read(folder / "corrected.jsonl")}
    mended = [key for key in planted.wrong if corrected[key] == planted.truth[key]]
    assert len(mended) >= 0.8 * len(planted.wrong)
    in_place = refused("labels", "apply", folder / "dev.patch.jsonl", *data, "--out", folder / "dev.jsonl", "--overwrite")
    assert in_place.exit_code == 2 and "never edit a manifest in place" in in_place.output
    assert (folder / "dev.jsonl").read_bytes() == before


def test_a_run_that_was_trained_on_the_transcripts_is_warned_of(files, monkeypatch):
    folder, planted = files
    write_json(folder / "run" / "provenance.json", {"manifests": {"train": {"path": str(folder / "dev.jsonl")}}})
    mark(folder / "run", "run")
    kept = {"dev": planted.scored.hypotheses, "oracle-words": planted.references}
    monkeypatch.setattr(recognition, "decoded", lambda run, name, data, request=None: kept[name])
    arguments = ("labels", "find", folder / "run", "--data", folder / "dev.jsonl", "--out")
    assert "was trained on 400 of the 400 utterances" in run(*arguments, folder / "s.csv").stderr
    write_json(folder / "run" / "provenance.json", {"manifests": {"train": {"path": "/absent/train.jsonl"}}})
    assert "is gone; make sure" in run(*arguments, folder / "s2.csv").stderr
    usage = refused(*arguments, folder / "s3.csv", "--references", folder / "references.jsonl")
    assert usage.exit_code == 2 and not (folder / "s3.csv").exists()


@pytest.mark.parametrize("name", ["errors", "labels"])
def test_each_subcommand_has_an_example_that_parses(name):
    group = speechbench.commands[name]
    for command in group.commands.values():
        (example, *_) = re.findall(rf"speechbench {name} {command.name}\b.*", command.help)
        with click.Context(speechbench) as context:
            command.make_context(command.name, shlex.split(example)[3:], context).close()
