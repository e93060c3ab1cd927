import threading
import time

import pytest
import torch

from pipelines.ahead import MOST, TRIED, ahead, each, side_by_side, threads, torch_alone


def counting(made, last=100, closed=None):
    try:
        for number in range(last):
            made.append((number, threading.current_thread()))
            yield number
    finally:
        if closed is not None:
            closed.append(True)


def test_items_come_in_order_from_another_thread():
    made = []
    assert list(ahead(counting(made, 20))) == list(range(20))
    assert {thread is threading.current_thread() for _, thread in made} == {False}


def test_a_bounded_number_is_made_ahead_and_none_after_the_end():
    made, closed = [], []
    items = ahead(counting(made, closed=closed))
    assert next(items) == 0
    assert next(items) == 1
    items.close()
    assert len(made) <= 1 + MOST and closed == [True]


def test_an_error_comes_at_its_place():
    def failing():
        yield 1
        yield 2
        raise ZeroDivisionError

    items = ahead(failing())
    assert [next(items), next(items)] == [1, 2]
    with pytest.raises(ZeroDivisionError):
        next(items)


def test_nothing():
    assert list(ahead(counting([], 0))) == []


@pytest.mark.usefixtures("two_threads")
def test_threads_side_by_side_have_no_threads_of_their_own():
    with torch_alone():
        assert torch.get_num_threads() == 1
        with side_by_side() as pool:
            together = threading.Barrier(2, timeout=60)  # both at once, or it breaks
            assert list(pool.map(lambda _: (together.wait(), torch.get_num_threads())[1], range(2))) == [1, 1]
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
def test_torch_has_its_threads_back_after_an_error():
    with pytest.raises(ValueError, match="stop"), side_by_side():
        raise ValueError("stop")
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
def test_each_keeps_the_order_and_looks_ahead_a_bounded_way():
    asked = []

    def items():
        for number in range(100):
            asked.append(number)
            yield number

    results = each(lambda number: (number * 2, threading.current_thread()), items(), 0)
    first = next(results)
    assert first[0] == 0 and first[1] is not threading.current_thread()
    assert len(asked) <= 2 + MOST * 2
    assert [value for value, _ in results] == list(range(2, 200, 2))


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("seconds", [0.0, 0.01])
def test_items_that_take_no_time_are_not_worth_a_thread(seconds):
    found = list(each(lambda n: (time.sleep(seconds), torch.get_num_threads(), n, threading.current_thread())[1:], range(20)))
    assert {threads for threads, _, _ in found} == {1} and torch.get_num_threads() == 2
    results = [one[1:] for one in found]
    assert [number for number, _ in results] == list(range(20))
    assert all(thread is threading.current_thread() for _, thread in results[:TRIED])
    assert all((thread is threading.current_thread()) == (seconds == 0) for _, thread in results[TRIED:])


def test_each_with_one_thread_needs_no_other():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    threads.cache_clear()
    try:
        assert list(each(lambda number: (number, threading.current_thread()), [1, 2])) == [
            (1, threading.current_thread()),
            (2, threading.current_thread()),
        ]
    finally:
        torch.set_num_threads(before)
        threads.cache_clear()


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("tried", [0, 1, TRIED])
def test_an_error_of_each_comes_at_its_place(tried):
    results = each(lambda number: 1 / number, [1, 2, 0], tried)
    assert [next(results), next(results)] == [1, 0.5]
    with pytest.raises(ZeroDivisionError):
        next(results)
