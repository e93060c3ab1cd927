"""How far a training has come, in one file that is written aside and renamed: all that it takes to go on after a stop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from pipelines import tensors
from speechbench.errors import SpeechbenchError

KIND, VERSION = "speechbench training by CTC", 1

Row = dict[str, float | None]  # the metrics of an epoch; a rate is None where dev has nothing to be right
State = dict[str, Tensor]


@dataclass
class Look:
    """The weights after an epoch, and their errors on dev."""

    epoch: int
    errors: int
    weights: State


@dataclass
class Progress:
    """Where a training is, and what it has seen."""

    epoch: int = 1  # the one under way
    batches: int = 0  # of it that are done
    steps: int = 0  # done in all
    losses: list[float] = field(default_factory=list)  # of the epoch under way
    rows: list[Row] = field(default_factory=list)  # of the epochs that are done
    since_best: int = 0  # looks at dev since the best
    over: bool = False
    best: list[Look] = field(default_factory=list)  # the best last

    def keep(self, look: Look, most: int) -> None:
        """Remember a look if it is among the best; of equals the later is better."""
        is_best = not self.best or look.errors <= self.best[-1].errors
        self.since_best = 0 if is_best else self.since_best + 1
        self.best = sorted([*self.best, look], key=lambda one: (-one.errors, one.epoch))[-most:]


def save(path: Path, progress: Progress, state: State, mode: str) -> None:
    """Write a checkpoint.

    Args:
        path: The file.
        progress: Where the training is.
        state: Of network and optimiser.
        mode: What is trained: a checkpoint of another mode is refused.
    """
    facts = asdict(progress) | {"best": [[look.epoch, look.errors] for look in progress.best]}
    best = {f"best.{number}.{name}": w for number, look in enumerate(progress.best) for name, w in look.weights.items()}
    tensors.save(path, {f"state.{name}": w for name, w in state.items()} | best, facts | {"kind": [KIND, VERSION, mode]})


def load(path: Path, mode: str) -> tuple[Progress, State]:
    """Read a checkpoint.

    Raises:
        SpeechbenchError: The file is not whole, or of another mode or version.
    """
    stored, facts = tensors.load(path)
    if not isinstance(facts, dict) or "kind" not in facts:
        raise SpeechbenchError(f"{path}: is no checkpoint of a training; remove it to begin again")
    _check_kind(path, facts.pop("kind"), mode)
    best = [Look(epoch, errors, _part(stored, f"best.{n}.")) for n, (epoch, errors) in enumerate(facts.pop("best"))]
    return Progress(**facts, best=best), _part(stored, "state.")


def _check_kind(path: Path, kind: Sequence[Any], mode: str) -> None:
    for found, expected, name in zip(kind, (KIND, VERSION, mode), ("kind", "version", "mode"), strict=True):
        if found != expected:
            raise SpeechbenchError(
                f"{path}: is a checkpoint of {name} {found!r}, expected {expected!r}; "
                "resume with what wrote it, or remove it to begin again"
            )


def _part(stored: State, prefix: str) -> State:
    return {name.removeprefix(prefix): value for name, value in stored.items() if name.startswith(prefix)}


def average(states: Sequence[State]) -> State:
    """The mean of several weights; batch norm's running statistics are averaged too, counters are the last's.

    The weights come from the end of one training, a few steps of a low learning rate apart, where the mean of the statistics
    is close to the statistics of the mean. Measuring these anew would need a pass over the training set.

    Source: Izmailov et al. 2018 (averages of weights along one training).
    """
    last = states[-1]
    return {
        name: sum((state[name].double() for state in states[:-1]), value.double()).div(len(states)).to(value.dtype)
        if value.is_floating_point()
        else value
        for name, value in last.items()
    }
