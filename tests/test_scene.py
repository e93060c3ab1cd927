import json
import time
from pathlib import Path

import pytest
from made_speech import make_noise, make_speech

from speechbench import manifest
from speechbench.errors import SpeechbenchError
from speechbench.manifest import Manifest, Skipped, Utterance
from synth import recipe, scene
from synth.noise import Noise, NoiseBank
from synth.recipe import Recipe


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


def test_recipes_by_name_file_and_setting(tmp_path):
    assert recipe.load("car").cabin.count == 16
    assert recipe.load("plain", ["snr_db=[3, 4]"]).snr_db == (3.0, 4.0)
    (tmp_path / "own.toml").write_text("copies = 2\n[conditions]\ncity = 2\n[cabin]\ncount = 0\n")
    own = recipe.load(str(tmp_path / "own.toml"))
    assert (own.copies, own.conditions, own.cabin.count) == (2, {"city": 2.0}, 0)
    with pytest.raises(SpeechbenchError, match=r"unknown recipe.*did you mean car"):
        recipe.load("carr")
    with pytest.raises(SpeechbenchError, match="lower value first"):
        recipe.load("car", ["snr_db=[20, -5]"])
    with pytest.raises(SpeechbenchError, match="did you mean snr_db"):
        recipe.load("car", ["snr=[20, -5]"])
