import numpy as np
import pytest
from planted_errors import plant

from speechbench.diagnostics.confusions import confusions, costly_words
from speechbench.diagnostics.examples import choose_examples
from speechbench.diagnostics.slices import orders, slice_errors, snr_curve, speech_rates, weak_parts
from speechbench.diagnostics.weak import holm
from speechbench.score import score


@pytest.fixture(scope="module")
def noisy():
    return plant("dev", 0.25, utterances=300, noise=True)


def test_every_slice_adds_up(noisy):
    tables = slice_errors(noisy)
    assert set(tables) == {"speaker", "condition", "snr", "speech rate", "order"}  # all utterances are equally long
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


def planted_counts(weak, *, speakers=20, utterances=800, factor=5.0):
    """Speakers who differ by chance, and utterances for which `weak` holds that err more often by a factor."""
    scored = plant("dev", 0.1, utterances=utterances, speakers=speakers, noise=True)
    rng = np.random.default_rng(5)
    usual = dict(zip(sorted({u.speaker for u in scored.manifest}), np.exp(rng.normal(0, 0.2, speakers)), strict=True))
    rates = np.array([0.06 * usual[u.speaker] * (factor if weak(u) else 1.0) for u in scored.manifest])
    vars(scored)["errors"] = rng.binomial(scored.words.astype(int), rates).astype(float)
    return scored


@pytest.mark.parametrize(
    ("weak", "found"),
    [
        (lambda u: u.speaker == "dev-s03", ("speaker", "dev-s03")),
        (lambda u: u.extra["snr_db"] < 0, ("snr", "-5 to 0 dB")),
        (lambda u: len(u.words) > 11, ("speech rate", "5.0 words/s or more")),
    ],
)
def test_a_planted_weak_slice_is_found_first(weak, found):
    tables = slice_errors(planted_counts(weak))
    first = weak_parts(tables)[0]
    assert (first["slice"], first["name"]) == found
    assert 0 < first["low"] < first["ceiling"] < first["high"] < 0.3
    assert first["p_value"] < 0.05


def test_an_unremarkable_bad_speaker_is_not_weak():
    """Where speakers differ by a factor of 2 anyhow, one who errs 1.6 times as often as most is none to work on."""
    scored = plant("dev", 0.15, utterances=600, speakers=20, spread=0.6)
    assert [row for row in weak_parts(slice_errors(scored)) if row["slice"] == "speaker"] == []


@pytest.mark.parametrize("speakers", [1, 2])
def test_of_few_speakers_snr_is_judged_but_not_who_is_worse(speakers):
    noisy = planted_counts(lambda u: u.extra["snr_db"] < 0, speakers=speakers)
    assert {row["slice"] for row in weak_parts(slice_errors(noisy))} == {"snr"}
    one_bad = planted_counts(lambda u: u.speaker == "dev-s01", speakers=speakers)
    assert weak_parts(slice_errors(one_bad)) == []


def test_many_looks_are_corrected():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []


def test_the_same_utterances_under_two_names_are_one_look():
    once = slice_errors(planted_counts(lambda u: u.speaker == "dev-s03"))
    scored = planted_counts(lambda u: u.speaker == "dev-s03")
    for utterance in scored.manifest:
        utterance.extra["accent"] = utterance.speaker.upper()
    twice = slice_errors(scored)
    assert [row["p_value"] for row in twice["speaker"]] == [row["p_value"] for row in once["speaker"]]
    assert [row["p_value"] for row in twice["accent"]] == [row["p_value"] for row in once["speaker"]]


def test_rare_words_and_recording_times_are_slices():
    scored = plant("dev", 0.1)
    counts = dict.fromkeys("abcdefghijklmnopqr", 100) | {"a": 0, "b": 3}
    rows = {row["name"]: row for row in slice_errors(scored, counts)["rarest word"]}
    assert rows["a word that is not in the training text"]["utterances"] == sum("a" in u.words for u in scored.manifest)
    utterances = list(scored.manifest)[:8]
    for number, utterance in enumerate(utterances):
        utterance.extra["recorded_at"] = f"2024-05-0{8 - number}T12:00:00"
    assert orders(utterances)[0] == "last quarter"
    assert orders(utterances)[-1] == "first quarter"


def test_speech_rate_is_that_of_the_words_where_their_times_are_known():
    (utterance, *rest) = plant("dev", 0.1).manifest
    utterance.extra["alignments"] = {"words": [[1.0, 1.02, word] for word in utterance.words]}
    assert speech_rates([utterance, *rest])[0].endswith("words/s or more")


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
