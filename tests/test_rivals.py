import sys
from pathlib import Path

import pytest

from speechbench import files
from speechbench.manifest import Manifest, Utterance
from speechbench.recognizer import Hypothesis, write_hypotheses
from speechbench.score import Counts

sys.path.append(str(Path(__file__).parent / "benchmarks"))

import rivals_ours
import rivals_table as table
from rivals_decode import parse
from rivals_folds import CONDITIONS, DEV_UTTERANCES, FOLDS, divide, fold_path
from rivals_input import trainable, write_dictionary


def utterance(name, **keys):
    return Utterance(name, Path(f"/speech/{name}.flac"), 1.0, text="one two", **keys)


def commands():
    return Manifest(tuple(utterance(f"u{n}", extra={"grade": "ABC"[n % 3]}) for n in range(300)))


def digits():
    return Manifest(tuple(utterance(f"{s}{n}", speaker=s) for s in ("a", "b", "c", "d", "e") for n in range(100)))


def ids(part):
    return {one.id for one in part}


@pytest.mark.parametrize(("corpus", "whole"), [("picovoice_intent", commands()), ("fsdd", digits())])
def test_nothing_is_in_two_sets_of_a_fold_and_each_test_in_one_fold(corpus, whole):
    folds = [divide(whole, corpus, number) for number in range(FOLDS)]
    tested = [key for sets in folds for key in ids(sets.test)]
    assert sorted(tested) == sorted(one.id for one in whole if one.get("grade") in (None, "A"))
    for sets in folds:
        parts = [ids(part) for part in (sets.train, sets.dev, sets.test)]
        assert len(set.union(*parts)) == sum(map(len, parts))
        assert len(sets.dev) == DEV_UTTERANCES[corpus]


def test_dev_and_test_of_commands_are_exact_and_training_has_all_grades():
    sets = divide(commands(), "picovoice_intent", 2)
    assert {one.get("grade") for part in (sets.dev, sets.test) for one in part} == {"A"}
    assert {one.get("grade") for one in sets.train} == {"A", "B", "C"}


def test_a_fold_of_digits_holds_out_a_speaker():
    sets = divide(digits(), "fsdd", 3)
    assert {one.speaker for one in sets.test} == {"d"}
    assert "d" not in {one.speaker for part in (sets.train, sets.dev) for one in part}


@pytest.mark.parametrize(
    ("line", "expected"),
    [("a(2) cup of tea (17 -12345)", (17, "a cup of tea")), (" (3 -9)", (3, "")), ("(4 0)", (4, "")), ("oh (5)", (5, "oh"))],
)
def test_hypotheses_of_pocketsphinx_are_read(line, expected):
    assert parse(line) == expected


def test_phonemes_of_second_pronunciations_alone_cannot_be_learnt(tmp_path):
    lexicon = {"with": (("W", "IH", "DH"), ("W", "IH", "TH"), ("W", "DH")), "we": (("W", "IY"),)}
    write_dictionary(trainable(lexicon), tmp_path)
    assert (tmp_path / "dictionary").read_text() == "with W IH DH\nwith(2) W DH\nwe W IY\n"


def result(fold, errors, audio_seconds, cpu_seconds):
    counts = dict(vars_of(Counts(10 - errors, errors, 0, 0)), audio_seconds=audio_seconds, cpu_seconds=cpu_seconds)
    training = {"processes": 2, "audio_seconds": 100.0, "wall_seconds": 30.0, "cpu_seconds": 40.0 + fold}
    return {"corpus": "fsdd", "fold": fold, "system": "sphinxtrain", "training": training, "tests": {"clean": counts}}


def vars_of(counts):
    return {name: getattr(counts, name) for name in Counts.__dataclass_fields__}


def test_the_table_pools_counts_and_scores_ours_on_the_same_references(tmp_path):
    for fold, errors in ((0, 1), (1, 4), (2, 9)):
        files.write_json(table.result_path(tmp_path, "fsdd", fold, "sphinxtrain"), result(fold, errors, 20.0, 0.5))
    Manifest((utterance("x"), utterance("y"))).write(fold_path(tmp_path, "fsdd", 1) / CONDITIONS["clean"][0])
    write_hypotheses(tmp_path / "ours-1-clean.jsonl", [Hypothesis("x", "one two"), Hypothesis("y", "two")])
    document = table.summarise(tmp_path, tmp_path, [0, 1], {"ours": f"{tmp_path}/ours-{{fold}}-{{condition}}.jsonl"})
    rivals, ours = document["fsdd"]["sphinxtrain"], document["fsdd"]["ours"]
    assert (rivals["folds"], rivals["tests"]["clean"]["errors"], rivals["tests"]["clean"]["words"]) == ([0, 1], 5, 20)
    assert rivals["tests"]["clean"]["times_real_time"] == 40.0
    assert rivals["training"]["cpu_seconds"] == 40.5
    assert (ours["folds"], ours["tests"]["clean"]["errors"], ours["tests"]["clean"]["words"]) == ([1], 1, 4)
    text = table.markdown(document)
    assert "| sphinxtrain | 0, 1 | 25.00 [5/20] | - | - | 40 | 40 |" in text
    assert "| ours | 1 | 25.00 [1/4] | - | - | - | - |" in text


def test_ours_is_trained_on_its_kind_of_speech_and_tested_in_each_condition(tmp_path, monkeypatch):
    fold, asked = tmp_path / "0", []
    for name in ("train.jsonl", "car/train/manifest.jsonl"):
        Manifest((utterance("a"), utterance("b"))).write(fold / name)
    for test, _ in CONDITIONS.values():
        Manifest((utterance("x"),)).write(fold / test)

    def command(*arguments):
        asked.append(list(map(str, arguments)))
        if arguments[0] == "decode":
            write_hypotheses(Path(arguments[arguments.index("--out") + 1]), [Hypothesis("x", "one three")])

    monkeypatch.setattr(rivals_ours, "_speechbench", command)
    (tmp_path / "out").mkdir()
    found = rivals_ours.measure("speechbench-car", fold, tmp_path / "out")
    assert found["training"]["audio_seconds"] == 2.0
    assert {name: (one["substitutions"], one["hits"]) for name, one in found["tests"].items()} == dict.fromkeys(
        CONDITIONS, (1, 1)
    )
    trained, *decoded = asked
    assert str(fold / "car/train/manifest.jsonl") in trained
    assert str(fold / "car/dev/manifest.jsonl") in trained
    assert [one[one.index("--data") + 1] for one in decoded] == [str(fold / test) for test, _ in CONDITIONS.values()]
