"""Scenes read in a process of its own: the same as by threads, and nothing is left of it."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from made_speech import RATE, make_noise, make_speech

from speechbench import audio, manifest
from speechbench.errors import SpeechbenchError
from speechbench.manifest import Skipped
from synth import build, cabin
from synth.apart import POSSIBLE, apart
from synth.live import Live
from synth.reading import Reader
from synth.recipe import CabinRanges, EventRanges, Recipe

RECIPE = Recipe(cabin=CabinRanges(count=2), events={"horn": EventRanges(0.7, (0, 15))}, lombard=0.3)
LENGTHS = [0.5, 1.0, 3.0, 2.0, 1.5, 0.7, 2.5]

pytestmark = pytest.mark.skipif(not POSSIBLE, reason="memory without a name is Linux's")


@pytest.fixture
def plan(tmp_path):
    speech = manifest.read(make_speech(tmp_path, LENGTHS))
    horns = make_noise(tmp_path, sources=2, each=1, seconds=0.6, name="horn", condition="horn", event=True)
    return build.Plan(speech, [make_noise(tmp_path), horns], RECIPE)


@pytest.fixture(scope="module", params=[1, pytest.param(3, marks=pytest.mark.slow)])
def reader(request):
    """Processes that none of the tests harms."""
    with apart(request.param) as reader:
        yield reader


def in_pairs(live, epoch):
    scenes = live.scenes(epoch)
    return [scenes[start : start + 2] for start in range(0, len(scenes), 2)]


def rendered(live, epochs, pause=0.0):
    """All batches; what lies in memory that is used again would change while we wait."""
    found = []
    for epoch in epochs:
        for batch in live.render(in_pairs(live, epoch)):
            time.sleep(pause)
            found.append(batch)
    return found


def assert_same(one, other):
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        assert a.scenes == b.scenes and torch.equal(a.lengths, b.lengths)
        assert torch.equal(a.samples, b.samples) and torch.equal(a.snr_db, b.snr_db)


def test_what_is_read_apart_is_rendered_to_the_same_bytes(plan, reader):
    elsewhere = rendered(Live(plan, Skipped(), apart=reader), range(4), pause=0.05)
    assert_same(elsewhere, rendered(Live(plan, Skipped()), range(4)))
    assert len(elsewhere) == 16


def test_an_epoch_that_is_left_changes_nothing_of_the_next(plan, reader):
    live = Live(plan, Skipped(), apart=reader)
    left = live.render(in_pairs(live, 0))
    next(left)
    left.close()
    assert_same(rendered(live, [1]), rendered(Live(plan, Skipped()), [1]))


def test_memory_grows_with_the_batch_and_is_used_again(plan, reader):
    live = Live(plan, Skipped(), apart=reader)
    scenes = live.scenes(0)
    groups = [scenes[:1], scenes[1:2], scenes, scenes[:1], scenes[2:]] * 8
    elsewhere = [(batch.samples, batch.scenes) for batch in live.render(groups)]
    assert 2 <= len(reader.free) <= 4 * reader.size + 2
    for (samples, kept), batch in zip(elsewhere, Live(plan, Skipped()).render(groups), strict=True):
        assert kept == batch.scenes and torch.equal(samples, batch.samples)


def test_recordings_that_do_not_stay_decoded_are_the_same(plan, reader):
    live = Live(plan, Skipped(), apart=reader, noise_bytes=0, speech_bytes=4 * 2 * RATE)
    assert live.lent[0] is None and 0 < live.lent[1].samples <= 2 * RATE
    assert_same(rendered(live, [0]), rendered(Live(plan, Skipped()), [0]))


def test_audio_that_cannot_be_used_is_named_as_by_threads(plan, reader):
    gone, silent, cut = (plan.speech.utterances[number].audio_filepath for number in (1, 2, 3))
    gone.unlink()
    audio.write(silent, np.zeros(3 * RATE, np.float32))
    cut.write_bytes(cut.read_bytes()[:2000])
    here, there = Skipped(), Skipped()
    assert_same(rendered(Live(plan, there, apart=reader), [0]), rendered(Live(plan, here), [0]))
    assert list(there.reasons.items()) == list(here.reasons.items())
    assert set(there.reasons) == {"utt01-noisy1", "utt02-noisy1", "utt03-noisy1"}


def test_an_impulse_response_that_cannot_be_read_is_named_as_by_threads(plan, tmp_path, reader):
    rirs = tmp_path / "rirs"
    rirs.mkdir()
    audio.write(rirs / "good.wav", np.eye(1, 800, dtype=np.float32)[0])
    audio.write(rirs / "silent.wav", np.zeros(800, np.float32))
    plan = replace(plan, recipe=Recipe(cabin=CabinRanges(count=1, rirs=str(rirs)), lombard=0.3))
    plan.speech.utterances[1].audio_filepath.unlink()
    here, there = Skipped(), Skipped()
    elsewhere = rendered(Live(plan, there, apart=reader), range(2), pause=0.05)
    assert_same(elsewhere, rendered(Live(plan, here), range(2)))
    assert list(there.reasons.items()) == list(here.reasons.items())
    assert any("silent.wav" in str(reason) for reason in there.reasons.values())
    assert len(there.reasons) < len(LENGTHS)


def broken(reader, one):
    if one.clean_id == "utt04":
        raise ZeroDivisionError("of no recording's fault")
    return whole(reader, one)


whole = Reader.sounds


def break_reader():
    Reader.sounds = broken
    return True


@pytest.mark.slow
def test_an_error_that_is_no_recordings_fault_comes_at_its_place(plan):
    with apart() as reader:
        assert list(reader.run(call, [break_reader])) == [True]
        batches = (live := Live(plan, Skipped(), apart=reader)).render(in_pairs(live, 0))
        assert [len(next(batches).scenes) for _ in range(2)] == [2, 2]
        with pytest.raises(ZeroDivisionError, match="of no recording's fault"):
            next(batches)


def call(function):
    return function()


def pid_after_a_while():
    time.sleep(0.2)
    return os.getpid()


def processes_of(reader):
    """All of them, the last to have started too."""
    found, deadline = set(), time.monotonic() + 60
    while len(found) < reader.size and time.monotonic() < deadline:
        found |= set(reader.run(call, [pid_after_a_while] * 2 * reader.size, reader.size))
    return found


def has_ended(pid, seconds=20.0):
    deadline = time.monotonic() + seconds
    while Path(f"/proc/{pid}").exists():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 2])
def test_a_process_that_is_killed_is_an_error_in_one_line(plan, size):
    with apart(size) as reader:
        killed = min(processes_of(reader))
        live = Live(plan, Skipped(), apart=reader)
        batches = live.render(in_pairs(live, 0) * 20)
        next(batches)
        os.kill(killed, signal.SIGKILL)
        with pytest.raises(SpeechbenchError, match=r"a worker process was killed, perhaps for want of memory;.*--resume"):
            list(batches)
        with pytest.raises(SpeechbenchError, match="a worker process was killed"):
            list(live.render(in_pairs(live, 1)))


@pytest.mark.slow
def test_no_process_is_left_behind_an_exception(plan):
    pids = []

    def train():
        with apart(2) as reader:
            pids.extend(processes_of(reader))
            live = Live(plan, Skipped(), apart=reader)
            for _ in live.render(in_pairs(live, 0) * 20):
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        train()
    assert len(pids) == 2 and all(map(has_ended, pids))


PROGRAM = """
import sys
from pathlib import Path
from test_apart import RECIPE, in_pairs, processes_of
from speechbench import manifest
from speechbench.manifest import Skipped
from synth import build
from synth.apart import apart
from synth.live import Live

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    plan = build.Plan(manifest.read(folder / "speech.jsonl"), [folder / "noise.jsonl", folder / "horn.jsonl"], RECIPE)
    with apart(2) as reader:
        print(*processes_of(reader), flush=True)
        live = Live(plan, Skipped(), apart=reader)
        try:
            for _ in live.render(in_pairs(live, 0) * 10_000):
                print("batch", flush=True)
        except KeyboardInterrupt:
            sys.exit(130)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)], ids=["kill", "ctrl-c"]
)
def test_the_processes_end_with_one_that_is_stopped(plan, tmp_path, number, status):
    (tmp_path / "program.py").write_text(PROGRAM)
    paths = os.pathsep.join((str(Path(__file__).parent), str(Path(__file__).parents[1])))
    process = subprocess.Popen(
        [sys.executable, tmp_path / "program.py", tmp_path],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": paths},
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # whatever the tests were started by
    )
    pids = [int(pid) for pid in process.stdout.readline().split()]
    assert process.stdout.readline() == "batch\n"
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # as a terminal does
    else:
        process.kill()
    _, said = process.communicate(timeout=30)  # ends when the last process that holds stdout has ended
    assert process.returncode == status and "Traceback" not in said
    assert len(pids) == 2 and all(map(has_ended, pids))


def test_threads_that_meet_new_cabins_compute_each_once(plan, monkeypatch):
    computed, known = [], set()
    response, together = cabin.impulse_response, threading.Barrier(8)
    monkeypatch.setattr(cabin, "impulse_response", lambda car: known_or_computed(car, known, computed, response))
    reader, live = Reader(), Live(plan, Skipped())
    scenes = [one for one in live.scenes(0) for _ in range(8)]

    def read(one):
        together.wait(timeout=20)
        reader.read(one)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(read, scenes))
    assert len(computed) == len(set(computed)) and set(computed) == {one.cabin for one in scenes}


def known_or_computed(car, known, computed, response):
    """As a cache: what is computed is known when it is done, not when it is begun."""
    if car not in known:
        computed.append(car)
        time.sleep(0.05)
        known.add(car)
    return response(car)
