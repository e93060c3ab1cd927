import json
from array import array
from pathlib import Path

import pytest

from speechbench.manifest import Manifest, Utterance
from synth import budget, scene
from synth.noise import Noise, NoiseBank
from synth.recipe import ConditionRanges, EventRanges, Recipe


def planned(hours, sources, noise_hours, split=None, copies=1, against=()):
    count = max(1, round(hours * 360))
    speech = Manifest(tuple(Utterance(f"u{n}", Path("/u.wav"), hours * 3600 / count, split=split) for n in range(count)))
    each = noise_hours * 3600 / sources
    bank = NoiseBank(tuple(Noise(f"n{n}", f"/n{n}.wav", 0.0, each, f"car{n}") for n in range(sources)))
    use = budget.Use(bank)
    list(use.watch(scene.draw(speech, bank, Recipe(copies=copies), 0), {u.id: u.split for u in speech}))
    return use.budget(against)


def codes(document):
    return [warning["code"] for warning in document["warnings"]]


def test_one_hour_of_noise_under_forty_of_speech_is_said_in_words():
    found = planned(hours=40, sources=1, noise_hours=1)
    assert found["speech_seconds"] == pytest.approx(40 * 3600)
    assert found["noise_seconds_used"] == pytest.approx(40 * 3600, rel=0.01)
    assert found["unique_noise_seconds_used"] == pytest.approx(3600, rel=0.01)
    assert found["repeats_mean"] == pytest.approx(40, rel=0.02)
    assert 40 <= found["repeats_max"] <= 43
    assert (found["sources"], found["effective_sources"]) == (1, 1.0)
    assert codes(found) == ["NOISE_REUSE", "NOISE_FEW_SOURCES"]
    message = found["warnings"][0]["message"]
    assert "40.0 h of speech over 1.0 h of noise from 1 source: each second used 40 times" in message
    assert "record at least 4.0 h more" in message
    assert "at least 19 more sources" in found["warnings"][1]["message"]


def test_many_unique_hours_from_few_cars_are_warned_of_too():
    found = planned(hours=10, sources=10, noise_hours=20)
    assert found["repeats_max"] == 1
    assert found["effective_sources"] == pytest.approx(10, abs=0.5)
    assert codes(found) == ["NOISE_FEW_SOURCES"]


def test_enough_noise_from_enough_cars_passes():
    found = planned(hours=2, sources=40, noise_hours=2)
    assert found["warnings"] == []
    assert found["repeats_mean"] == pytest.approx(1.0, abs=0.1)


def test_effective_sources_count_unequal_shares():
    scenes = [
        scene.Scene(f"s{n}", f"s{n}", "/u", 0, 9.0, (budget_piece("big" if n < 9 else "small", n),), None, 0.0, -26.0, n)
        for n in range(10)
    ]
    bank = NoiseBank((Noise("big", "/b", 0, 100, "big"), Noise("small", "/s", 0, 100, "small")))
    use = budget.Use(bank)
    list(use.watch(scenes, {}))
    found = use.budget()
    assert found["effective_sources"] == pytest.approx(1 / (0.9**2 + 0.1**2), abs=0.01)
    assert found["noise_seconds_used"] == found["unique_noise_seconds_used"] == pytest.approx(90)


def budget_piece(name, number):
    from synth.noise import Piece

    return Piece(name, f"/{name}", name, None, 9.0 * number, 9.0)


def test_overlapping_stretches_are_counted_exactly():
    assert budget._overlay(array("d", [0, 10, 5, 15, 15, 20, 5, 6])) == (26.0, 20.0, 3)


def test_noise_shared_with_another_build_or_split_is_named(tmp_path):
    speech = Manifest((Utterance("u", Path("/u.wav"), 5.0),))
    bank = NoiseBank((Noise("n", "/n.wav", 0.0, 60.0, "car0"),))
    rows = [json.dumps(one.row(str(tmp_path))) for one in scene.draw(speech, bank, Recipe(), 0)]
    (tmp_path / "scenes.jsonl").write_text("\n".join(rows) + "\n")
    found = planned(hours=2, sources=40, noise_hours=2, against=[tmp_path])
    assert codes(found) == ["NOISE_SPLIT_OVERLAP"]
    assert found["warnings"][0]["sources"] == ["car0"]
    both = Manifest(tuple(Utterance(f"u{n}", Path("/u"), 5.0, split=("train", "dev")[n % 2]) for n in range(40)))
    use = budget.Use(bank)
    list(use.watch(scene.draw(both, bank, Recipe(), 0), {u.id: u.split for u in both}))
    assert "NOISE_SPLIT_OVERLAP" in codes(use.budget())


def test_speech_without_noise_has_a_budget_of_zeros():
    use = budget.Use(NoiseBank((Noise("n", "/n.wav", 0.0, 60.0, "car0"),)))
    speech = Manifest((Utterance("u", Path("/u.wav"), 5.0),))
    list(use.watch(scene.draw(speech, use.bank, Recipe(noise=0.0), 0), {}))
    found = use.budget()
    assert (found["noise_seconds_used"], found["repeats_max"], found["warnings"]) == (0, 0, [])
    assert found["snr_db"]["asked"] is None


@pytest.mark.slow
def test_a_hundred_unique_hours_from_two_cars_are_warned_of():
    found = planned(hours=100, sources=2, noise_hours=101)
    assert found["repeats_max"] <= 2 and found["repeats_mean"] == pytest.approx(1.0, abs=0.02)
    assert codes(found) == ["NOISE_FEW_SOURCES"]
    assert "from 2 sources" in found["warnings"][0]["message"] and "at least 18 more" in found["warnings"][0]["message"]


def test_what_is_never_used_is_counted():
    found = planned(hours=1, sources=40, noise_hours=4)
    assert found["never_used_share"] == pytest.approx(0.75, abs=0.01)
    assert planned(hours=4, sources=40, noise_hours=2)["never_used_share"] < 0.02


def test_each_condition_and_each_event_has_its_figures_and_events_are_no_background():
    conditions = {"city": 60.0, "rain": 30.0}
    bank = NoiseBank(
        (
            *(Noise(f"{c}{n}", f"/{c}{n}", 0.0, each, f"car{n}", c) for c, each in conditions.items() for n in range(5)),
            Noise("h", "/h", 0.0, 1.0, "horn", "horn", event=True),
        )
    )
    speech = Manifest(tuple(Utterance(f"u{n:03d}", Path("/u.wav"), 5.0) for n in range(90)))
    use = budget.Use(bank)
    weights = {"city": ConditionRanges(weight=2.0), "rain": ConditionRanges(weight=1.0)}
    recipe = Recipe(conditions=weights, events={"horn": EventRanges(probability=0.5)})
    list(use.watch(scene.draw(speech, bank, recipe, 0), {}))
    found = use.budget()
    assert list(found["conditions"]) == ["city", "rain"] and list(found["events"]) == ["horn"]
    for key in ("noise_seconds_available", "noise_seconds_used", "unique_noise_seconds_used"):
        assert sum(one[key] for one in found["conditions"].values()) == pytest.approx(found[key], abs=0.01)
    assert found["conditions"]["city"]["noise_seconds_available"] == 300.0
    assert found["conditions"]["city"]["noise_seconds_used"] == pytest.approx(300.0, abs=60.0)
    assert found["events"]["horn"]["repeats_max"] > 10 > found["repeats_max"]
    assert "horn" not in found["source_seconds"]
    rows = {row["noise budget"]: row[""] for row in budget.lines(found)}
    assert "each second" in rows["  city"] and "never used" in rows["  event horn"]
    assert rows["same sound in other splits"] == "not compared: this reads headers alone"


def test_a_source_with_recordings_in_two_splits_is_named_from_the_manifest_alone():
    speech = Manifest((Utterance("u", Path("/u.wav"), 5.0, split="train"),))
    bank = NoiseBank(
        tuple(Noise(split, f"/{split}", 0.0, 60.0, "car0", None, split) for split in ("train", "train-dev", "dev"))
    )
    use = budget.Use(bank)
    list(use.watch(scene.draw(speech, bank, Recipe(), 0), {"u": "train"}))
    (one,) = [warning for warning in use.budget()["warnings"] if warning["code"] == "NOISE_SPLIT_OVERLAP"]
    assert (one["sources"], one["splits"]) == (["car0"], ["dev", "train"])
    assert "1 noise source serves several splits (dev, train): car0" in one["message"]
