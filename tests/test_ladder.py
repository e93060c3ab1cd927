"""Ladders with planted causes: a scripted recogniser fails on one thing alone, and the ladder names it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from made_speech import make_noise, make_speech

import pipelines.modes
from speechbench import audio, manifest
from speechbench.cli import diagnosis
from speechbench.diagnostics.ladder import Ladder, measure_ladder
from speechbench.diagnostics.scored import ScoredSet
from speechbench.errors import SpeechbenchError
from speechbench.files import mark, write_json
from speechbench.manifest import Manifest
from speechbench.recognizer import Hypothesis
from synth import recipe
from synth.build import Plan, build
from synth.ladder import Seen, at_snr, differing, rungs, scenes_of
from synth.mix import render
from synth.scene import Event

UTTERANCES = 24
SECONDS = 1.2


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Speech of eight speakers in a car, and a training set in other cars of which there are three."""
    folder = tmp_path_factory.mktemp("ladder")
    speech = manifest.read(make_speech(folder, [SECONDS] * UTTERANCES))
    rows = [replace(u, text=f"{u.text} of {u.id}", speaker=f"s{n % 8}") for n, u in enumerate(speech)]
    Manifest(tuple(rows)).write(folder / "speech.jsonl")
    speech = manifest.read(folder / "speech.jsonl")
    small = recipe.load("car", ["cabin.count=2", "snr_db=[0,10]", "copies=1"])
    for name, sources in (("seen", 3), ("own", 8)):
        noise = make_noise(folder, sources=sources, each=2, seconds=2.0, name=name)
        build(Plan(speech, [noise], small, seed=1), folder / "car" / name)
    return folder


@pytest.fixture(scope="module")
def dev(built):
    return manifest.read(built / "car" / "own" / "manifest.jsonl")


@pytest.fixture(scope="module")
def seen(built):
    return Seen.of(scenes_of(manifest.read(built / "car" / "seen" / "manifest.jsonl")).values())


@pytest.fixture(scope="module")
def ladders(dev, seen):
    scenes = scenes_of(dev)
    return {u.id: rungs(scenes[u.id], seen, 0) for u in dev}


def test_each_rung_changes_one_thing(dev, ladders):
    for utterance in dev:
        ladder = ladders[utterance.id]
        clean, room, noisy, own, top = (ladder[name] for name in ("clean", "room", "seen_noise", "own_noise", "level"))
        assert (clean.cabin, clean.noise, clean.snr_db) == (None, (), None)
        assert replace(room, cabin=None) == clean
        assert room.cabin == top.cabin and not room.noise
        assert replace(noisy, noise=own.noise) == own
        assert replace(own, level_dbfs=top.level_dbfs) == top
        assert {piece.source for piece in noisy.noise} < {f"seen-car{n}" for n in range(3)}
        assert {piece.condition for piece in noisy.noise} == {own.noise[0].condition}
        assert all(piece.source.startswith("own-") for piece in own.noise)


def test_rungs_sound_as_they_say(dev, ladders):
    ladder = ladders[next(iter(dev)).id]
    clean = audio.read(Path(ladder["clean"].clean_filepath))
    np.testing.assert_allclose(render(ladder["clean"]).sum, clean - clean.mean(), atol=2e-4)
    assert render(ladder["seen_noise"]).snr_db == pytest.approx(ladder["level"].snr_db, abs=0.1)
    np.testing.assert_array_equal(render(ladder["level"]).sum, audio.read(next(iter(dev)).audio_filepath))
    assert render(at_snr(ladder["level"], -5.0)).snr_db == pytest.approx(-5.0, abs=0.1)


def test_seen_noise_lasts_as_long_as_the_speech_whatever_the_pieces_are(dev, ladders, seen):
    short = Seen({key: tuple(replace(p, duration=0.3) for p in some[:2]) for key, some in seen.backgrounds.items()}, {})
    for one in (ladder["own_noise"] for ladder in ladders.values()):
        noise = short.under(one, 0).noise
        assert sum(piece.duration for piece in noise) - 0.02 * (len(noise) - 1) >= SECONDS
        assert len({piece.source for piece in noise}) == 1
        assert render(short.under(one, 0)).noise.size == round(SECONDS * audio.SAMPLING_RATE)


def test_noise_of_a_condition_that_was_never_seen_gets_another(dev, ladders, seen):
    city = Seen({"city": seen.backgrounds["city"]}, {})
    assert {p.condition for ladder in ladders.values() for p in city.under(ladder["own_noise"], 0).noise} == {"city"}


def test_events_become_seen_ones_of_their_kind_no_longer_than_they_were(ladders, seen):
    own = next(iter(ladders.values()))["own_noise"]
    horn, wiper = (Event(replace(own.noise[0], condition=name, duration=0.3), 0.2, 15.0) for name in ("horn", "wiper"))
    heard = replace(seen.backgrounds["city"][0], condition="horn", duration=1.0)
    found = Seen(seen.backgrounds, {"horn": (heard,)}).under(replace(own, events=(horn, wiper)), 0)
    (event,) = found.events
    assert event == replace(horn, piece=replace(heard, duration=0.3))
    assert render(found).snr_db == pytest.approx(own.snr_db, abs=0.1)
    moved = at_snr(found, found.snr_db - 4.0)
    assert moved.events[0].snr_db == pytest.approx(11.0)
    assert render(moved).events[0].snr_db == pytest.approx(11.0, abs=0.1)


def test_a_raised_voice_has_a_rung_of_its_own(dev, seen):
    loud = {key: replace(one, lombard_db=8.0) for key, one in scenes_of(dev).items()}
    ladders = [rungs(one, seen, 0) for one in loud.values()]
    assert list(differing(ladders)) == ["clean", "raised_voice", "room", "seen_noise", "own_noise", "level"]
    assert all(replace(ladder["raised_voice"], lombard_db=0.0) == ladder["clean"] for ladder in ladders)


def test_rungs_that_change_nothing_are_left_out(ladders):
    assert list(differing(ladders.values())) == ["clean", "room", "seen_noise", "own_noise", "level"]
    dry = [{name: replace(one, cabin=None) for name, one in ladder.items()} for ladder in ladders.values()]
    assert list(differing(dry)) == ["clean", "seen_noise", "own_noise", "level"]


FAILS = {  # on what a scripted recogniser fails, told by the scene on each rung
    "room": lambda one: one.cabin is not None,
    "noise_type": lambda one: bool(one.noise),
    "unseen_source": lambda one: any(piece.source.startswith("own-") for piece in one.noise),
    "level": lambda one: one.level_dbfs == round(one.level_dbfs, 3) and bool(one.clip),
}


def scripted(dev, ladders, fails, wrong=0.6):
    """What a recogniser hears that drops a word where it fails, and often one anyhow."""
    chances = np.random.default_rng(0).random(len(dev))
    sets = {}
    for name in differing(ladders.values()):
        hypotheses = {}
        for utterance, chance in zip(dev, chances, strict=True):
            words = utterance.words[int(chance < 0.3) :]
            if fails(ladders[utterance.id][name]) and chance < wrong:
                words = words[:-1]
            hypotheses[utterance.id] = Hypothesis(utterance.id, " ".join(words))
        sets[name] = ScoredSet(dev, hypotheses)
    return sets


@pytest.mark.parametrize("cause", ["room", "noise_type", "unseen_source", "level"])
def test_the_planted_cause_is_the_only_step(dev, ladders, cause):
    clipped = {key: ladder | {"level": replace(ladder["level"], clip=True)} for key, ladder in ladders.items()}
    document = measure_ladder(Ladder(scripted(dev, clipped, FAILS[cause]), len(dev)), None, 0)
    steps = {row["name"]: row for row in document["steps"]}
    assert list(steps) == ["room", "noise_type", "unseen_source", "level"]
    assert {name for name, row in steps.items() if row["separable"]} == {cause}
    assert steps[cause]["share"] == pytest.approx(1.0)
    assert steps[cause]["low"] <= steps[cause]["value"] <= steps[cause]["high"]
    assert sum(row["value"] for row in steps.values()) == pytest.approx(document["whole"]["value"])
    (advice,) = document["advice"]
    assert advice["ceiling"] == pytest.approx(steps[cause]["value"])
    json.dumps(document, allow_nan=False)


def test_a_recogniser_that_nothing_disturbs_gets_no_advice(dev, ladders):
    document = measure_ladder(Ladder(scripted(dev, ladders, lambda one: False), len(dev)), None, 0)
    assert document["advice"] == []
    assert all(not row["separable"] and row["value"] == 0 for row in document["steps"])
    assert document["whole"]["separable"] is None


class Scripted:
    """Tells from the samples alone whether there is noise: the quietest tenth of the frames is loud."""

    def transcribe(self, data, skipped, request=None):
        for utterance in data:
            frames = utterance.samples()[: 160 * 100].reshape(-1, 160)
            levels = 10 * np.log10(np.square(frames).mean(axis=1) + 1e-12)
            noisy = np.quantile(levels, 0.1) > np.quantile(levels, 0.9) - 25
            yield Hypothesis(utterance.id, utterance.text.split()[0] if noisy else utterance.text)


@pytest.fixture
def command(built, dev, tmp_path, monkeypatch):
    """`diagnose` with a run whose recogniser is scripted."""
    monkeypatch.setattr(pipelines.modes, "open_recognizer", lambda run: Scripted())
    train = {"path": str(built / "car" / "seen" / "manifest.jsonl")}
    write_json(tmp_path / "run" / "provenance.json", {"manifests": {"train": train}})
    mark(tmp_path / "run", "run")

    def call(path, *options):
        sets = ("--dev", path, "--out", tmp_path / "out", "--overwrite", "--format", "json", *options)
        result = CliRunner().invoke(diagnosis.diagnose, [str(a) for a in (tmp_path / "run", *sets)])
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return json.loads(result.stdout)

    return call


@pytest.mark.slow
def test_from_the_command_line(built, command, tmp_path):
    document = command(built / "car" / "own" / "manifest.jsonl", "--ladder", "--most", "20", "--snr-sweep", "40,0")["ladder"]
    assert (document["utterances"], document["of"]) == (20, UTTERANCES)
    assert [row["name"] for row in document["rungs"]] == ["clean", "room", "seen_noise", "own_noise", "level"]
    assert max(document["steps"], key=lambda row: row["value"])["name"] == "noise_type"
    assert sum(row["value"] for row in document["steps"]) == pytest.approx(document["whole"]["value"], abs=1e-5)
    assert "Training heard noise of 3 sources." in document["notes"]
    rates = {row["snr_db"]: row["rate"] for row in document["snr_sweep"] if row["condition"] == "all"}
    assert rates[0.0] > 0.5 > 0.1 > rates[40.0]
    assert {row["condition"] for row in document["snr_sweep"]} == {"all", "city", "highway"}
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "run" / "hypotheses").glob("ladder-*")}
    assert len(kept) == 6
    command(built / "car" / "own" / "manifest.jsonl", "--ladder", "--most", "20", "--snr-sweep", "40,0")
    assert kept == {path: path.stat().st_mtime_ns for path in (tmp_path / "run" / "hypotheses").glob("ladder-*")}


def test_a_training_without_noise_has_no_seen_sources(built, command, tmp_path):
    train = {"path": str(built / "speech.jsonl")}
    write_json(tmp_path / "run" / "provenance.json", {"manifests": {"train": train}})
    document = command(built / "car" / "own" / "manifest.jsonl", "--ladder")["ladder"]
    assert [row["name"] for row in document["steps"]] == ["room", "noise", "level"]
    assert any("type and source of noise are one step" in note for note in document["notes"])


def test_recordings_that_were_not_synthesised_say_what_is_needed(built, command):
    with pytest.raises(SpeechbenchError, match=r"speech.jsonl: .*needs clean twins: make dev with 'speechbench synth'"):
        command(built / "speech.jsonl", "--ladder")


def test_a_twin_that_is_gone_is_counted(built, command, tmp_path):
    copy = tmp_path / "copy"
    (copy / "audio").mkdir(parents=True)
    lines = (built / "car" / "own" / "scenes.jsonl").read_text().splitlines()
    spoilt = [json.loads(line) for line in lines]
    for row in spoilt:
        row["clean_filepath"] = str((built / "car" / "own" / row["clean_filepath"]).resolve())
        for piece in row["noise"]:
            piece["audio_filepath"] = str((built / "car" / "own" / piece["audio_filepath"]).resolve())
    spoilt[0]["clean_filepath"] = "gone.flac"
    (copy / "scenes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in spoilt))
    (copy / "manifest.jsonl").write_bytes((built / "car" / "own" / "manifest.jsonl").read_bytes())
    for path in (built / "car" / "own" / "audio").iterdir():
        (copy / "audio" / path.name).symlink_to(path)
    document = command(copy / "manifest.jsonl", "--ladder")["ladder"]
    assert document["utterances"] == UTTERANCES - 1
    assert f"1 of {UTTERANCES} utterances could not be rendered or heard on every rung." in document["notes"]


@pytest.mark.parametrize("options", [["--snr-sweep", "10"], ["--ladder", "--snr-sweep", "x"]])
def test_usage(built, tmp_path, options):
    arguments = [str(tmp_path), "--dev", str(built / "speech.jsonl"), "--out", str(tmp_path / "o"), *options]
    assert CliRunner().invoke(diagnosis.diagnose, arguments).exit_code == 2
