import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from speechbench import jobs
from speechbench.errors import SpeechbenchError


def square(number):
    return number * number


def threads(_):
    return [os.environ.get(name) for name in jobs.THREAD_VARIABLES]


def picky(number):
    if number == 5:
        raise ValueError("five is right out")
    return number


def process(_):
    return os.getpid()


def test_four_workers_answer_as_one_does_in_order():
    one, four = (list(jobs.run(square, range(40), workers)) for workers in (1, 4))
    assert one == four == [n * n for n in range(40)]


def test_one_worker_is_this_process_and_two_are_others():
    assert set(jobs.run(process, range(3), 1)) == {os.getpid()}
    assert os.getpid() not in set(jobs.run(process, range(3), 2))


@pytest.mark.parametrize(("workers", "most"), [(1, 1), (2, 8)])
def test_items_are_read_lazily_so_that_memory_stays_bounded(workers, most):
    taken = []

    def endless():
        for number in count():
            taken.append(number)
            yield number

    results = jobs.run(square, endless(), workers)
    for position in range(12):
        assert next(results) == position**2
        assert len(taken) <= position + most
    results.close()


@pytest.mark.parametrize("workers", [1, 2])
def test_an_exception_comes_at_its_items_place(workers):
    results = jobs.run(picky, range(10), workers)
    assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="five is right out"):
        next(results)


def fall(number):
    if number == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_a_worker_that_is_killed_is_an_error_in_one_line():
    with pytest.raises(SpeechbenchError, match=r"^a worker process was killed, perhaps for want of memory; .* --resume$"):
        list(jobs.run(fall, range(10), 2))


def tell_half(number):
    if number == 5:
        Connection._send = send_half
    return number


def send_half(connection, message):
    os.write(connection.fileno(), message[: len(message) // 2])
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_worker_that_is_killed_while_it_tells_a_result_is_the_same_error(workers):
    with jobs.processes(workers) as run, pytest.raises(SpeechbenchError, match="a worker process was killed"):
        list(run(tell_half, range(10), workers))


def test_workers_whose_results_nobody_takes_may_be_killed_while_they_tell_them():
    with jobs.processes(2) as run:
        results = run(tell_half, count(), 2)
        with suppress(SpeechbenchError):  # the first may be told too late
            next(results)
        results.close()


def test_one_process_can_be_another_one():
    with jobs.processes(1) as run:
        assert os.getpid() not in set(run(process, range(3)))


def test_workers_use_one_thread_and_this_process_keeps_its_own(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    assert set(map(tuple, jobs.run(threads, range(2), 2))) == {("1",) * len(jobs.THREAD_VARIABLES)}
    assert os.environ["OMP_NUM_THREADS"] == "7" and "MKL_NUM_THREADS" not in os.environ


def imported(module):
    return module in sys.modules


def test_workers_last_for_several_stages_and_have_imported_before_the_first_item(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    with jobs.workers(2, "wave") as run:
        assert os.environ["OMP_NUM_THREADS"] == "7"
        assert list(run(square, range(9), 2)) == [n * n for n in range(9)]
        first, second = (set(run(process, range(20), 2)) for _ in range(2))
        assert first | second and len(first | second) <= 2 and os.getpid() not in first | second
        assert set(run(imported, ["wave"] * 4, 2)) == {True}
        assert set(run(imported, ["chunk"] * 4, 2)) == {False}
        assert set(map(tuple, run(threads, range(4), 2))) == {("1",) * len(jobs.THREAD_VARIABLES)}


def test_a_stage_that_fails_or_is_left_leaves_the_workers_to_the_next():
    with jobs.workers(2) as run:
        with pytest.raises(ValueError, match="five is right out"):
            list(run(picky, range(10), 2))
        left = run(square, count(), 2)
        assert next(left) == 0
        left.close()
        assert list(run(square, range(5), 2)) == [0, 1, 4, 9, 16]


def test_one_worker_that_lasts_is_this_process():
    with jobs.workers(1, "no.such.module") as run:
        assert list(run(process, [0])) == [os.getpid()]


def test_no_items_give_no_results():
    assert list(jobs.run(square, [], 1)) == list(jobs.run(square, [], 2)) == []


PROGRAM = """
from test_jobs import linger
from speechbench import jobs
if __name__ == "__main__":
    for pid in jobs.run(linger, range(100), 2):
        pass
"""


def linger(number):
    print(f"{os.getpid()}\n", end="", flush=True)  # in one piece, for two of them write
    time.sleep(0.2)


def test_workers_die_with_a_parent_that_is_killed(tmp_path):
    # Else they would wait for ever, and write into a folder that a resumed build has finished meanwhile.
    (tmp_path / "program.py").write_text(PROGRAM)
    paths = os.pathsep.join((str(Path(__file__).parent), str(Path(__file__).parents[1])))
    process = subprocess.Popen(
        [sys.executable, tmp_path / "program.py"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"PYTHONPATH": paths},
    )
    assert len({process.stdout.readline() for _ in range(6)}) == 2
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=30)  # ends when the last process that holds stdout has ended


TWICE_PROGRAM = """
import os
from test_jobs import square
from speechbench import jobs
if __name__ == "__main__":
    print(list(jobs.run(square, range(4), 2)), flush=True)
    if os.fork() == 0:
        print(list(jobs.run(square, range(4), 2)), flush=True)
        os._exit(0)
    os.wait()
"""


@pytest.mark.parametrize("deep", ["", "deep" * 20])
def test_workers_start_in_a_copy_of_a_process_that_had_some_and_wherever_temporary_files_lie(tmp_path, deep):
    (tmp_path / "program.py").write_text(TWICE_PROGRAM)
    paths = os.pathsep.join((str(Path(__file__).parent), str(Path(__file__).parents[1])))
    environment = os.environ | {"PYTHONPATH": paths}
    if deep:
        (tmp_path / deep).mkdir()
        environment["TMPDIR"] = str(tmp_path / deep)
    command = [sys.executable, tmp_path / "program.py"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "[0, 1, 4, 9]\n" * 2


def parent(_):
    return os.getppid()


def test_workers_of_later_stages_are_of_the_same_server_and_import_what_the_first_did_not():
    with jobs.workers(2, "wave") as run:
        servers = set(run(parent, range(8), 2))
    assert len(servers) == 1 and os.getpid() not in servers
    with jobs.workers(2, "chunk") as run:
        assert set(run(parent, range(8), 2)) == servers
        assert set(run(imported, ["chunk"] * 4, 2)) == {True}


SLOW_MODULE = """
import time
from pathlib import Path

end = time.monotonic() + 20
while not Path(__file__).with_name("entered").exists():
    if time.monotonic() > end:
        raise TimeoutError("nobody went on meanwhile")
    time.sleep(0.01)
"""
WAITING_PROGRAM = """
from pathlib import Path
from speechbench import jobs
from test_jobs import square

if __name__ == "__main__":
    with jobs.workers(2, "slow") as run:
        Path(__file__).with_name("entered").touch()
        print(list(run(square, range(4), 2)))
"""


def test_nobody_waits_while_the_workers_server_imports(tmp_path):
    (tmp_path / "slow.py").write_text(SLOW_MODULE)
    (tmp_path / "program.py").write_text(WAITING_PROGRAM)
    paths = os.pathsep.join((str(tmp_path), str(Path(__file__).parent), str(Path(__file__).parents[1])))
    command = [sys.executable, tmp_path / "program.py"]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True, timeout=60)
    assert done.stdout == "[0, 1, 4, 9]\n", done.stderr


LATE_PROGRAM = """
import os, sys, threading, time
from pathlib import Path
from speechbench import jobs

def touch(path):
    path.touch()

folder = Path(sys.argv[1])
if __name__ == "__mp_main__":
    (folder / f"importing-{os.getpid()}").touch()
    while not (folder / "killed").exists():
        time.sleep(0.01)
    threading.Thread.start = lambda thread: None  # it may get its turn too late
if __name__ == "__main__":
    print(os.getpid(), flush=True)
    for _ in jobs.run(touch, (folder / f"item-{number}" for number in range(100)), 2):
        pass
"""


def test_a_worker_whose_parent_is_killed_while_it_imports_begins_nothing(tmp_path):
    # A resumed build takes as long to start as such a worker, which wrote into the folder that the build had just cleared.
    (tmp_path / "program.py").write_text(LATE_PROGRAM)
    process = subprocess.Popen(
        [sys.executable, tmp_path / "program.py", tmp_path],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
    )
    deadline = time.monotonic() + 60
    while len(list(tmp_path.glob("importing-*"))) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(0.2)  # for the first items to be queued
    process.kill()
    process.wait()
    (tmp_path / "killed").touch()
    process.communicate(timeout=30)  # ends when the workers have ended
    assert not list(tmp_path.glob("item-*"))
