"""Work over many items in several processes; the results do not depend on how many."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from multiprocessing import forkserver
from pathlib import Path
from typing import Protocol, TypeVar

from speechbench.errors import SpeechbenchError

Item = TypeVar("Item")
Result = TypeVar("Result")

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
UNDER_WAY = 4  # items per worker that are taken before the first of them must be ready
LONGEST_PLACE = 72  # bytes of the folder for temporary files: the server's socket is in it, and can have a name of 107
PROGRAM = {"speechbench.cli"}  # what a worker of the program's imports with its script
IMPORTED_IN = os.getpid()  # a copy of this process, made by os.fork, cannot ask the server, which is no child of its own
LOOK = 1.0  # s between two looks at the workers


class Run(Protocol):
    """How a stage has its items worked on: by `run` or `workers` on this machine, or by `speechbench.cluster` on many."""

    def __call__(self, function: Callable[[Item], Result], items: Iterable[Item], jobs: int = 1) -> Iterator[Result]:
        """As `run`."""


def run(function: Callable[[Item], Result], items: Iterable[Item], jobs: int = 1) -> Iterator[Result]:
    """Apply a function to each item, results in the order of the items.

    Args:
        function: Defined at the top of a module (it travels to other processes) and without hidden state.
        items: Read lazily; a bounded number is under way at once, so that memory stays constant.
        jobs: Worker processes, each with one thread; 1 works in this process.

    Raises:
        Whatever `function` raises, at the place of the item that caused it.
    """
    if jobs <= 1:
        yield from map(function, items)
        return
    with workers(jobs) as run_in_them:
        yield from run_in_them(function, items, jobs)


@contextmanager
def workers(count: int, *modules: str) -> Iterator[Run]:
    """Start worker processes that last for several stages; yields what stands in for `run`.

    They start while the caller goes on.

    Args:
        count: Of processes; 1 works in this process.
        modules: What they import meanwhile, for they would do so when their first item comes.
    """
    if count <= 1:
        yield run
        return
    with processes(count, *modules) as run_in_them:
        yield run_in_them


@contextmanager
def processes(count: int, *modules: str) -> Iterator[Run]:
    """As `workers`, but one process, too, is another than this one.

    The first starts a server that imports for all, those of later stages, too: they are its copies, and start in
    milliseconds. A copy of this process would not know the locks that its threads hold.
    """
    multiprocessing.set_forkserver_preload([*modules, *PROGRAM & sys.modules.keys()])
    has_room = len(os.fsencode(tempfile.gettempdir())) < LONGEST_PLACE
    context = multiprocessing.get_context("forkserver" if has_room and os.getpid() == IMPORTED_IN else "spawn")
    pool = ProcessPoolExecutor(count, context, initializer=_make_ready, initargs=modules)

    def start() -> None:
        for _ in range(count):  # each call that finds no idle process starts one
            pool.submit(int)

    with _watched(pool), pool, ThreadPoolExecutor(1) as beside:
        with _of_workers():
            if context.get_start_method() == "forkserver":
                forkserver.ensure_running()
                beside.submit(start)  # which the server lets wait until it has imported
            else:
                start()
        yield partial(_run_in, pool)


def _run_in(
    pool: ProcessPoolExecutor, function: Callable[[Item], Result], items: Iterable[Item], jobs: int = 1
) -> Iterator[Result]:
    under_way: deque[Future[Result]] = deque()
    try:
        for item in items:
            under_way.append(pool.submit(function, item))
            if len(under_way) >= UNDER_WAY * jobs:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
    except BrokenProcessPool as error:
        raise SpeechbenchError(
            "a worker process was killed, perhaps for want of memory; free some, or ask for fewer (--jobs or OMP_NUM_THREADS), "
            "and start again, where a command has it with --resume"
        ) from error
    finally:
        for future in under_way:
            future.cancel()


@contextmanager
def _watched(pool: ProcessPoolExecutor) -> Iterator[None]:
    """See to it that a killed worker breaks the pool, even one that had told half of a result.

    The pool would wait for the other half for ever, since it holds an end of the pipe itself, into which it never writes. That
    end is led elsewhere and not closed, for the pool closes it in the end.
    """
    left = threading.Event()

    def watch() -> None:
        was_killed = False
        while not left.wait(LOOK) and not pool._broken:
            workers = list((pool._processes or {}).values())
            if was_killed:  # at the look before; the pool notices at once, if it can
                for worker in workers:
                    worker.kill()
                with Path(os.devnull).open("wb") as nowhere:
                    os.dup2(nowhere.fileno(), pool._result_queue._writer.fileno())  # type: ignore[attr-defined]
                return
            was_killed = any((worker.exitcode or 0) < 0 for worker in workers)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        left.set()
        watcher.join()


def _make_ready(*modules: str) -> None:
    """What a worker does before it takes work."""
    _end_with_parent()
    for name in modules:
        importlib.import_module(name)


def _end_with_parent() -> None:
    """Let this worker die when its parent is killed: it would wait for work for ever, and finish what was queued.

    A parent that is killed while this process imports is dead already: not one queued item may be begun then, for a stage
    that is resumed meanwhile takes no longer to start than this worker did.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None, "only a worker has this called"

    if not parent.is_alive():
        os._exit(1)

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


class _of_workers:
    """While open, new processes are told to use one thread, and that Ctrl-C is for this one, which ends them.

    Numerical libraries read how many threads to use when they start; what signals are held back is inherited.
    """

    def __enter__(self) -> None:
        self.before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
        os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
        self.held_back = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})

    def __exit__(self, *_: object) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self.held_back)
        for name, value in self.before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
