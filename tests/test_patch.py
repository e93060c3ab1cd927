import json
from dataclasses import replace

import pytest
from planted_errors import plant
from planted_labels import doubt

from speechbench.diagnostics.patch import Correction, apply_patch, cost, rank, rank_again, read_patch, write_patch
from speechbench.errors import SpeechbenchError


def patch_of(planted):
    texts = {u.id: u.text for u in planted.scored.manifest}
    return tuple(Correction(key, texts[key], planted.truth[key], "heard") for key in sorted(planted.wrong))


def test_a_patch_is_read_as_it_was_written(tmp_path):
    patch = patch_of(doubt())
    write_patch(tmp_path / "p.jsonl", patch)
    assert read_patch(tmp_path / "p.jsonl") == patch
    assert json.loads((tmp_path / "p.jsonl").read_text().splitlines()[0]).keys() == {"id", "old", "new", "reason"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "holds no correction"),
        ("{", "line 1: not JSON"),
        ('{"id": "a", "old": "b", "new": "c"}', "line 1: expected an object with id, old, new, reason"),
        ('{"id": "a", "old": "b", "new": " ", "reason": ""}', "'new' is empty"),
        ('{"id": "a", "old": "b", "new": "c", "reason": ""}\n' * 2, "line 2: corrects 'a' a second time"),
    ],
)
def test_a_broken_patch_is_refused(tmp_path, content, message):
    (tmp_path / "p.jsonl").write_text(content)
    with pytest.raises(SpeechbenchError, match=message):
        read_patch(tmp_path / "p.jsonl")


def test_a_patch_gives_the_truth_back_and_keeps_what_was_there():
    planted = doubt()
    manifest = planted.scored.manifest
    fixed = apply_patch(manifest, patch_of(planted))
    assert {u.id: u.text for u in fixed} == planted.truth
    assert {u.id for u in fixed if "text_before" in u.extra} == planted.wrong
    assert {u.id for u in manifest if u.text != planted.truth[u.id]} == planted.wrong  # the old one is as it was
    with pytest.raises(SpeechbenchError, match="once"):
        apply_patch(fixed, patch_of(planted))
    with pytest.raises(SpeechbenchError, match="lacks 1 utterances of the patch: elsewhere"):
        apply_patch(manifest, (Correction("elsewhere", "a", "b", ""),))


def test_what_wrong_transcripts_cost_adds_up():
    planted = doubt()
    costs = cost(planted.scored, patch_of(planted))
    before = planted.scored.score.total.errors
    fixed = replace(planted.scored, manifest=apply_patch(planted.scored.manifest, patch_of(planted)))
    assert before - fixed.score.total.errors == sum(costs.values()) > 0


def test_systems_closer_than_the_labels_cannot_be_ranked():
    better, why = rank(0.021 - 0.019, 0.001, 0.003, 0.006)
    assert better is None and "cannot be ranked" in why and "0.60" in why
    assert rank(0.021 - 0.012, 0.005, 0.013, 0.006)[0] == "second"
    assert rank(-0.009, -0.013, -0.005, 0.006)[0] == "first"
    assert rank(-0.009, -0.020, 0.002, 0.006)[0] is None
    assert rank(-0.009, None, None, 0.006)[0] is None


def test_corrections_turn_the_ranking_of_two_systems():
    """The first heard the truth, the second what the wrong transcripts say."""
    planted = doubt(share=0.4, rate=0.02)
    said = {u.id: u.text for u in planted.scored.manifest}
    flattered = replace(
        planted.rival, hypotheses={key: replace(h, text=said[key]) for key, h in planted.rival.hypotheses.items()}
    )
    result = rank_again(planted.scored, flattered, patch_of(planted), unchecked=0.0)
    assert result["before"]["difference"] > 0 > result["after"]["difference"]
    assert result["before"]["low"] > 0 and result["better"] == "first"
    assert rank_again(planted.scored, flattered, patch_of(planted), unchecked=0.5)["better"] is None


def test_equal_systems_cannot_be_ranked():
    scored = plant("dev", 0.1)
    assert rank_again(scored, plant("dev", 0.1, seed=1), (), 0.0)["better"] is None
