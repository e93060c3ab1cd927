import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from speechbench import files
from speechbench.errors import SpeechbenchError
from speechbench.manifest import Manifest, Utterance, read
from speechbench.run import Run


@dataclass(frozen=True)
class Inner:
    epochs: int = 3


@dataclass(frozen=True)
class Config:
    seed: int = 7
    training: Inner = field(default_factory=Inner)


@pytest.fixture
def data(tmp_path):
    Manifest((Utterance("a", tmp_path / "a.wav", 1.5, text="hi"),)).write(tmp_path / "train.jsonl")
    return read(tmp_path / "train.jsonl")


@pytest.fixture
def run(tmp_path, data):
    """A run under way."""
    with files.making(tmp_path / "run", "run"):
        return Run.create(tmp_path / "run", "e2e", Config(), 7, {"train": data, "made": Manifest(data.utterances)})


def test_a_run_knows_its_config_and_where_everything_came_from(run, data):
    assert run.mode == "e2e"
    assert run.config == {"mode": "e2e", "seed": 7, "training": {"epochs": 3}}
    train = run.provenance["manifests"]["train"]
    assert train == {"utterances": 1, "seconds": 1.5, "path": str(data.path), "sha256": files.sha256(data.path)}
    assert run.provenance["manifests"]["made"] == {"utterances": 1, "seconds": 1.5}
    assert {"speechbench", "python", "torch", "numpy"} <= set(run.provenance["versions"])
    assert run.provenance["seed"] == 7


def test_only_a_finished_run_opens(run, tmp_path):
    with pytest.raises(SpeechbenchError, match=r"run: holds no finished training; name a folder"):
        Run.open(run.path)
    run.finish(utterances=1)
    assert Run.open(run.path).config == run.config
    marker = json.loads((run.path / files.MARKER).read_text())
    assert marker == {"kind": "run", "finished": True, "mode": "e2e", "utterances": 1}


def test_other_folders_are_no_runs(tmp_path):
    with pytest.raises(SpeechbenchError, match="no such run"):
        Run.open(Path("nowhere"))
    files.mark(tmp_path, "synth")
    with pytest.raises(SpeechbenchError, match="holds no finished training"):
        Run.open(tmp_path)


def test_metrics_are_kept_in_order(run):
    assert run.metrics() == []
    run.log(stage="network", epoch=1, loss=0.5)
    run.log(stage="network", epoch=2, loss=0.25)
    assert [row["loss"] for row in run.metrics()] == [0.5, 0.25]
