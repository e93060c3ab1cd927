from dataclasses import replace

import numpy as np
import pytest
from planted_labels import area, doubt

from speechbench.diagnostics import ScoredSet, diagnose
from speechbench.diagnostics.labels import list_suspects, suspect_labels
from speechbench.diagnostics.pace import outlying
from speechbench.errors import SpeechbenchError
from speechbench.manifest import Manifest


@pytest.mark.parametrize("kind", ["swap", "word"])
@pytest.mark.parametrize(
    ("scores", "rival", "least"),
    [
        (True, True, {"swap": 0.99, "word": 0.97}),
        (True, False, {"swap": 0.99, "word": 0.9}),
        (False, True, {"swap": 0.99, "word": 0.9}),
    ],
)
def test_planted_wrong_transcripts_are_found(kind, scores, rival, least):
    areas = []
    for seed in range(3):
        planted = doubt(kind=kind, seed=seed)
        found = suspect_labels(planted.scored, planted.references if scores else None, planted.rival if rival else None)
        areas.append(area(found, planted.wrong))
    assert np.mean(areas) >= least[kind]


def test_hypotheses_alone_find_swapped_texts():
    planted = doubt(kind="swap")
    assert area(suspect_labels(planted.scored), planted.wrong) >= 0.95


def test_a_ranking_that_knows_nothing_is_a_coin():
    planted = doubt()
    at_random = set(np.random.default_rng(0).choice([u.id for u in planted.scored.manifest], 100, replace=False))
    assert 0.4 < area(suspect_labels(planted.scored, planted.references, planted.rival), at_random) < 0.6


def test_each_signal_is_told_with_its_reason():
    planted = doubt(kind="swap")
    first = suspect_labels(planted.scored, planted.references, planted.rival)[0]
    assert first.id in planted.wrong and first.preference > 1 and first.agreed > 0.3
    assert "prefers what it heard by" in first.reasons[0] and "both recognisers contradict" in first.reasons[1]
    alone = suspect_labels(planted.scored)[0]
    assert alone.preference is None and alone.agreed is None
    assert "what was heard differs in" in alone.reasons[0]


def test_a_transcript_with_no_objection_is_last():
    planted = doubt()
    last = suspect_labels(planted.scored, planted.references, planted.rival)[-1]
    assert last.reasons == [] and last.id not in planted.wrong


def test_a_transcript_that_is_too_long_for_its_audio_stands_out():
    planted = doubt(share=0.0, rate=0.0)
    utterances = list(planted.scored.manifest)
    long = " ".join(["q"] * 60)
    utterances[5] = replace(utterances[5], text=long)
    hypotheses = planted.scored.hypotheses | {utterances[5].id: replace(planted.scored.hypotheses[utterances[5].id], text=long)}
    first = suspect_labels(ScoredSet(Manifest(tuple(utterances)), hypotheses))[0]
    assert first.id == utterances[5].id and "standard deviations off" in first.reasons[0]


def test_a_reference_that_the_graph_cannot_say_is_ranked_by_its_words():
    planted = doubt(kind="swap")
    beyond = next(iter(planted.wrong))
    references = planted.references | {beyond: replace(planted.references[beyond], score=None)}
    found = {one.id: one for one in suspect_labels(planted.scored, references)}
    assert found[beyond].preference is None and found[beyond].suspicion > 0.6


def test_a_failed_search_says_nothing_against_a_transcript():
    planted = doubt(share=0.0)
    key = next(iter(planted.references))
    references = planted.references | {key: replace(planted.references[key], score=0.0)}
    found = {one.id: one for one in suspect_labels(planted.scored, references)}
    assert found[key].preference == 0.0


def test_scores_of_other_texts_and_other_sets_are_refused():
    planted, other = doubt(), doubt(utterances=300)
    with pytest.raises(SpeechbenchError, match="not as its text"):
        suspect_labels(planted.scored, doubt(seed=1, share=0.5).references)
    with pytest.raises(SpeechbenchError, match="other utterances"):
        suspect_labels(planted.scored, rival=other.scored)
    with pytest.raises(SpeechbenchError, match="no utterance has both scores"):
        suspect_labels(planted.scored, {})


def test_outliers_do_not_hide_each_other():
    values = np.array([0.0, 0.1, -0.1, 0.05, -0.05, 0.02, 9.0, 9.0])
    assert (outlying(values) > 3).tolist() == [False] * 6 + [True] * 2
    assert outlying(np.ones(5)).tolist() == [0.0] * 5


def test_a_diagnosis_names_suspects_where_both_systems_contradict():
    planted = doubt(kind="swap")
    document = diagnose({"dev": planted.scored}, versus={"dev": planted.rival}).document()
    assert len(document["suspects"]) == 20
    assert {row["id"] for row in document["suspects"][:15]} <= planted.wrong
    assert all(row["reasons"] and row["rival"] != row["reference"] for row in document["suspects"][:15])
    assert all(row["rival"] is None for row in list_suspects(planted.scored, None))
