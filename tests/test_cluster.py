"""The work of `speechbench.jobs` on a Ray cluster of two nodes, one of which is killed. Ray takes seconds to start."""

import os
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import count, takewhile
from pathlib import Path

import pytest
from made_speech import contents, make_noise, make_speech

from speechbench import files, jobs, manifest
from speechbench.errors import SpeechbenchError
from synth import build, containers, rebuild
from synth.recipe import CabinRanges, Recipe


def square(number):
    return number * number


def picky(number):
    if number == 5:
        raise ValueError("five is right out")
    return number


def threads(_):
    return [os.environ.get(name) for name in jobs.THREAD_VARIABLES]


def fatal(_):
    os._exit(1)


def slowly(log, number):
    """Note where the work is begun and where it is done."""
    import ray

    node = ray.get_runtime_context().get_node_id()
    for event in ("begun", "done"):
        with Path(log).open("a") as stream:
            stream.write(f"{event} {number} {node}\n")
        time.sleep(0.15)
    return number, "x" * 1000


@pytest.fixture(scope="module")
def nodes():
    """A cluster of two nodes with one CPU each."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'speechbench[ray]'")
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        paths = (str(Path(__file__).parent), str(Path(__file__).parents[1]))
        patch.setenv("PYTHONPATH", os.pathsep.join(paths))  # of the nodes' workers
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_worker_niceness", "0")  # Ray would let its workers wait for all else on a busy machine
        small = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}
        cluster = Cluster(initialize_head=True, head_node_args=small)
        try:
            yield cluster
        finally:
            cluster.shutdown()


@pytest.fixture
def connected(nodes):
    from speechbench import cluster

    with cluster.connected(nodes.address, 2) as run:
        yield run


@pytest.fixture
def second(nodes):
    node = nodes.add_node(num_cpus=1, object_store_memory=80 * 2**20)
    nodes.wait_for_nodes()
    yield node
    if node in nodes.worker_nodes:
        nodes.remove_node(node, allow_graceful=False)


@pytest.fixture
def pairs():
    with in_pairs():
        yield


@pytest.mark.slow
def test_the_cluster_keeps_the_contract_of_jobs(connected):
    assert list(connected(square, range(40), 2)) == [n * n for n in range(40)]
    assert list(connected(square, [], 2)) == []
    assert list(connected(threads, range(2), 2)) == [["1"] * len(jobs.THREAD_VARIABLES)] * 2
    results = connected(picky, range(10), 2)
    assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="five is right out"):
        next(results)
    taken = []
    results = connected(square, (taken.append(n) or n for n in count()), 2)
    for position in range(12):
        assert next(results) == position**2
        assert len(taken) <= position + 8
    results.close()


@pytest.mark.slow
def test_work_that_kills_its_worker_ends_the_run(connected, monkeypatch):
    from speechbench import cluster

    monkeypatch.setattr(cluster, "MOST_RETRIES", 1)  # each takes seconds
    with pytest.raises(SpeechbenchError, match="lost more than 1 times"):
        list(connected(fatal, [0], 1))


@pytest.mark.slow
def test_what_a_killed_node_was_doing_is_done_elsewhere(nodes, second, connected, tmp_path):
    log, end = tmp_path / "log", []
    numbers = takewhile(lambda number: not end or number < end[0], count())  # on a busy machine the second node starts late
    results = connected(partial(slowly, str(log)), numbers, 2)
    collected = [next(results)]
    deadline = time.monotonic() + 60
    while not begun_on(log, second.node_id):
        assert time.monotonic() < deadline, "the second node never began anything"
        collected.append(next(results))
    nodes.remove_node(second, allow_graceful=False)
    end.append(len(collected) + 15)  # more than are under way
    collected += results
    assert [number for number, _ in collected] == list(range(end[0]))
    lines = [line.split() for line in log.read_text().splitlines()]
    done = {number for event, number, _ in lines if event == "done"}
    assert done == set(map(str, range(end[0])))
    assert len(lines) > 2 * end[0] or begun_on(log, second.node_id)


def begun_on(log, node_id):
    """Items that this node has begun and not done."""
    lines = [line.split() for line in log.read_text().splitlines() if line.endswith(node_id)]
    return {number for event, number, _ in lines if event == "begun"} - {n for event, n, _ in lines if event == "done"}


@pytest.mark.slow
@pytest.mark.parametrize("container", ["flac", "tar"])
def test_a_build_loses_a_node_and_no_byte(nodes, second, connected, tmp_path, container, pairs):
    plan = build.Plan(
        manifest.read(make_speech(tmp_path, [2.0] * 60)), [make_noise(tmp_path)], Recipe(cabin=CabinRanges(count=1))
    )
    build.build(plan, tmp_path / "one", container=container)

    def run(function, items, jobs):
        for number, result in enumerate(connected(function, items, jobs)):
            if number == 4:
                nodes.remove_node(second, allow_graceful=False)
            yield result

    build.build(plan, tmp_path / "ray", 2, container=container, run=run)
    assert contents(tmp_path / "one") == contents(tmp_path / "ray")
    for path in (tmp_path / "ray").rglob("*0-noisy1.flac" if container == "flac" else "*1.tar"):
        path.unlink()
    states = {row["state"] for row in rebuild.rebuild(tmp_path / "ray", worker_count=2, run=connected)}
    assert states <= {"verified", "rebuilt"} and "rebuilt" in states
    assert contents(tmp_path / "one") == contents(tmp_path / "ray")


DRIVER = """
import sys
from pathlib import Path
from speechbench import cluster, manifest
from synth import build
from synth.recipe import CabinRanges, Recipe
from test_cluster import in_pairs, signed
if __name__ == "__main__":
    address, speech, noise, out, log = sys.argv[1:]
    plan = build.Plan(manifest.read(speech), [Path(noise)], Recipe(cabin=CabinRanges(count=0)))
    with in_pairs(), cluster.connected(address, 2) as run:
        build.build(plan, Path(out), 2, run=signed(run, log, 0.1))
"""


@contextmanager
def in_pairs():
    """While open, a chunk is two scenes, so that there are many."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(containers, "CONTAINERS", tuple(replace(one, scenes=2) for one in containers.CONTAINERS))
        yield


def signed(run, log, seconds=0.0):
    """A run whose workers note the numbers of their processes, and wait a moment before they give a file its place."""
    return lambda function, items, jobs: run(partial(sign, log, seconds, function), items, jobs)


def sign(log, seconds, function, item):
    with Path(log).open("a") as stream:
        stream.write(f"{os.getpid()}\n")
    give_place = Path.replace
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "replace", lambda *paths: time.sleep(seconds) or give_place(*paths))
        return function(item)


@pytest.mark.slow
def test_a_build_whose_driver_is_killed_goes_on_and_loses_no_byte(nodes, second, connected, tmp_path, pairs):
    speech, noise, out = make_speech(tmp_path, [2.0] * 60), make_noise(tmp_path), tmp_path / "out"
    plan = build.Plan(manifest.read(speech), [noise], Recipe(cabin=CabinRanges(count=0)))
    build.build(plan, tmp_path / "whole")
    whole = contents(tmp_path / "whole")
    (tmp_path / "driver.py").write_text(DRIVER)
    arguments = [tmp_path / "driver.py", nodes.address, speech, noise, out, tmp_path / "dead"]
    driver = subprocess.Popen([sys.executable, *map(str, arguments)])
    deadline = time.monotonic() + 60
    while len(list(out.glob("rendered/[0-9]*"))) < 4 or not list(out.glob("audio/.*.part*")):
        assert driver.poll() is None and time.monotonic() < deadline, "was never writing"
        time.sleep(0.005)
    driver.kill()
    driver.wait()
    assert not files.is_finished(out, "synth")
    # Not `contents`: the driver's workers, who die a moment after it, may still be taking their files aside away.
    left = {f"audio/{path.name}": path.read_bytes() for path in (out / "audio").glob("utt*")}
    assert 8 <= len(left) < 60 and all(whole[name] == data for name, data in left.items())
    build.build(plan, out, 2, resume=True, run=signed(connected, tmp_path / "alive"))
    changed = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    assert contents(out) == whole
    dead, alive = (set((tmp_path / name).read_text().split()) for name in ("dead", "alive"))
    assert dead and alive and not dead & alive
    while any(Path("/proc", number).exists() for number in dead):
        assert time.monotonic() < deadline, "workers outlive their driver"
        time.sleep(0.01)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == changed


@pytest.mark.slow
def test_an_address_where_no_cluster_is(nodes):
    from speechbench import cluster

    with (
        pytest.raises(SpeechbenchError, match=r"127.0.0.1:1: no Ray cluster answers there"),
        cluster.connected("127.0.0.1:1", 1),
    ):
        pass


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "speechbench.cluster", raising=False)
    with pytest.raises(SpeechbenchError, match=r"pip install 'speechbench\[ray\]'"):
        import speechbench.cluster  # noqa: F401
