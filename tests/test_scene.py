import json
import time
from pathlib import Path

import pytest
from made_speech import make_noise, make_speech

from speechbench import manifest
from speechbench.manifest import Manifest, Skipped, Utterance
from synth import scene
from synth.noise import Noise, NoiseBank
from synth.recipe import ConditionRanges, EventRanges, Recipe
from synth.spread import Spread


@pytest.fixture
def speech(tmp_path):
    return manifest.read(make_speech(tmp_path, [0.5, 1.0, 4.0]))


@pytest.fixture
def bank(tmp_path):
    return NoiseBank.load([make_noise(tmp_path)], Skipped())


def test_a_draw_repeats_and_another_seed_differs(speech, bank):
    assert list(scene.draw(speech, bank, Recipe(), 0)) == list(scene.draw(speech, bank, Recipe(), 0))
    assert list(scene.draw(speech, bank, Recipe(), 0)) != list(scene.draw(speech, bank, Recipe(), 1))


def test_the_order_of_the_manifests_changes_nothing(speech, bank):
    turned = Manifest(speech.utterances[::-1])
    turned_bank = NoiseBank(bank.recordings[::-1])
    assert list(scene.draw(turned, turned_bank, Recipe(), 0)) == list(scene.draw(speech, bank, Recipe(), 0))


def test_an_utterance_keeps_its_snr_level_and_cabin_when_others_leave(speech, bank):
    alone = speech.select(lambda utterance: utterance.id == "utt02")
    (one,) = scene.draw(alone, bank, Recipe(), 0)
    among = next(other for other in scene.draw(speech, bank, Recipe(), 0) if other.id == one.id)
    assert (one.snr_db, one.level_dbfs, one.cabin, one.seed) == (among.snr_db, among.level_dbfs, among.cabin, among.seed)


def test_every_row_draws_its_own_noise_snr_and_level(bank):
    speech = Manifest(tuple(Utterance(f"u{n}", Path("/u.wav"), 1.0) for n in range(60)))
    scenes = list(scene.draw(speech, bank, Recipe(copies=2, snr_db=(0, 10)), 0))
    assert len({one.id for one in scenes}) == 120
    assert len({(one.noise[0].id, one.noise[0].offset) for one in scenes}) > 50
    snrs = [one.snr_db for one in scenes]
    assert min(snrs) < 1 and max(snrs) > 9 and all(0 <= snr <= 10 for snr in snrs)


def test_a_scene_survives_its_json_line(speech, bank, tmp_path):
    for one in scene.draw(speech, bank, Recipe(), 0):
        assert scene.Scene.of(json.loads(json.dumps(one.row(str(tmp_path / "x")))), str(tmp_path / "x")) == one


def test_a_share_of_the_speech_can_stay_without_noise(bank):
    speech = Manifest(tuple(Utterance(f"u{n}", Path("/u.wav"), 1.0) for n in range(200)))
    bare = [one for one in scene.draw(speech, bank, Recipe(noise=0.7), 0) if not one.noise]
    assert 40 <= len(bare) <= 80
    assert all(one.snr_db is None for one in bare)


def test_ids_become_file_names_that_differ(bank):
    names = ["a/b", "a_b", "A_B", "../up", "x" * 300]
    speech = Manifest(tuple(Utterance(name, Path("/u.wav"), 1.0) for name in names))
    ids = [one.id for one in scene.draw(speech, bank, Recipe(), 0)]
    assert len({name.lower() for name in ids}) == 5
    assert all("/" not in name and not name.startswith(".") and len(name) < 210 for name in ids)


def test_planning_is_fast():
    # 1,000 h of utterances of 10 s are 360,000; they must be planned in 30 s, and this machine may be three times slower.
    speech = Manifest(tuple(Utterance(f"u{n:05d}", Path("/u.wav"), 10.0) for n in range(4000)))
    bank = NoiseBank(tuple(Noise(f"n{n}", f"/n{n}.wav", 0.0, 60.0, f"car{n % 40}", "city") for n in range(2000)))
    start = time.process_time()
    assert sum(1 for _ in scene.draw(speech, bank, Recipe(), 0)) == 4000
    assert time.process_time() - start < 1.0


EVENTS = {"horn": EventRanges(0.5, (0.0, 10.0)), "wiper": EventRanges(0.9, (0.0, 10.0), ("rain",))}


@pytest.fixture
def noisy_roads():
    """Backgrounds under two conditions and events of two kinds."""
    roads = [Noise(f"{c}{n}", f"/{c}{n}", 0.0, 60.0, f"car{n}", c) for c in ("city", "rain") for n in range(5)]
    sounds = [Noise(f"{e}{n}", f"/{e}{n}", 0.0, 1.0 + n, f"car{n}", e, event=True) for e in EVENTS for n in range(5)]
    return NoiseBank((*roads, *sounds))


def many(count, seconds=4.0):
    return Manifest(tuple(Utterance(f"u{n}", Path("/u.wav"), seconds) for n in range(count)))


def test_events_come_by_their_probability_within_the_speech_and_under_their_conditions(noisy_roads):
    both = {"city": ConditionRanges(), "rain": ConditionRanges()}
    scenes = list(scene.draw(many(400), noisy_roads, Recipe(conditions=both, events=EVENTS), 0))
    horns = [one for one in scenes if any(event.piece.condition == "horn" for event in one.events)]
    wipers = [one for one in scenes if any(event.piece.condition == "wiper" for event in one.events)]
    rain = [one for one in scenes if one.noise[0].condition == "rain"]
    assert 160 < len(horns) < 240
    assert all(one in rain for one in wipers) and 0.8 < len(wipers) / len(rain) < 0.97
    for event in (event for one in scenes for event in one.events):
        assert 0.0 <= event.start <= 4.0 - event.piece.duration + 1e-4
    assert len({event.start for one in scenes for event in one.events if event.piece.duration < 4}) > 200
    pieces = [piece.id for one in scenes for piece, _ in one.heard]
    assert {"horn0", "wiper4", "city0"} <= set(pieces)


def test_a_condition_may_have_an_snr_of_its_own(noisy_roads):
    both = {"city": ConditionRanges(3.0), "rain": ConditionRanges(1.0, Spread(values=(-3.0, -6.0)))}
    scenes = list(scene.draw(many(200), noisy_roads, Recipe(snr_db=(5, 10), conditions=both), 0))
    assert {one.snr_db for one in scenes if one.noise[0].condition == "rain"} == {-3.0, -6.0}
    city = [one.snr_db for one in scenes if one.noise[0].condition == "city"]
    assert len(city) > 120 and min(city) >= 5.0 and max(city) <= 10.0


def test_events_leave_the_background_its_share(noisy_roads):
    loud = Recipe(snr_db=(20, 20), events={"horn": EventRanges(1.0, (0.0, 0.0)), "wiper": EventRanges(1.0, (6.0, 6.0))})
    for one in scene.draw(many(50), noisy_roads, loud, 0):
        shares = [10 ** ((20.0 - event.snr_db) / 10) * event.piece.duration / 4.0 for event in one.events]
        assert sum(shares) == pytest.approx(0.8, abs=0.001)
        assert one.events[1].snr_db - one.events[0].snr_db == pytest.approx(6.0, abs=0.002)  # all alike
    quiet = Recipe(snr_db=(0, 0), events={"horn": EventRanges(1.0, (6.0, 6.0))})
    assert {event.snr_db for one in scene.draw(many(50), noisy_roads, quiet, 0) for event in one.events} == {6.0}


def test_another_event_in_the_recipe_leaves_the_rest_as_it_was(noisy_roads):
    one = list(scene.draw(many(50), noisy_roads, Recipe(events={"horn": EVENTS["horn"]}), 0))
    two = list(scene.draw(many(50), noisy_roads, Recipe(events=EVENTS | {"wiper": EventRanges(0.5)}), 0))
    assert [(a.snr_db, a.level_dbfs, a.cabin, a.noise) for a in one] == [
        (b.snr_db, b.level_dbfs, b.cabin, b.noise) for b in two
    ]
    horns = [[event.piece for event in a.events if event.piece.condition == "horn"] for a in two]
    assert horns == [[event.piece for event in a.events] for a in one]


def test_a_full_scene_survives_its_json_line(noisy_roads, tmp_path):
    recipe = Recipe(events=EVENTS | {"wiper": EventRanges(0.5)}, lombard=0.5, clip=True)
    drawn = list(scene.draw(many(30), noisy_roads, recipe, 0))
    assert {len(one.events) for one in drawn} == {0, 1, 2} and any(one.lombard_db for one in drawn)
    for one in drawn:
        assert scene.Scene.of(json.loads(json.dumps(one.row(str(tmp_path)))), str(tmp_path)) == one
