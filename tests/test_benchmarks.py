"""The benchmark scripts are run by hand; what they import must at least be there."""

import importlib
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "benchmarks"
RIVALS = {"e2e_speechbrain": "speechbrain"}  # what a script needs that is not ours


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.py")))
def test_a_benchmark_can_be_started(name, monkeypatch):
    if name in RIVALS:
        pytest.importorskip(RIVALS[name])
    monkeypatch.syspath_prepend(str(FOLDER))
    importlib.import_module(name)
