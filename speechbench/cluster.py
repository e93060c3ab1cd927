"""`speechbench.jobs` on a Ray cluster; no other file knows Ray.

Every node sees the inputs and the output folder under the same paths, as on a shared file system, and has speechbench
installed. What a lost node was doing is done again elsewhere, so the work must be such that doing it twice does no harm.
"""

from __future__ import annotations

import logging
import os
import socket
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from speechbench.errors import SpeechbenchError
from speechbench.jobs import THREAD_VARIABLES, UNDER_WAY, Item, Result, Run

try:
    import ray
except ImportError as fault:
    raise SpeechbenchError("--engine ray needs Ray; install it with: pip install 'speechbench[ray]'") from fault

OBJECT_STORE_BYTES = 80 * 2**20  # about the least that Ray takes: only descriptions of work travel through it
MOST_RETRIES = 5  # of a task whose worker or node was lost, so that one that kills its worker ends the run at last


@contextmanager
def connected(address: str | None, cpus: int) -> Iterator[Run]:
    """Join a Ray cluster, or start one on this machine; yields `run`, which stands in for `jobs.run`.

    Args:
        address: "host:port" of the cluster's head, or "auto" for the one that runs on this machine; None starts one.
        cpus: Of a cluster that is started here.

    Raises:
        SpeechbenchError: No cluster answers at the address.
    """
    threads = {"env_vars": dict.fromkeys(THREAD_VARIABLES, "1")}
    place: dict[str, Any] = {"address": address}
    if address is None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray would send figures of its use to its makers
        place = {"address": "local", "num_cpus": cpus, "object_store_memory": OBJECT_STORE_BYTES, "include_dashboard": False}
    try:
        _knock(address)
        ray.init(**place, runtime_env=threads, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, ValueError, ray.exceptions.RayError) as error:
        raise SpeechbenchError(
            f"{address}: no Ray cluster answers there ({error}); start one with 'ray start --head'"
        ) from error
    try:
        yield run
    finally:
        ray.shutdown()


def _knock(address: str | None) -> None:
    """Fail at once where nothing listens; Ray would try for minutes."""
    host, _, port = (address or "").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=10.0).close()


def run(function: Callable[[Item], Result], items: Iterable[Item], jobs: int = 1) -> Iterator[Result]:
    """Apply a function to each item on the cluster, results in the order of the items; as `jobs.run`.

    Args:
        function: As for `jobs.run`; it may be called again with an item whose node was lost.
        items: Read lazily; a bounded number is under way at once. When this is left before its end, those that are worked on
            are finished unheard: to cancel one that ends at that moment ends the driver (Ray 2.60).
        jobs: Items that are worked on at once, each with one CPU; fewer where the cluster has fewer CPUs.

    Raises:
        SpeechbenchError: A worker or node was lost again and again.
        Whatever `function` raises, at the place of the item that caused it.
    """
    task = ray.remote(num_cpus=1, max_retries=MOST_RETRIES)(_call)
    called = ray.put(function)
    under_way: deque[Any] = deque()
    busy: list[Any] = []
    for item in items:
        if len(busy) >= jobs:
            _, busy = ray.wait(busy)
        under_way.append(task.remote(called, item))
        busy.append(under_way[-1])
        if len(under_way) >= UNDER_WAY * jobs:
            yield _result(under_way.popleft())
    while under_way:
        yield _result(under_way.popleft())


def _call(function: Callable[[Any], Any], item: Any) -> Any:
    return function(item)


def _result(reference: Any) -> Any:
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error
    except ray.exceptions.RayError as error:
        first = str(error).strip().splitlines()[0]
        raise SpeechbenchError(f"a worker of the Ray cluster was lost more than {MOST_RETRIES} times ({first})") from error
