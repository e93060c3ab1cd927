"""Work in threads: ahead, while its results are used one after the other; and side by side."""

from __future__ import annotations

import itertools
import math
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import TypeVar

import torch

T = TypeVar("T")
U = TypeVar("U")

MOST = 3  # results that may wait
TRIED = 4  # items, whose time tells whether threads pay
WORTH_A_THREAD = 0.003  # s that an item takes at least


def ahead(items: Generator[T, None, None], most: int = MOST) -> Generator[T, None, None]:
    """Pass the items through, in their order, while a thread makes the next ones; closed with them when the caller stops.

    Raises:
        Whatever the making of an item raises, at its place.
    """
    pool = ThreadPoolExecutor(1)
    waiting: deque[Future[T]] = deque()
    try:
        while True:
            while len(waiting) < most:
                waiting.append(pool.submit(items.__next__))
            try:
                item = waiting.popleft().result()
            except StopIteration:
                return
            yield item
    finally:
        pool.shutdown(cancel_futures=True)
        items.close()


@cache
def threads() -> int:
    """As many as torch had when it was first asked: `OMP_NUM_THREADS`, or the machine's cores."""
    return torch.get_num_threads()


@contextmanager
def torch_alone() -> Iterator[None]:
    """Have torch work on one thread: on small products several wait for each other longer than they compute."""
    threads()
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def side_by_side() -> Iterator[ThreadPoolExecutor]:
    """Threads for work that leaves Python's lock alone; torch has no further ones in them."""
    with torch_alone(), ThreadPoolExecutor(threads()) as pool:
        yield pool


def each(function: Callable[[T], U], items: Iterable[T], tried: int = TRIED) -> Iterator[U]:
    """The function of each item, in their order, worked out side by side where that pays; with one thread one after the other.

    Threads ask for Python's lock between any two steps, and wait for it longer than a small item takes.

    Args:
        function: Of an item.
        items: Read lazily.
        tried: Items that this thread tries first; if they are small, it does all. 0 where they are known to be large.

    Raises:
        Whatever the function raises, at its place.
    """
    items, quickest = iter(items), math.inf
    with torch_alone():  # in this thread, too: last bits may depend on how many torch has, and shall not on how long items take
        for item in itertools.islice(items, tried):
            start = time.perf_counter()
            result = function(item)
            quickest = min(quickest, time.perf_counter() - start)
            yield result
        if threads() == 1 or quickest < WORTH_A_THREAD:
            yield from map(function, items)
            return
        with side_by_side() as pool:
            waiting: deque[Future[U]] = deque()
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > MOST * threads():
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
