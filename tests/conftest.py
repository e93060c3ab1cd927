"""Fixtures that several tests share. Tests make their own audio; real recordings are optional."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real speech and noise beside the checkout; tests that need it are skipped where it is absent."""
    place = Path(os.environ.get("SPEECHBENCH_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not place.is_dir():
        pytest.skip("no real recordings here: set SPEECHBENCH_DATA to a folder that holds them")
    return place
