import numpy as np
import pytest
from planted_errors import plant

from speechbench.diagnostics.confusions import confusions, costly_words
from speechbench.diagnostics.examples import choose_examples
from speechbench.diagnostics.slices import slice_errors, snr_curve
from speechbench.score import score


@pytest.fixture(scope="module")
def noisy():
    return plant("dev", 0.25, utterances=300, noise=True)


def test_every_slice_adds_up(noisy):
    tables = slice_errors(noisy)
    assert set(tables) == {"speaker", "condition", "snr"}  # all utterances are equally long
    for rows in tables.values():
        assert sum(row["errors"] for row in rows) == noisy.score.total.errors
        assert sum(row["words"] for row in rows) == noisy.score.total.words
        assert sum(row["share"] for row in rows) == pytest.approx(1)
        assert sum(row["ceiling_perfect"] for row in rows) == pytest.approx(noisy.score.total.rate)


def test_a_planted_bad_speaker_comes_first_with_its_ceiling():
    scored = plant("dev", 0.05, spread=0.0)
    bad = np.array([u.speaker == "dev-s03" for u in scored.manifest])
    object.__setattr__(scored, "errors", np.where(bad, scored.words / 2, 0.0))
    first = slice_errors(scored)["speaker"][0]
    assert first["name"] == "dev-s03"
    assert first["share"] == pytest.approx(1)
    assert first["ceiling"] == pytest.approx(first["ceiling_perfect"])


def test_error_falls_with_snr(noisy):
    curve = snr_curve(noisy, 0)
    assert [point["snr_db"] for point in curve] == sorted(point["snr_db"] for point in curve)
    assert curve[0]["rate"] > 2 * curve[-1]["rate"]
    assert all(point["low"] <= point["rate"] <= point["high"] for point in curve)


def test_confusions_and_costly_words():
    scored = score({"a": "turn left now", "b": "turn left"}, {"a": "turn lift", "b": "turn lift up"})
    assert [(row["error"], row["kind"], row["count"]) for row in confusions(scored)] == [
        ("(left->lift)", "substitution", 2),
        ("(->up)", "insertion", 1),
        ("(now->)", "deletion", 1),
    ]
    assert [(row["word"], row["errors"], row["occurrences"]) for row in costly_words(scored)] == [("left", 2, 2), ("now", 1, 1)]


def test_examples_have_errors_and_repeat(noisy):
    examples = choose_examples(noisy, 0)
    assert len(examples) == 10
    assert all(example["errors"] > 0 for example in examples)
    assert examples == choose_examples(noisy, 0)
    assert choose_examples(plant("dev", 0.0), 0) == []
