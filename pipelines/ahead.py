"""Work that is done ahead, in a thread, while its results are used one after the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

MOST = 3  # results that may wait


def ahead(items: Generator[T, None, None], most: int = MOST) -> Iterator[T]:
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
