"""The figures of each epoch for TensorBoard, beside metrics.jsonl."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pipelines import parallel
from pipelines.ctc.checkpoint import Row
from pipelines.ctc.config import TrainingConfig
from speechbench.errors import SpeechbenchError

FOLDER = "tensorboard"  # of a run


def check_board(config: TrainingConfig) -> None:
    """Before hours of work.

    Raises:
        SpeechbenchError: TensorBoard is asked for and not installed.
    """
    if config.tensorboard and importlib.util.find_spec("tensorboard") is None:
        raise SpeechbenchError(
            "training.tensorboard is on, but tensorboard is not installed; pip install 'speechbench[tensorboard]'"
        )


@contextmanager
def board(folder: Path, config: TrainingConfig) -> Iterator[Callable[[Row], None]]:
    """Takes rows of metrics while it is open, those of epochs before a stop too: what was there is written anew."""
    if not (config.tensorboard and parallel.is_first()):
        yield lambda row: None
        return
    from torch.utils.tensorboard import SummaryWriter

    shutil.rmtree(folder, ignore_errors=True)
    with SummaryWriter(folder) as writer:

        def write(row: Row) -> None:
            for name, value in row.items():
                if "epoch" in row and name != "epoch" and isinstance(value, (int, float)):
                    writer.add_scalar(name, value, row["epoch"])

        yield write
