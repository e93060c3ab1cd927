import dataclasses

import numpy as np
import pytest
from planted_errors import plant

from speechbench import manifest
from speechbench.diagnostics import Human, diagnose
from speechbench.diagnostics.fairness import list_differences
from speechbench.diagnostics.paired import Slots, compare_words, matched_pairs, segments
from speechbench.diagnostics.versus import compare
from speechbench.errors import SpeechbenchError
from speechbench.run import Run
from speechbench.score import align, score


def slots(reference, hypothesis):
    return Slots.of(align(reference.split(), hypothesis.split()))


def test_slots_keep_every_error():
    found = slots("a b c d", "x a b d e e")
    assert found == Slots(("a", "b", "c", "d"), (True, True, False, True), (1, 0, 0, 0, 2))
    assert found.errors == 4


@pytest.mark.parametrize(
    ("newer", "older", "expected"),
    [
        ("a b c d e f", "a b c d e f", []),
        ("x b c d e f", "a b c d e x", [(1, 0), (0, 1)]),  # four right words between
        ("a x c d e f", "a b c x e f", [(1, 1)]),  # one right word between: one segment
        ("a x c d x f", "a b c d e f", [(1, 0), (1, 0)]),  # two between
        ("a b c d e f g", "a b c d e f", [(1, 0)]),  # an insertion at the end
        ("a b x x c d e f", "a b c d e f", [(2, 0)]),
    ],
)
def test_segments_lie_between_words_that_both_have_right(newer, older, expected):
    reference = "a b c d e f"
    assert list(segments(slots(reference, newer), slots(reference, older))) == expected


def test_segments_hold_all_errors():
    newer, older = plant("dev", 0.3).score, plant("dev", 0.2, seed=3).score
    found = [
        pair for key in newer.alignments for pair in segments(Slots.of(newer.alignments[key]), Slots.of(older.alignments[key]))
    ]
    assert [sum(column) for column in zip(*found, strict=True)] == [newer.total.errors, older.total.errors]


def test_matched_pairs_is_the_one_sample_z():
    differences = [-1] * 40 + [1] * 20 + [0] * 40
    found = matched_pairs(differences)
    mean, spread = np.mean(differences), np.std(differences, ddof=1)
    assert found["z"] == pytest.approx(mean / (spread / 10))
    assert 0.005 < found["p_value"] < 0.02
    assert matched_pairs([0] * 60)["p_value"] == 1.0


def test_too_few_segments_are_refused():
    found = matched_pairs([-1] * 49)
    assert (found["z"], found["p_value"]) == (None, None)
    assert "49 segments" in found["reason"]


def test_what_each_has_right_and_both_together():
    references = {"1": "turn left now", "2": "stop", "3": "go on out"}
    newer = score(references, {"1": "turn left", "2": "stop", "3": "no on uh out"})
    older = score(references, {"1": "turn right now", "2": "stop", "3": "go on uh out"})
    found = compare_words(newer, older)
    assert found["words"] == {"both": 4, "newer_only": 1, "older_only": 2, "neither": 0}
    assert [found["utterances"][who] for who in ("newer", "older", "equal")] == [0, 1, 2]
    assert [found["utterances"][who] for who in ("both", "newer_only", "older_only", "neither")] == [1, 0, 0, 2]
    assert found["gained"] == [{"word": "left", "count": 1}]
    assert [row["word"] for row in found["lost"]] == ["go", "now"]
    assert found["oracle"] == {"utterance": 2 / 7, "word": 1 / 7}  # the "uh" is in both


def test_an_oracle_is_never_worse_than_either():
    newer, older = plant("dev", 0.3).score, plant("dev", 0.25, seed=3).score
    oracle = compare_words(newer, older)["oracle"]
    assert oracle["word"] <= oracle["utterance"] <= min(newer.total.rate, older.total.rate)


def test_slices_are_compared():
    after, before = (plant("dev", rate, utterances=600, speakers=20, noise=True) for rate in (0.1, 0.3))
    found = diagnose({"dev": after}, Human.parse("0.01"), versus={"dev": before}).document()["versus"]
    rows = found["slices"]["snr"]
    assert rows[0]["name"] == "-5 to 0 dB"
    assert all(row["high"] < 0 and row["separable"] for row in rows)
    errors = sum(row["value"] * row["words"] for row in rows) / sum(row["words"] for row in rows)
    assert errors == pytest.approx(found["changes"]["dev"]["value"], abs=1e-5)
    assert found["slices"]["speaker"][0]["separable"] is not None


def test_systems_without_a_common_set_are_not_compared():
    with pytest.raises(SpeechbenchError, match="no set was scored for both"):
        compare({"dev": plant("dev", 0.1)}, {"test": plant("test", 0.1)}, "old", 0)


@pytest.fixture
def make_run(tmp_path):
    def make(name, mode, train, looks=1, **settings):
        train.manifest.write(tmp_path / f"{name}.jsonl")
        folder = tmp_path / name
        folder.mkdir()
        config = dataclasses.make_dataclass("Config", settings)(**settings)
        run = Run.create(folder, mode, config, 0, {"train": manifest.read(tmp_path / f"{name}.jsonl")})
        (folder / "lexicon.txt").write_text("go g ou")
        for _ in range(looks):
            run.log(dev_wer=0.1)
        run.finish()
        return run

    return make


def test_everything_that_differs_between_two_trainings_is_listed(make_run):
    quiet, loud = plant("train", 0.1), plant("train", 0.1, noise=True)
    older = make_run("older", "e2e", quiet, augment={"stretch": 0.1}, encoder={"channels": 64}, beam=11.0)
    newer = make_run("newer", "e2e", loud, looks=9, augment={"stretch": 0.2}, encoder={"channels": 64}, beam=11.0)
    (newer.path / "lexicon.txt").write_text("go g o")
    rows = {(row["about"], row["name"]): (row["newer"], row["older"]) for row in list_differences(newer, older)}
    assert rows[("data", "train utterances in noise")] == (120, 0)
    assert rows[("data", "train noise sources")] == (12, 0)
    assert rows[("augmentation", "augment.stretch")] == (0.2, 0.1)
    assert rows[("tuning", "looks at dev")] == (9, 1)
    assert {name for _, name in rows} == {
        *("train content", "train utterances in noise", "train noise sources"),
        *("lexicon.txt", "augment.stretch", "looks at dev"),
    }
    assert list_differences(older, older) == []


def test_of_two_modes_models_are_not_compared_but_effort_is(make_run):
    train = plant("train", 0.1)
    newer = make_run(
        "p", "pipeline", train, acoustic="network", network={"epochs": 4, "width": 8}, ctc={"training": {"epochs": 30}}
    )
    older = make_run("e", "e2e", train, training={"epochs": 10}, encoder={"channels": 64})
    rows = {row["name"]: (row["newer"], row["older"]) for row in list_differences(newer, older)}
    assert rows == {"mode": ("pipeline", "e2e"), "network.epochs": (4, None), "training.epochs": (None, 10)}


def test_a_training_manifest_that_has_changed_since_is_not_described(make_run, tmp_path):
    older = make_run("older", "e2e", plant("train", 0.1))
    newer = make_run("newer", "e2e", plant("train", 0.1, noise=True))
    (tmp_path / "newer.jsonl").write_text("")
    rows = {row["name"]: row for row in list_differences(newer, older)}
    assert rows["train utterances in noise"]["newer"] is None


@pytest.mark.slow
def test_ten_thousand_utterances_are_diagnosed():
    sets = [plant("dev", rate, utterances=10_000, speakers=100, noise=True) for rate in (0.15, 0.2)]
    report = diagnose({"dev": sets[0]}, Human.parse("0.01"), versus={"dev": sets[1]})
    counts = report.versus["changes"]["dev"]["words"]
    assert sum(counts.values()) == report.errors["dev"]["words"] == sets[0].score.total.words
    assert sum(row["utterances"] for row in report.slices["speaker"]) == 10_000
    assert report.versus["changes"]["dev"]["separable"] is True
