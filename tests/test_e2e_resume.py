"""A training that is killed at any moment goes on and ends in the bytes of one that was not."""

import json
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import click
import pytest
from made_speech import make_noise
from toy_language import SMALL, make_corpus, train

from pipelines import tensors
from pipelines.ctc import checkpoint
from pipelines.ctc.step import Stepper
from speechbench import manifest
from speechbench.errors import SpeechbenchError
from speechbench.run import Run

BRIEF = ("training.epochs=3", "training.look_every=1", "training.batch_seconds=4", "training.checkpoint_seconds=0")


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    return make_corpus(folder, "train", 12, "characters"), make_corpus(folder, "dev", 3, "characters", seed=1)


@pytest.fixture(scope="module")
def whole(sets, tmp_path_factory):
    return made_of(train("e2e", *sets, tmp_path_factory.mktemp("whole") / "run", *BRIEF))


def made_of(run):
    """All that a training has made, by name; provenance knows the command."""
    files = (path for path in run.rglob("*") if path.is_file() and path.name != "provenance.json")
    return {str(path.relative_to(run)): path.read_bytes() for path in files}


def train_until_killed(place, name, count, sets, out, *settings, mode="e2e"):
    """Train in a child that kills itself before its `count`-th call of a method; whether it was."""
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        assert status in (0, signal.SIGKILL)
        return status == signal.SIGKILL
    calls, method = 0, getattr(place, name)

    def watched(*arguments, **named):
        nonlocal calls
        calls += 1
        if calls == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return method(*arguments, **named)

    setattr(place, name, watched)
    try:
        train(mode, *sets, out, *settings)
        os._exit(0)
    finally:
        os._exit(1)


def test_killed_in_mid_epoch(sets, whole, tmp_path, capfd):
    out = tmp_path / "run"
    assert train_until_killed(Stepper, "step", 12, sets, out, *BRIEF)
    progress, _ = checkpoint.load(out / "checkpoint.safetensors", "e2e")
    assert (progress.epoch, progress.steps) == (2, 11) and progress.batches > 0
    assert train_until_killed(Stepper, "step", 3, sets, out, *BRIEF, "--resume")
    train("e2e", *sets, out, *BRIEF, "--resume")
    assert "goes on after step 13 of" in capfd.readouterr().err
    assert made_of(out) == whole


def test_killed_while_a_checkpoint_is_written(sets, whole, tmp_path):
    out = tmp_path / "run"
    assert train_until_killed(tensors.torch.Tensor, "numpy", 60, sets, out, *BRIEF)
    assert list(out.glob(".checkpoint.safetensors.*.part*"))
    train("e2e", *sets, out, *BRIEF, "--resume")
    assert made_of(out) == whole


@pytest.mark.slow
def test_killed_before_every_single_file(sets, whole, tmp_path):
    count, out = 1, tmp_path / "run"
    while train_until_killed(Path, "replace", count, sets, out, *BRIEF):
        train("e2e", *sets, out, *BRIEF, "--resume")
        assert made_of(out) == whole, f"killed before file {count}"
        shutil.rmtree(out)
        count += 1
    assert count > 20


def test_a_finished_run_is_left_alone(sets, tmp_path, capfd):
    out = train("e2e", *sets, tmp_path / "run", "training.epochs=1")
    before = made_of(out)
    train("e2e", *sets, out, "training.epochs=1", "--resume")
    assert "is finished already" in capfd.readouterr().err
    assert made_of(out) == before
    with pytest.raises(SpeechbenchError, match="exists already"):
        train("e2e", *sets, out, "training.epochs=1")


def test_another_training_is_not_gone_on_with(sets, tmp_path):
    out = tmp_path / "run"
    assert train_until_killed(Stepper, "step", 2, sets, out, *BRIEF)
    with pytest.raises(SpeechbenchError, match=r"was begun with training = .*resume with the same, or name another"):
        train("e2e", *sets, out, *BRIEF, "training.epochs=4", "--resume")
    with pytest.raises(SpeechbenchError, match="other lines in its train manifest"):
        train("e2e", sets[1], sets[1], out, *BRIEF, "--resume")
    noise = make_noise(tmp_path)
    with pytest.raises(SpeechbenchError, match="was begun with recipe = None"):
        train("e2e", *sets, out, *BRIEF, f"--noise={noise}", "--resume")


def test_checkpoints_that_do_not_fit_are_named(sets, tmp_path):
    out = tmp_path / "run"
    assert train_until_killed(Stepper, "step", 3, sets, out, *BRIEF)
    kept = out / "checkpoint.safetensors"
    good = kept.read_bytes()
    for bad, message in [
        (good[:-10], "is no whole safetensors file; remove it, or make it again"),
        (
            good.replace(b'\\"speechbench training by CTC\\", 1,', b'\\"speechbench training by CTC\\", 9,'),
            "version 9, expected 1",
        ),
        (good.replace(b'1, \\"e2e\\"', b'1, \\"ctc\\"'), "mode 'ctc', expected 'e2e'"),
    ]:
        assert bad != good
        kept.write_bytes(bad)
        with pytest.raises(SpeechbenchError, match=rf"checkpoint\.safetensors: .*{message}"):
            train("e2e", *sets, out, *BRIEF, "--resume")
    kept.unlink()
    train("e2e", *sets, out, *BRIEF, "--resume")
    assert Run.open(out).metrics()


NOISY = (*BRIEF, "training.epochs=2")


def live(sets, noise, out, *flags):
    return train("e2e", *sets, out, *NOISY, "--noise=" + str(noise), "--recipe=plain", *flags)


@pytest.mark.parametrize("devices", [{"cuda"}, pytest.param({"cpu"}, marks=pytest.mark.slow)], ids=["threads", "apart"])
def test_fresh_noise_each_epoch_the_same_after_a_stop(sets, tmp_path, monkeypatch, devices):
    noise, out = make_noise(tmp_path), tmp_path / "stopped"
    flags = ("--noise=" + str(noise), "--recipe=plain")
    expected = made_of(live(sets, noise, tmp_path / "whole"))  # read by threads
    monkeypatch.setattr("speechbench.cli.training.APART", devices)
    assert train_until_killed(Stepper, "step", 6, sets, out, *NOISY, *flags)
    live(sets, noise, out, "--resume")
    assert made_of(out) == expected
    clean = made_of(train("e2e", *sets, tmp_path / "clean", *NOISY))
    assert clean["network.safetensors"] != expected["network.safetensors"]
    provenance = json.loads((out / "provenance.json").read_text())
    assert provenance["manifests"]["noise-1"]["path"] == str(noise)
    assert provenance["recipe"]["cabin"]["count"] == 0


def test_scenes_that_cannot_be_rendered_are_named_and_left_out(sets, tmp_path):
    rows = list(manifest.read(sets[0]))
    rows[3] = replace(rows[3], id="gone", audio_filepath=tmp_path / "gone.flac")
    manifest.Manifest(tuple(rows)).write(tmp_path / "train.jsonl")
    out = live((tmp_path / "train.jsonl", sets[1]), make_noise(tmp_path), tmp_path / "run")
    (row,) = [json.loads(line) for line in (out / "skipped.jsonl").read_text().splitlines()]
    assert row["id"].startswith("gone") and "no such file" in row["reason"]


def test_noise_is_for_end_to_end(sets, tmp_path):
    with pytest.raises(click.UsageError, match="--noise is for --mode e2e"):
        train("pipeline", *sets, tmp_path / "run", "--noise=" + str(make_noise(tmp_path)))


def test_a_pipelines_network_trained_by_ctc_goes_on_too(tmp_path):
    sets = [make_corpus(tmp_path, name, count, "phonemes", seed=count) for name, count in (("train", 8), ("dev", 2))]
    settings = ("acoustic=ctc", *(f"ctc.{setting}" for setting in (*SMALL["e2e"], *BRIEF)))
    whole, out = train("pipeline", *sets, tmp_path / "whole", *settings), tmp_path / "run"
    assert train_until_killed(Stepper, "step", 6, sets, out, *settings, mode="pipeline")
    assert (out / "checkpoint.safetensors").is_file()
    train("pipeline", *sets, out, *settings, "--resume")
    assert made_of(out) == made_of(whole)
