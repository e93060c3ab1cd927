import threading

import pytest

from pipelines.ahead import MOST, ahead


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
