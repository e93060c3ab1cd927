from dataclasses import replace

import numpy as np
import pytest
from planted_errors import plant

from speechbench.diagnostics.sheet_ear import Ear, Look
from speechbench.errors import SpeechbenchError


def drawn(rate=0.1, wrong=40, utterances=400, seed=0):
    scored = plant("dev", rate, utterances=utterances)
    return scored, Ear.draw(scored, wrong, seed).look(scored, "first")


def later(ear, ear_chance, blackbox_chance, seed):
    """A look after which each error of a part is mended with a chance."""
    rng = np.random.default_rng(seed)
    chances = [ear_chance if n < ear.size else blackbox_chance for n in range(len(ear.ids))]
    errors = tuple(int(rng.binomial(e, 1 - c)) for e, c in zip(ear.looks[0].errors, chances, strict=True))
    return replace(ear, looks=(*ear.looks, Look("later", errors)))


def test_ear_ends_where_it_has_enough_utterances_with_errors_and_is_drawn_the_same_again():
    scored, ear = drawn()
    counts = scored.score.counts
    wrong = [counts[key].errors > 0 for key in ear.ids[: ear.size]]
    assert sum(wrong) == 40 and wrong[-1]
    assert sorted(ear.ids) == sorted(u.id for u in scored.manifest)
    assert Ear.draw(scored, 40, 0).ids == ear.ids != Ear.draw(scored, 40, 1).ids
    assert ear.rate(ear.looks[0]) == pytest.approx(scored.score.total.rate)


def test_ear_is_at_most_half_of_dev():
    _, ear = drawn(wrong=10_000)
    assert ear.size == 200


def test_a_set_without_errors_has_nothing_to_read():
    with pytest.raises(SpeechbenchError, match="has no errors"):
        Ear.draw(plant("dev", 0.0), 10, 0)


def test_another_set_is_no_look_at_this_ear():
    _, ear = drawn()
    with pytest.raises(SpeechbenchError, match="name another file with --ear"):
        ear.look(plant("test", 0.1, utterances=400), "x")


def test_ear_is_burnt_when_only_its_own_errors_were_mended():
    _, ear = drawn()
    assert ear.judge()["burnt"] is False and ear.judge()["looks"] == 1
    burnt = later(ear, 0.8, 0.1, 1).judge()
    assert burnt["burnt"] is True and burnt["low"] > 0 and "draw another" in burnt["sentence"]
    assert burnt["ear"] < burnt["blackbox"]


def test_a_gain_that_both_parts_share_is_no_reason_for_alarm():
    _, ear = drawn()
    burnt = [later(ear, 0.5, 0.5, seed).judge()["burnt"] for seed in range(60)]
    assert np.mean(burnt) <= 0.08  # 2.5 % are asked for; 5 of 60 by chance once in 70 times


def test_ear_is_written_and_read_as_it_is(tmp_path):
    _, ear = drawn()
    ear.write(tmp_path / "ear.json")
    assert Ear.read(tmp_path / "ear.json") == ear
    (tmp_path / "other.json").write_text('{"ids": ["a"], "words": [1, 2], "size": 1, "looks": []}')
    with pytest.raises(SpeechbenchError, match="is no Ear"):
        Ear.read(tmp_path / "other.json")
