"""Which cause is named first."""

import pytest
from planted_errors import plant

from speechbench.diagnostics import Human, diagnose
from speechbench.diagnostics.advice import REMEDIES, Advice
from speechbench.diagnostics.ladder import RUNGS, STEPS
from speechbench.diagnostics.ranking import EXPLAINS, LADDER, WHERE, rank
from speechbench.diagnostics.stages import STAGES

HUMAN = Human.parse("0.1")


def candidate(cause, ceiling, low=0.01, section="gaps"):
    return Advice(cause, "", "", "", ceiling, low, 1.0, section)


def causes(candidates, *verdict):
    return [one.cause for one in rank(candidates, verdict)]


def test_without_a_verdict_what_surely_gains_most_is_first():
    candidates = [
        candidate(None, None, None),
        candidate("labels", 0.3, -0.1),
        candidate("speaker", 0.01),
        candidate("length", 0.2, None),
        candidate("acoustic_model", 0.09),
        candidate("lexicon", 0.05),
    ]
    assert causes(candidates) == ["lexicon", "speaker", "acoustic_model", "labels", "length", None]


@pytest.mark.parametrize(
    ("gap", "cause", "explains"),
    [
        ("data_mismatch", "room", True),
        ("data_mismatch", "speaker", True),
        ("variance_or_mismatch", "noise", True),
        ("avoidable_bias", "search", True),
        ("avoidable_bias", "room", False),
        ("variance", "language_model", True),
        ("variance", "acoustic_model", False),
        ("dev_overfitting", "speaker", False),
    ],
)
def test_what_explains_a_gap_goes_before_it(gap, cause, explains):
    order = [cause, gap] if explains else [gap, cause]
    assert causes([candidate(gap, 0.10), candidate(cause, 0.05)], gap) == order


def test_what_has_little_of_a_gap_or_is_unsure_explains_nothing():
    gap = candidate("data_mismatch", 0.10)
    assert causes([candidate("room", 0.03), gap], "data_mismatch")[0] == "data_mismatch"
    assert causes([candidate("room", 0.09, -0.01), gap], "data_mismatch")[0] == "data_mismatch"


def test_gaps_keep_the_order_of_the_verdict_each_behind_its_causes():
    candidates = [
        candidate(name, size)
        for name, size in (("search", 0.3), ("avoidable_bias", 0.1), ("room", 0.2), ("data_mismatch", 0.2))
    ]
    assert causes(candidates, "data_mismatch", "avoidable_bias") == ["room", "data_mismatch", "search", "avoidable_bias"]


def test_every_cause_of_a_section_is_known():
    known = {cause for one in EXPLAINS.values() for cause in one}
    assert {*RUNGS, *STEPS.values()} - {"clean", "seen_noise", "own_noise", "unseen"} <= {*LADDER}
    assert set(STAGES) <= known | set(WHERE)
    assert {name.replace(" ", "_") for name in REMEDIES} <= known


def test_a_speaker_is_named_before_the_accent_that_only_he_has():
    scored = plant("dev", 0.05, utterances=240, speakers=8, spread=0.0)
    bad = plant("dev", 0.6, utterances=240, speakers=8, spread=0.0)
    worst = scored.manifest.utterances[0].speaker
    heard = {u.id: (bad if u.speaker == worst else scored).hypotheses[u.id] for u in scored.manifest}
    for utterance in scored.manifest:
        utterance.extra["accent"] = utterance.speaker.upper()
    report = diagnose({"train_dev": plant("train_dev", 0.05, spread=0.0), "dev": type(scored)(scored.manifest, heard)}, HUMAN)
    named = [one["cause"] for one in report.advice]
    assert named[0] == "speaker" and "accent" not in named
    assert worst in report.advice[0]["action"]


@pytest.mark.parametrize("section", ["stages", "ladder"])
def test_what_shares_out_all_errors_is_advised_on_where_dev_surely_errs_more_than_humans(monkeypatch, section):
    row = {"cause": "language_model", "action": "", "reason": "", "command": "", "ceiling": 0.05, "low": 0.03, "high": 0.07}
    monkeypatch.setattr("speechbench.diagnostics.report.measure_" + section, lambda *_, **__: {"advice": [row]})
    sets, given = {"dev": plant("dev", 0.1)}, {{"stages": "repairs"}.get(section, section): object()}
    for human, named in (("0.01", True), ("0.1", False), ("0.05:0.2", False)):
        report = diagnose(sets, Human.parse(human), **given)
        assert ("language_model" in [one["cause"] for one in report.advice]) is named
    assert "language_model" in [one["cause"] for one in diagnose(sets, **given).advice]


def test_what_a_repair_shows_goes_before_a_slice_of_the_same_words():
    rare, lacking = candidate("rarest_word", 0.09, section="slices"), candidate("lexicon", 0.08, section="stages")
    gap = candidate("data_mismatch", 0.1)
    assert causes([rare, gap, lacking], "data_mismatch") == ["lexicon", "rarest_word", "data_mismatch"]
