"""Fixtures that several tests share. Tests make their own audio; real recordings are optional."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

# Before torch is imported: two threads that wait for each other on a busy machine take many times as long as one.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as the program has it


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real speech and noise beside the checkout; tests that need it are skipped where it is absent."""
    place = Path(os.environ.get("SPEECHBENCH_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not place.is_dir():
        pytest.skip("no real recordings here: set SPEECHBENCH_DATA to a folder that holds them")
    return place


@pytest.fixture
def two_threads() -> Iterator[None]:
    """Work in two threads, as on a machine with two cores."""
    import torch  # behind the line above that says how many threads it has

    from pipelines.ahead import threads

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    threads.cache_clear()
    yield
    torch.set_num_threads(before)
    threads.cache_clear()


@pytest.fixture
def processes_that_search(two_threads: None, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Have two processes search however little there is; tells how many were started."""
    from pipelines import decoding, searching
    from speechbench import jobs

    started = []

    def workers(count: int, *modules: str) -> AbstractContextManager[jobs.Run]:
        started.append(count)
        return jobs.workers(count, *modules)

    monkeypatch.setattr(searching, "WORTH_A_PROCESS", 100)
    monkeypatch.setattr(decoding, "workers", workers)
    return started
