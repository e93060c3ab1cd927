"""A build that is killed at any moment goes on and ends in the bytes of one that was not."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from made_speech import contents, make_noise, make_speech

from speechbench import files, manifest
from speechbench.errors import SpeechbenchError
from synth import build, chunk, containers
from synth.recipe import CabinRanges, Recipe

NAMES = [container.name for container in containers.CONTAINERS]


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(containers, "CONTAINERS", tuple(replace(one, scenes=2) for one in containers.CONTAINERS))


@pytest.fixture
def plan(tmp_path):
    speech = manifest.read(make_speech(tmp_path, [0.3, 0.4, 0.5, 0.3, 0.4]))
    speech.utterances[2].audio_filepath.unlink()
    return build.Plan(speech, [make_noise(tmp_path)], Recipe(cabin=CabinRanges(count=0)))


def build_until_killed(plan, out, step, **how):
    """Build in a child that kills itself before it gives the output's `step`-th file or folder its place, or removes it."""
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        assert status in (0, signal.SIGKILL)
        return status == signal.SIGKILL
    steps = 0

    def watched(function):
        def call(*arguments, **named):
            nonlocal steps
            steps += 1
            if steps == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **named)

        return call

    Path.replace, Path.mkdir, os.rmdir = watched(Path.replace), watched(Path.mkdir), watched(os.rmdir)
    Path.unlink, os.unlink = watched(Path.unlink), watched(os.unlink)
    try:
        build.build(plan, out, **how)
    finally:
        os._exit(0)


def build_until_noted(plan, out, notes, **how):
    """Build in a child that is killed as soon as so many chunks are done."""
    for step in range(1, 100):
        shutil.rmtree(out, ignore_errors=True)
        assert build_until_killed(plan, out, step, **how)
        if len(list((out / "rendered").glob("[0-9]*"))) == notes:
            return
    raise AssertionError("was never killed at that point")


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_killed_before_every_single_step(plan, tmp_path, name, capfd):
    build.build(plan, tmp_path / "whole", container=name)
    whole = contents(tmp_path / "whole")
    step = 1
    while build_until_killed(plan, tmp_path / "out", step, container=name):
        build.build(plan, tmp_path / "out", container=name, resume=True)
        assert contents(tmp_path / "out") == whole, f"killed before step {step}"
        shutil.rmtree(tmp_path / "out")
        step += 1
    assert step > 20


@pytest.mark.slow
def test_killed_while_it_overwrites_another_build(plan, tmp_path, capfd):
    build.build(plan, tmp_path / "whole", container="tar")
    step = 1
    build.build(replace(plan, seed=1), tmp_path / "old")
    old, whole = (contents(tmp_path / name) for name in ("old", "whole"))
    while True:
        shutil.copytree(tmp_path / "old", tmp_path / "out")
        if not build_until_killed(plan, tmp_path / "out", step, container="tar", overwrite=True):
            break
        left = {name: data for name, data in contents(tmp_path / "out").items() if ".part" not in name}
        assert not files.is_finished(tmp_path / "out", "synth") or left in (old, whole)
        build.build(plan, tmp_path / "out", container="tar", overwrite=True)
        assert contents(tmp_path / "out") == whole
        shutil.rmtree(tmp_path / "out")
        step += 1
    assert step > 20


@pytest.mark.parametrize("name", ["flac", pytest.param("tar", marks=pytest.mark.slow)])
def test_what_was_rendered_is_not_rendered_again(plan, tmp_path, name, monkeypatch, capfd):
    build.build(plan, tmp_path / "whole", container=name)
    build_until_noted(plan, tmp_path / "out", 2, container=name)  # of three
    rendered = []
    monkeypatch.setattr(chunk, "rendered", lambda one, suffix: rendered.append(one.id) or true_rendered(one, suffix))
    build.build(plan, tmp_path / "out", container=name, resume=True)
    assert rendered == ["utt02-noisy1", "utt04-noisy1"]  # what could not be used is tried again
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


true_rendered = chunk.rendered


@pytest.mark.slow
def test_a_damaged_shard_is_made_again(plan, tmp_path, capfd):
    build.build(plan, tmp_path / "whole", container="shar")
    build_until_noted(plan, tmp_path / "out", 2, container="shar")
    cuts, audio = (tmp_path / "out" / "shar" / name for name in ("cuts.000000.jsonl.gz", "recording.000000.tar"))
    cuts.write_bytes(b"")
    audio.write_bytes(audio.read_bytes()[:-3000])
    build.build(plan, tmp_path / "out", container="shar", resume=True)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


@pytest.mark.slow
def test_what_a_worker_of_the_killed_build_does_late_changes_nothing(plan, tmp_path, capfd):
    build.build(plan, tmp_path / "whole")
    whole = contents(tmp_path / "whole")
    build_until_noted(plan, tmp_path / "out", 1)
    calls = []

    def run(function, items, jobs):
        for item in items:
            yield function(item)
            (tmp_path / "out" / "audio" / ".late.flac.host.1.part.flac").write_bytes(b"half")
            calls.append((function, item))

    build.build(plan, tmp_path / "out", resume=True, run=run)
    assert contents(tmp_path / "out") == whole
    function, item = calls[0]
    with pytest.raises(FileNotFoundError, match="rendered"):
        function(item)
    assert contents(tmp_path / "out") == whole


@pytest.mark.slow
def test_a_build_goes_on_in_its_own_container_alone(plan, tmp_path, capfd):
    build_until_noted(plan, tmp_path / "out", 1, container="tar")
    with pytest.raises(SpeechbenchError, match="begun with --container tar"):
        build.build(plan, tmp_path / "out", container="shar", resume=True)


PROGRAM = """
import sys
from dataclasses import replace
from pathlib import Path
from speechbench import manifest
from synth import build, containers
from synth.recipe import CabinRanges, Recipe
if __name__ == "__main__":
    speech, noise, out, name = sys.argv[1:]
    containers.CONTAINERS = tuple(replace(one, scenes=2) for one in containers.CONTAINERS)
    plan = build.Plan(manifest.read(speech), [Path(noise)], Recipe(cabin=CabinRanges(count=0)))
    build.build(plan, Path(out), 2, resume=True, container=name)
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["wav", "shar"])
def test_two_workers_killed_at_random_moments(tmp_path, name):
    chance = random.Random(name)
    speech, noise = make_speech(tmp_path, [3.0] * 100), make_noise(tmp_path)
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, tmp_path / "program.py", speech, noise, tmp_path / "out", name]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    for _ in range(3):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, env=environment)
        before = len(list((tmp_path / "out").rglob("*")))
        while process.poll() is None and len(list((tmp_path / "out").rglob("*"))) <= before:
            time.sleep(0.01)  # importing takes longer than the build
        time.sleep(chance.uniform(0.0, 0.1))
        process.kill()
        process.wait()
    subprocess.run(command, check=True, env=environment, stderr=subprocess.DEVNULL)
    plan = build.Plan(manifest.read(speech), [noise], Recipe(cabin=CabinRanges(count=0)))
    build.build(plan, tmp_path / "whole", container=name)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
