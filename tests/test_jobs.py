import os
from itertools import count

import pytest

from speechbench import jobs


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


def test_workers_use_one_thread_and_this_process_keeps_its_own(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    assert set(map(tuple, jobs.run(threads, range(2), 2))) == {("1",) * len(jobs.THREAD_VARIABLES)}
    assert os.environ["OMP_NUM_THREADS"] == "7" and "MKL_NUM_THREADS" not in os.environ


def test_no_items_give_no_results():
    assert list(jobs.run(square, [], 1)) == list(jobs.run(square, [], 2)) == []
