"""The work of `speechbench.jobs` on a Ray cluster of two nodes, one of which is killed. Ray takes seconds to start."""

import os
import sys
import time
from functools import partial
from itertools import count
from pathlib import Path

import pytest
from made_speech import contents, make_noise, make_speech

from speechbench import jobs, manifest
from speechbench.errors import SpeechbenchError
from synth import build, rebuild
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
    log = tmp_path / "log"
    results = connected(partial(slowly, str(log)), range(24), 2)
    collected = [next(results)]
    deadline = time.monotonic() + 60
    while not begun_on(log, second.node_id):
        assert time.monotonic() < deadline, "the second node never began anything"
        collected.append(next(results))
    nodes.remove_node(second, allow_graceful=False)
    collected += results
    assert [number for number, _ in collected] == list(range(24))
    lines = [line.split() for line in log.read_text().splitlines()]
    done = {number for event, number, _ in lines if event == "done"}
    assert done == set(map(str, range(24)))
    assert len(lines) > 2 * 24 or begun_on(log, second.node_id)


def begun_on(log, node_id):
    """Items that this node has begun and not done."""
    lines = [line.split() for line in log.read_text().splitlines() if line.endswith(node_id)]
    return {number for event, number, _ in lines if event == "begun"} - {n for event, n, _ in lines if event == "done"}


@pytest.mark.slow
@pytest.mark.parametrize("container", ["flac", "tar"])
def test_a_build_loses_a_node_and_no_byte(nodes, second, connected, tmp_path, container, monkeypatch):
    from dataclasses import replace

    from synth import containers

    monkeypatch.setattr(containers, "CONTAINERS", tuple(replace(one, scenes=2) for one in containers.CONTAINERS))
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
