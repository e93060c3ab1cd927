import json
import os
import signal
import subprocess
import sys
import time
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from made_speech import RATE, contents, make_noise, make_speech, rows_of

from speechbench import audio, files, manifest
from speechbench.errors import SpeechbenchError
from synth import build, chunk, rebuild, recipe
from synth.recipe import CabinRanges, EventRanges, Recipe

RECIPE = Recipe(cabin=CabinRanges(count=2))


@pytest.fixture
def plan(tmp_path):
    speech = manifest.read(make_speech(tmp_path, [0.5, 1.0, 7.0, 2.0, 1.5]))
    return build.Plan(speech, [make_noise(tmp_path)], RECIPE)


def test_a_build_carries_provenance_and_all_that_was_known(plan, tmp_path):
    budget = build.build(plan, tmp_path / "out")
    made = manifest.read(tmp_path / "out" / "manifest.jsonl")
    assert [utterance.extra["clean_id"] for utterance in made] == [f"utt{n:02d}" for n in range(5)]
    for utterance in made:
        clean = plan.speech.by_id[utterance.extra["clean_id"]]
        facts = utterance.extra
        assert (utterance.text, utterance.speaker, facts["labels"]) == (clean.text, "ann", {"accent": "x"})
        assert (tmp_path / "out" / facts["clean_filepath"]).resolve() == clean.audio_filepath
        assert facts["snr_db"] == pytest.approx(facts["snr_db_requested"], abs=0.1)
        assert {"id", "source", "condition", "offset", "gain_db"} <= set(facts["noise"][0])
        assert facts["rir"].startswith("cabin-") and {"snr_db_rms", "output_gain_db", "seed"} <= set(facts)
        assert utterance.duration == clean.duration and utterance.samples().size == round(clean.duration * RATE)
        header = audio.inspect(utterance.audio_filepath)
        assert (header.sampling_rate, header.channels) == (16000, 1)
    assert budget["snr_db"]["measured"]["mean"] == pytest.approx(budget["snr_db"]["asked"]["mean"], abs=0.1)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "audio",
        "manifest.jsonl",
        "scenes.jsonl",
        "noise_budget.json",
        "speechbench.json",
    }


def test_the_noise_that_is_heard_has_the_gain_that_is_said(plan, tmp_path):
    # Oracle: without a cabin and pauses, output minus speech is the noise file times its gain.
    samples = np.random.default_rng(0).normal(0, 0.1, 2 * RATE).astype(np.float32)
    audio.write(plan.speech.utterances[3].audio_filepath, np.clip(samples, -1, 1))
    long = make_noise(tmp_path, sources=1, each=1, seconds=20.0, name="long")
    one = build.Plan(plan.speech.select(lambda u: u.id == "utt03"), [long], Recipe(cabin=CabinRanges(count=0)))
    build.build(one, tmp_path / "out")
    (made,) = manifest.read(tmp_path / "out" / "manifest.jsonl")
    (piece,) = made.extra["noise"]
    noise = audio.read(tmp_path / "long" / f"{piece['id']}.flac", piece["offset"], 2.0) * 10 ** (piece["gain_db"] / 20)
    rest = made.samples().astype(float) - noise
    clean = one.speech.utterances[0].samples().astype(float)
    assert np.corrcoef(rest, clean)[0, 1] > 0.99999
    assert 10 * np.log10((rest @ rest) / (noise @ noise)) == pytest.approx(made.extra["snr_db_requested"], abs=0.1)


def test_one_worker_and_four_write_the_same_bytes(plan, tmp_path):
    # Without a cabin, for four imports of pyroomacoustics take long; test_cabin.py compares those across processes.
    plan = build.Plan(plan.speech, plan.noise, Recipe(cabin=CabinRanges(count=0)))
    build.build(plan, tmp_path / "one", 1)
    build.build(plan, tmp_path / "four", 4)
    assert contents(tmp_path / "one") == contents(tmp_path / "four")


def test_bad_audio_is_listed_by_name_and_the_rest_is_built(plan, tmp_path):
    broken, silent, nan = (plan.speech.utterances[n].audio_filepath for n in (0, 1, 3))
    broken.write_bytes(broken.read_bytes()[:300])
    audio.write(silent, np.zeros(RATE, np.float32))
    import soundfile

    soundfile.write(nan, np.full(2 * RATE, np.nan), RATE, format="WAV", subtype="FLOAT")
    (tmp_path / "noise" / "noise-0-0.flac").unlink()
    build.build(plan, tmp_path / "out")
    skipped = {row["id"]: row["reason"] for row in rows_of(tmp_path / "out" / "skipped.jsonl")}
    assert set(skipped) == {"noise-0-0", "utt00-noisy1", "utt01-noisy1", "utt03-noisy1"}
    assert "silent" in skipped["utt01-noisy1"] and "finite" in skipped["utt03-noisy1"]
    assert len(manifest.read(tmp_path / "out" / "manifest.jsonl")) == 2
    assert json.loads((tmp_path / "out" / "speechbench.json").read_text())["skipped"] == 4


def test_nothing_left_is_an_error_and_leaves_nothing(plan, tmp_path):
    for utterance in plan.speech:
        utterance.audio_filepath.unlink()
    with pytest.raises(SpeechbenchError, match=r"none of the 5 scenes.*no such file"):
        build.build(plan, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_copies_and_clean_twins(plan, tmp_path):
    twice = Recipe(copies=2, keep_clean=True, cabin=CabinRanges(count=1))
    build.build(build.Plan(plan.speech, plan.noise, twice), tmp_path / "out")
    made = manifest.read(tmp_path / "out" / "manifest.jsonl")
    assert len(made) == 15
    assert made.by_id["utt00"].audio_filepath == plan.speech.utterances[0].audio_filepath
    assert made.by_id["utt00-noisy1"].extra["seed"] != made.by_id["utt00-noisy2"].extra["seed"]


def test_strict_stops_before_anything_is_written(plan, tmp_path):
    with pytest.raises(SpeechbenchError, match="NOISE_FEW_SOURCES"):
        build.build(plan, tmp_path / "out", strict=True)
    assert not (tmp_path / "out").exists()


def test_user_files_are_never_overwritten(plan, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    for overwrite in (False, True):
        with pytest.raises(SpeechbenchError):
            build.build(plan, tmp_path / "mine", overwrite=overwrite)
    with pytest.raises(SpeechbenchError, match="which is read to make it"):
        build.build(plan, tmp_path, overwrite=True)
    assert (tmp_path / "mine" / "thesis.txt").exists()
    build.build(plan, tmp_path / "out")
    with pytest.raises(SpeechbenchError, match="exists already"):
        build.build(plan, tmp_path / "out")
    build.build(plan, tmp_path / "out", overwrite=True)


PROGRAM = """
import sys
from pathlib import Path
from speechbench import files, manifest
from synth import build, mix
from synth.recipe import CabinRanges, Recipe
import time
render = mix.render
def slow(scene):
    time.sleep(0.15)
    return render(scene)
mix.render = slow
build.build(build.Plan(manifest.read(sys.argv[1]), [Path(sys.argv[2])], Recipe(cabin=CabinRanges(count=2))), Path(sys.argv[3]))
"""


@pytest.mark.slow
def test_a_killed_build_goes_on_and_ends_in_the_same_bytes(plan, tmp_path):
    speech = make_speech(tmp_path, [0.5] * 30)
    plan = build.Plan(manifest.read(speech), plan.noise, RECIPE)
    out = tmp_path / "killed"
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(speech), str(plan.noise[0]), str(out)], stderr=subprocess.DEVNULL
    )
    while len(list(out.glob("audio/utt*.flac"))) < 4:
        assert process.poll() is None
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    done = sorted(out.glob("audio/utt*.flac"))
    assert 4 <= len(done) < 30 and not files.is_finished(out, "synth")
    done[0].write_bytes(done[0].read_bytes()[:-10])  # a file that exists but is not whole
    (out / "audio" / ".utt07-noisy1.flac.1.part.flac").write_bytes(b"half")
    kept = done[1].stat().st_mtime_ns
    build.build(plan, out, resume=True)
    assert done[1].stat().st_mtime_ns == kept
    build.build(plan, tmp_path / "whole")
    assert contents(out) == contents(tmp_path / "whole")


def test_resume_refuses_other_scenes_and_leaves_a_finished_build_alone(plan, tmp_path):
    build.build(plan, tmp_path / "out")
    before = contents(tmp_path / "out")
    build.build(plan, tmp_path / "out", resume=True)
    with pytest.raises(SpeechbenchError, match="begun with other"):
        build.build(build.Plan(plan.speech, plan.noise, RECIPE, seed=1), tmp_path / "out", resume=True)
    assert contents(tmp_path / "out") == before


def test_rebuild_restores_lost_and_damaged_audio_and_refuses_changed_sources(plan, tmp_path):
    out = tmp_path / "out"
    build.build(plan, out)
    before = contents(out)
    (out / "audio" / "utt00-noisy1.flac").unlink()
    (out / "audio" / "utt01-noisy1.flac").write_bytes(b"damaged")
    states = {row["id"]: row["state"] for row in rebuild.rebuild(out)}
    assert [states[f"utt{n:02d}-noisy1"] for n in range(5)] == ["rebuilt", "rebuilt", "verified", "verified", "verified"]
    assert contents(out) == before
    (out / "audio" / "utt04-noisy1.flac").unlink()
    audio.write(plan.speech.by_id["utt04"].audio_filepath, np.full(24000, 0.1, np.float32))
    (row,) = rebuild.rebuild(out, ["utt04-noisy1"])
    assert row["state"] == "failed" and "other bytes" in row["reason"]
    assert not (out / "audio" / "utt04-noisy1.flac").exists()


def test_a_built_folder_can_be_moved_with_its_sources(plan, tmp_path):
    build.build(plan, tmp_path / "out")
    folders = ("out", "speech", "noise")
    (tmp_path / "moved").mkdir()
    for name in folders:
        (tmp_path / name).rename(tmp_path / "moved" / name)
    (tmp_path / "moved" / "out" / "audio" / "utt00-noisy1.flac").unlink()
    assert [row["state"] for row in rebuild.rebuild(tmp_path / "moved" / "out", ["utt00-noisy1"])] == ["rebuilt"]


def test_events_are_heard_where_and_as_loud_as_it_is_said(plan, tmp_path):
    horns = make_noise(tmp_path, sources=3, each=1, seconds=0.6, name="horn", condition="horn", event=True)
    loud = Recipe(snr_db=(0, 15), events={"horn": EventRanges(1.0, (5, 20))}, cabin=CabinRanges(count=0))
    budget = build.build(build.Plan(plan.speech, [*plan.noise, horns], loud), tmp_path / "out")
    assert budget["events"]["horn"]["noise_seconds_used"] == pytest.approx(
        4 * 0.6 + 0.5
    )  # one utterance is shorter than a horn
    for utterance in manifest.read(tmp_path / "out" / "manifest.jsonl"):
        facts = utterance.extra
        assert facts["snr_db"] == pytest.approx(facts["snr_db_requested"], abs=0.1)
        *background, event = facts["noise"]
        assert event["condition"] == "horn" and all("start" not in piece for piece in background)
        assert event["snr_db"] == pytest.approx(event["snr_db_requested"], abs=0.1)
        # Oracle: what is left of the output without speech and background is the event's file times its gain.
        samples = audio.read(tmp_path / "horn" / f"{event['id']}.flac", event["offset"], event["duration"])
        start, middle = round(event["start"] * RATE), samples[1000 : samples.size - 1000]
        heard = utterance.samples()[start + 1000 : start + samples.size - 1000]
        scale = np.dot(heard, middle) / np.dot(middle, middle)
        others = float(np.sqrt(np.mean(heard**2) / np.mean(middle**2) / middle.size))  # by which chance moves it
        assert scale == pytest.approx(10 ** (event["gain_db"] / 20), abs=6 * others)


def test_a_rebuild_of_events_and_clipped_sums_gives_the_same_bytes(plan, tmp_path):
    horns = make_noise(tmp_path, sources=3, each=1, seconds=0.6, name="horn", condition="horn", event=True)
    louder = Recipe((-20, -10), (-15, -12), clip=True, lombard=0.5, events={"horn": EventRanges(1.0)}, cabin=RECIPE.cabin)
    build.build(build.Plan(plan.speech, [*plan.noise, horns], louder), tmp_path / "out")
    made = manifest.read(tmp_path / "out" / "manifest.jsonl")
    assert all(u.extra["clipped_samples"] > 0 and u.extra["lombard_db"] == 19.95 for u in made)
    assert all(u.extra["output_gain_db"] == 0.0 and np.abs(u.samples()).max() == 1.0 for u in made)
    assert all(u.extra["snr_db"] == pytest.approx(u.extra["snr_db_requested"], abs=0.1) for u in made)
    for path in (tmp_path / "out" / "audio").iterdir():
        path.unlink()
    assert {row["state"] for row in rebuild.rebuild(tmp_path / "out")} == {"rebuilt"}


def test_a_recipe_that_asks_for_what_the_noise_has_not_is_refused(plan, tmp_path):
    with pytest.raises(SpeechbenchError, match=r"unknown noise event 'indicator'; known: none; .*--set events="):
        build.build(build.Plan(plan.speech, plan.noise, recipe.load("city")), tmp_path / "out")
    with pytest.raises(SpeechbenchError, match=r"unknown noise condition 'rain'; known: city, highway"):
        build.build(build.Plan(plan.speech, plan.noise, recipe.load("rain")), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    build.build(build.Plan(plan.speech, plan.noise, recipe.load("city", ["events={}", "cabin.count=0"])), tmp_path / "out")
    made = manifest.read(tmp_path / "out" / "manifest.jsonl")
    assert {piece["condition"] for one in made for piece in one.extra["noise"]} == {"city"}


@pytest.mark.slow
def test_scenes_take_no_memory_however_many_they_are(plan, tmp_path, monkeypatch):
    """What a build holds beyond the manifest that it is given: under 400 bytes for each utterance more."""
    facts = {"samples": 8, "noise_gain_db": 0.0, "output_gain_db": 0.0, "snr_db": 3.0, "snr_db_rms": 3.0, "sha256": "0" * 64}
    facts |= {"events": [], "clipped_samples": 0}
    monkeypatch.setattr(chunk, "rendered", lambda one, _: (b"x", facts | {"id": one.id}))
    one, peaks = plan.speech.utterances[0], []
    for count in (200, 2200, 4200):
        speech = manifest.Manifest(tuple(replace(one, id=f"u{number}") for number in range(count)))
        tracemalloc.start()
        build.build(replace(plan, speech=speech), tmp_path / f"out{count}")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    few, some, many = peaks  # names of files are interned: now and then Python makes its table of all such texts twice as large
    assert min(some - few, many - some) / 2000 < 400
