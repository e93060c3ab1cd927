"""Our own pipeline on the folds of the rivals, by its commands: trained, and decoded in each condition.

The language model is the fold's. Decoding weights are chosen once, in training, on dev of the training's kind. Training and
decoding are whole commands on one thread: start, features and the looks at dev are part of them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rivals_decode import timing
from rivals_folds import CONDITIONS

from speechbench import manifest
from speechbench.errors import SpeechbenchError
from speechbench.recognizer import read_hypotheses
from speechbench.score import score


@dataclass(frozen=True)
class Ours:
    """How the pipeline is trained, with sets named by their paths in a fold."""

    train: str
    dev: str
    acoustic: str  # the last stage


CLEAN, CAR = ("train.jsonl", "dev.jsonl"), ("car/train/manifest.jsonl", "car/dev/manifest.jsonl")
SYSTEMS = {
    "speechbench-triphone": Ours(*CLEAN, "triphone"),
    "speechbench": Ours(*CLEAN, "network"),
    "speechbench-car": Ours(*CAR, "network"),
}


def measure(system: str, fold: Path, out: Path) -> dict[str, Any]:
    """Train and test.

    Args:
        system: Of `SYSTEMS`.
        fold: Folder of the fold.
        out: Folder for the run, which is replaced.

    Returns:
        What training took, and what was found in each condition.
    """
    ours, run = SYSTEMS[system], out / "run"
    settings = ("--set", f"acoustic={ours.acoustic}", "--set", f"language_model.arpa={fold / 'lm.arpa'}")
    sets = ("--train", fold / ours.train, "--dev", fold / ours.dev)
    with timing() as times:
        _speechbench("train", "--mode", "pipeline", *sets, *settings, "--out", run, "--overwrite")
    seconds = sum(utterance.duration for utterance in manifest.read(fold / ours.train))
    took = {"audio_seconds": seconds, "wall_seconds": times.wall, "cpu_seconds": times.cpu}
    training = {"processes": 1, **{name: round(value, 1) for name, value in took.items()}}
    return {"training": training, "tests": {name: _test(run, fold / test, name) for name, (test, _) in CONDITIONS.items()}}


def _test(run: Path, test: Path, condition: str) -> dict[str, Any]:
    data, found = manifest.read(test), run.parent / f"{condition}.jsonl"
    with timing() as times:
        _speechbench("decode", run, "--data", test, "--out", found, "--overwrite")
    hypotheses = {key: one.text for key, one in read_hypotheses(found).items()}
    counts = score({utterance.id: utterance.text or "" for utterance in data}, hypotheses).total
    seconds = sum(utterance.duration for utterance in data)
    return {**asdict(counts), "audio_seconds": round(seconds, 1), "cpu_seconds": round(times.cpu, 2)}


def _speechbench(*arguments: str | Path) -> None:
    command: Sequence[str] = [sys.executable, "-m", "speechbench", *map(str, arguments)]
    one_thread = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=one_thread)
    if done.returncode:
        raise SpeechbenchError(f"{' '.join(command[2:])}: {done.stderr.strip().splitlines()[-1]}")
