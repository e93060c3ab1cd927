import numpy as np
import pytest
from planted_errors import plant

from speechbench.diagnostics import Human, diagnose, diagnose_given, parse_errors
from speechbench.diagnostics.gaps import name_gap
from speechbench.diagnostics.listeners import measure_humans
from speechbench.errors import SpeechbenchError
from speechbench.recognizer import Hypothesis

BIAS, VARIANCE, MISMATCH = "avoidable_bias", "variance", "data_mismatch"


@pytest.mark.parametrize(
    ("errors", "verdict"),
    [
        # human / train / train-dev, where dev is of the training distribution
        ("5/15/16", [BIAS]),
        ("0/1/11", [VARIANCE]),
        ("0/15/16", [BIAS]),
        ("0/15/30", [BIAS, VARIANCE]),
        ("0/0.5/1", []),
        ("1/8/10", [BIAS]),
        ("5/1/6", [VARIANCE]),
        ("0.5/0.3/0.4", []),
        # human / train / train-dev / dev / test
        ("0/1/9/10", [VARIANCE]),
        ("0/1/1.5/10", [MISMATCH]),
        ("0/10/11/20", [BIAS, MISMATCH]),
        ("4/7/10/12", [BIAS, VARIANCE, MISMATCH]),
        ("4/7/10/12/12", [BIAS, VARIANCE, MISMATCH]),
        ("4/7/10/6/6", [BIAS, VARIANCE]),
    ],
)
def test_ng_verdicts_from_sizes_alone(errors, verdict):
    names = ("human", "train", "train_dev", "dev", "test")
    text = ",".join(f"{name}={float(value) / 100}" for name, value in zip(names, errors.split("/"), strict=False))
    assert diagnose_given(parse_errors(text)).verdict == verdict


@pytest.mark.parametrize(
    ("errors", "verdict"),
    [("5/15/16", [BIAS]), ("0/1/11", [VARIANCE]), ("0/15/30", [BIAS, VARIANCE]), ("0/0.5/1", []), ("1/8/10", [BIAS])],
)
def test_without_train_dev_numbers_are_taken_to_be_of_one_distribution(errors, verdict):
    text = ",".join(f"{n}={float(v) / 100}" for n, v in zip(("human", "train", "dev"), errors.split("/"), strict=True))
    report = diagnose_given(parse_errors(text))
    assert report.verdict == verdict
    assert "taken to be of the training distribution" in " ".join(report.notes)


def test_without_train_dev_real_sets_do_not_tell_variance_from_mismatch():
    sets = {"train": plant("train", 0.05, speakers=30), "dev": plant("dev", 0.5, speakers=30)}
    report = diagnose(sets)
    assert report.verdict == ["variance_or_mismatch"]
    assert "cannot be told apart" in " ".join(report.notes)


def test_train_below_human_is_over_memorised():
    report = diagnose_given(parse_errors("human=0.05,train=0.01,train_dev=0.06"))
    assert report.verdict == [VARIANCE]
    assert "reduce variance" in " ".join(report.notes)


@pytest.mark.parametrize(("human", "said"), [("0.01", False), ("0.03", True)])
def test_below_human_by_chance_is_not_over_memorised(human, said):
    report = diagnose_given(parse_errors(f"human={human},train=33/3612,train_dev=8/573,dev=30/550"))
    assert ("over-memorised" in " ".join(report.notes)) == said


def test_below_human_the_direction_is_unknown():
    report = diagnose_given(parse_errors("human=0.005,train=0.003,dev=0.004"))
    assert report.verdict == []
    assert "direction unknown" in report.sentence


def test_an_easier_dev_is_said():
    report = diagnose_given(parse_errors("human=0.04,train=0.07,train_dev=0.10,dev=0.06,test=0.06"))
    assert any(note.startswith("Dev is easier than train-dev") for note in report.notes)


def test_of_several_humans_the_best_counts():
    given = parse_errors("human=0.15,human=0.10,human=0.05,human=0.02,train=0.08")
    assert given.human.rate == 0.02


def test_without_human_the_bias_is_an_upper_bound():
    report = diagnose_given(parse_errors("train=0.40,train_dev=0.405"))
    gap = report.gaps[BIAS]
    assert (gap["value"], gap["separable"], report.verdict) == (0.40, None, [])
    assert "upper bound" in gap["reason"]


def test_a_range_of_human_widens_the_bias():
    report = diagnose_given(parse_errors("human=0.02:0.04,train=0.07"))
    gap = report.document()["gaps"][BIAS]
    assert (gap["value"], gap["low"], gap["high"]) == (0.04, 0.03, 0.05)
    assert diagnose_given(parse_errors("human=0.02:0.08,train=0.07")).verdict == []


def test_counts_give_intervals_that_decide():
    few = diagnose_given(parse_errors("human=0.04,train=0.07,train_dev=0.10,words=200"))
    many = diagnose_given(parse_errors("human=0.04,train=700/10000,train_dev=1000/10000"))
    assert few.verdict == []
    assert "more words in train would decide" in few.advice[0]["action"]
    assert "too narrow" in " ".join(few.notes)
    assert many.verdict == [BIAS, VARIANCE]
    row = many.errors["train"]
    half_width = 1.96 * np.sqrt(0.07 * 0.93 / 10000)
    assert (row["high"] - row["low"]) / 2 == pytest.approx(half_width, rel=0.08)


def test_gaps_add_up_and_carry_their_names():
    report = diagnose_given(parse_errors("human=0.01,train=0.05,train_dev=0.08,dev=0.2,test=0.25"))
    assert list(report.gaps) == [BIAS, VARIANCE, MISMATCH, "dev_overfitting"]
    assert sum(gap["value"] for gap in report.gaps.values()) == pytest.approx(0.24)
    assert name_gap("human", "dev") == "bias_variance_or_mismatch"
    assert name_gap("train_dev", "test") == "mismatch_or_overfitting"


@pytest.mark.parametrize(
    "text",
    [
        "train=7",
        "train=a",
        "traim=0.1",
        "train=0.1,train=0.2",
        "human=0.1",
        "train=1/0",
        "human=.4:.2,dev=.5",
        "train=nan",
        "human=nan,train=0.1",
        "human=1.2,train=0.1",
        "human=-0.1,train=0.1",
        "train=inf",
        "human_dev=2,train=.1",
        "",
        "words=5",
    ],
)
def test_bad_errors_are_refused(text):
    with pytest.raises(SpeechbenchError):
        diagnose_given(parse_errors(text))


def test_planted_rates_are_found_back():
    rates = {"train": 0.06, "train_dev": 0.14, "dev": 0.30, "test": 0.30}
    sets = {name: plant(name, rate, utterances=400, speakers=40, spread=0.2) for name, rate in rates.items()}
    report = diagnose(sets, Human.parse("0.01"))
    assert report.verdict == [MISMATCH, VARIANCE, BIAS]
    for name, rate in rates.items():
        assert report.errors[name]["low"] < rate < report.errors[name]["high"]


@pytest.mark.slow
def test_equal_rates_give_no_verdict():
    human = Human.parse("0.10")
    names = ("train", "train_dev", "dev", "test")
    false = sum(bool(diagnose({n: plant(n, 0.10, seed=seed) for n in names}, human).verdict) for seed in range(40))
    assert false <= 2


def test_few_speakers_leave_the_gap_unknown():
    sets = {"train": plant("train", 0.05, speakers=20), "train_dev": plant("train_dev", 0.5, speakers=3)}
    report = diagnose(sets, Human.parse("0.05"))
    assert report.gaps[VARIANCE]["separable"] is None
    assert "only 3 speakers" in report.gaps[VARIANCE]["reason"]
    assert VARIANCE not in report.verdict


def test_a_training_set_of_few_speakers_is_known_all_the_same():
    """Who trains on two speakers and hears nobody else has variance, whatever a third would do to the training error."""
    sets = {"train": plant("train", 0.02, speakers=2), "train_dev": plant("train_dev", 0.5, speakers=20)}
    report = diagnose(sets, Human.parse("0.05"))
    assert report.verdict == [VARIANCE]
    assert "speaks for 2 speakers only" in " ".join(report.errors["train"]["notes"])


def test_a_rate_above_1_needs_counts():
    assert diagnose_given(parse_errors("human=0.1,train=130/100")).errors["train"]["rate"] == 1.3


def test_distributions_by_human_seen_and_unseen():
    report = diagnose_given(parse_errors("human=0.04,train=0.07,train_dev=0.10,dev=0.06,human_dev=0.06,dev_seen=0.06"))
    table = report.distributions
    assert table["train"] == {"human": 0.04, "seen": 0.07, "unseen": 0.10}
    assert table["dev"] == {"human": 0.06, "seen": 0.06, "unseen": 0.06}
    assert "On dev's distribution humans err 2.0 points more than on the training distribution." in table["reading"]
    assert table["reading"][-1] == "On the dev distribution: +0.0 points from human to seen, +0.0 points from seen to unseen."
    assert diagnose_given(parse_errors("human=0.04,dev=0.06")).distributions is None


def test_an_undecided_gap_larger_than_the_verdict_is_said():
    sets = {
        "train": plant("train", 0.02, speakers=40, utterances=800),
        "train_dev": plant("train_dev", 0.06, speakers=40, utterances=800),
        "dev": plant("dev", 0.4, speakers=2),
    }
    report = diagnose(sets, Human.parse("0.02"))
    assert report.verdict == [VARIANCE]
    assert any(note.startswith("Undecided: data mismatch") for note in report.notes)


@pytest.mark.parametrize(("utterances", "speakers"), [(1, 1), (3, 3), (3, 1), (40, 1)])
def test_tiny_sets_are_qualified(utterances, speakers):
    report = diagnose({"dev": plant("dev", 0.5, utterances=utterances, speakers=speakers)}, Human.parse("0.01"))
    (gap,) = report.gaps.values()
    assert (gap["separable"], report.verdict) == (None, [])
    assert f"only {speakers} speaker" in gap["reason"]
    assert report.weak == []
    report.document()


def transcripts(scored, count):
    return {u.id: scored.hypotheses[u.id] for u in list(scored.manifest)[:count]}


def test_the_best_of_several_people_is_the_human_level():
    dev = plant("dev", 0.3)
    good, bad = plant("dev", 0.02, seed=1), plant("dev", 0.1, seed=2)
    human = measure_humans(dev.manifest, {"bad": bad.hypotheses, "good": transcripts(good, 60)}, 0)
    assert human.rate == human.errors / human.words < 0.05
    assert human.low < human.rate < human.high
    report = diagnose({"dev": dev}, human)
    assert report.errors["human"]["words"] == human.words
    assert report.distributions["dev"] == {"human": human.rate, "seen": None, "unseen": report.errors["dev"]["rate"]}


def test_bad_transcripts_are_refused():
    dev = plant("dev", 0.3)
    with pytest.raises(SpeechbenchError, match="no utterance of"):
        measure_humans(dev.manifest, {"who.jsonl": plant("test", 0.1).hypotheses}, 0)
    with pytest.raises(SpeechbenchError, match=r"who.jsonl: holds \d+ words of dev; at least 100"):
        measure_humans(dev.manifest, {"who.jsonl": transcripts(dev, 3)}, 0)
    strange = {"dev-000": Hypothesis("dev-000", "a"), **plant("dev", 0.1).hypotheses, "x": Hypothesis("x", "a")}
    with pytest.raises(SpeechbenchError, match="no reference: x"):
        measure_humans(dev.manifest, {"who.jsonl": strange}, 0)
    long = {key: Hypothesis(key, "z " * 30) for key in dev.hypotheses}
    with pytest.raises(SpeechbenchError, match="above 1"):
        measure_humans(dev.manifest, {"who.jsonl": long}, 0)


@pytest.mark.parametrize("noisy", ["dev", "test"])
def test_dev_and_test_of_different_sound_are_no_overfitting(noisy):
    sets = {name: plant(name, 0.3 if name == "test" else 0.03, noise=name == noisy) for name in ("dev", "test")}
    document = diagnose(sets, Human.parse("0.03")).document()
    gap = document["gaps"]["dev_overfitting"]
    assert gap["separable"] is None and "not of one distribution" in gap["reason"]
    assert "dev_overfitting" not in document["verdict"]


@pytest.mark.parametrize("noise", [False, True])
def test_dev_and_test_of_one_sound_may_be_overfitting(noise):
    sets = {name: plant(name, 0.3 if name == "test" else 0.03, noise=noise) for name in ("dev", "test")}
    assert "dev_overfitting" in diagnose(sets, Human.parse("0.03")).document()["verdict"]
