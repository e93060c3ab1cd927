"""Figures for TensorBoard are those of metrics.jsonl."""

import importlib.util

import pytest
from test_e2e_resume import train_until_killed
from toy_language import make_corpus, train

from pipelines.ctc.board import FOLDER
from pipelines.ctc.step import Stepper
from speechbench.errors import SpeechbenchError
from speechbench.run import Run

SETTINGS = ("training.tensorboard=true", "training.epochs=3", "training.look_every=2", "training.checkpoint_seconds=0")


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    return make_corpus(folder, "train", 12, "characters"), make_corpus(folder, "dev", 3, "characters", seed=1)


def shown(run):
    """(name, epoch): value."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator", reason="needs tensorboard")
    events = accumulator.EventAccumulator(str(run / FOLDER))
    events.Reload()
    return {(name, one.step): one.value for name in events.Tags()["scalars"] for one in events.Scalars(name)}


def logged(run):
    rows = [row for row in Run.open(run).metrics() if row["stage"] == "network" and "epoch" in row]
    return {(key, row["epoch"]): value for row in rows for key, value in row.items() if key not in ("stage", "epoch")}


@pytest.mark.parametrize("killed", [False, True])
def test_the_figures_are_those_of_the_metrics(sets, tmp_path, killed):
    out = tmp_path / "run"
    if killed:
        assert train_until_killed(Stepper, "step", 5, sets, out, *SETTINGS)
    train("e2e", *sets, out, *SETTINGS, *(["--resume"] if killed else []))
    assert shown(out) == pytest.approx(logged(out))
    assert {name for name, _ in shown(out)} == {"loss", "dev_greedy_wer"}


def test_without_the_package_nothing_is_begun(sets, tmp_path, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "tensorboard" else found(name, *rest))
    with pytest.raises(SpeechbenchError, match=r"tensorboard is not installed; pip install 'speechbench\[tensorboard\]'"):
        train("e2e", *sets, tmp_path / "run", *SETTINGS)
    assert not (tmp_path / "run").exists()


def test_nothing_is_written_unless_asked(sets, tmp_path):
    made = train("e2e", *sets, tmp_path / "run", "training.epochs=1")
    assert not (made / FOLDER).exists()
