"""The two modes by name. Each has a config, `train`, and a recogniser; a third is added here and nowhere else."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from speechbench.errors import unknown_name
from speechbench.recognizer import Recognizer
from speechbench.run import Run


@dataclass(frozen=True)
class Mode:
    """Where a mode lives; its modules are imported when they are used."""

    package: str
    config_name: str
    recognizer_name: str

    @property
    def config(self) -> type[Any]:
        """The config's dataclass."""
        kind: type[Any] = getattr(importlib.import_module(f"{self.package}.config"), self.config_name)
        return kind

    @property
    def train(self) -> Callable[..., None]:
        """`train(run, config, manifest, dev, skipped)`; e2e's takes `init` too."""
        function: Callable[..., None] = importlib.import_module(f"{self.package}.train").train
        return function

    def open(self, run: Run) -> Recognizer:
        """The recogniser of a finished run."""
        recognizer: Recognizer = getattr(importlib.import_module(f"{self.package}.recognizer"), self.recognizer_name)(run)
        return recognizer


MODES = {
    "pipeline": Mode("pipelines.phoneme", "PipelineConfig", "PipelineRecognizer"),
    "e2e": Mode("pipelines.e2e", "E2eConfig", "E2eRecognizer"),
}


def mode_of(name: str) -> Mode:
    """A mode by its name.

    Raises:
        SpeechbenchError: An unknown name.
    """
    if name not in MODES:
        raise unknown_name("mode", name, MODES)
    return MODES[name]


def open_recognizer(run: Run) -> Recognizer:
    """The recogniser of a finished run, whatever its mode."""
    return mode_of(run.mode).open(run)
