"""Fixtures that several tests share. Tests make their own audio; real recordings are optional."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Before torch is imported: two threads that wait for each other on a busy machine take many times as long as one.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real speech and noise beside the checkout; tests that need it are skipped where it is absent."""
    place = Path(os.environ.get("SPEECHBENCH_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not place.is_dir():
        pytest.skip("no real recordings here: set SPEECHBENCH_DATA to a folder that holds them")
    return place
