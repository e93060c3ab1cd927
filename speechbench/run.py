"""A run: one folder per training, opened by path.

speechbench.json says whether it is finished, so that a training that was stopped never looks so.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speechbench import __version__
from speechbench.errors import SpeechbenchError
from speechbench.files import is_finished, mark, read_json, sha256, write_json
from speechbench.manifest import Manifest

PACKAGES = ("numpy", "torch", "torchaudio", "kaldifst", "kaldi-decoder")


@dataclass(frozen=True)
class Run:
    """A training's folder: config.json, provenance.json, metrics.jsonl, the recogniser's files, hypotheses/."""

    path: Path

    @classmethod
    def create(
        cls, path: Path, mode: str, config: Any, seed: int, manifests: dict[str, Manifest], facts: dict[str, Any] | None = None
    ) -> Run:
        """Start a run in a new folder (`files.making`): write its resolved config and where everything came from.

        Args:
            path: The folder.
            mode: Of the training.
            config: The mode's.
            seed: Of all chance.
            manifests: That are read.
            facts: What else decides what comes out.
        """
        write_json(path / "config.json", {"mode": mode, **dataclasses.asdict(config)})
        write_json(
            path / "provenance.json",
            {
                "mode": mode,
                "seed": seed,
                "command": sys.argv[1:],
                "manifests": {name: _describe(manifest) for name, manifest in manifests.items()},
                **(facts or {}),
                "versions": _versions(),
            },
        )
        return cls(path)

    @classmethod
    def check_begun(
        cls, path: Path, mode: str, config: Any, manifests: dict[str, Manifest], facts: dict[str, Any] | None = None
    ) -> None:
        """Refuse to go on with another training than was begun; the arguments are as for `create`.

        Raises:
            SpeechbenchError: Other settings, or manifests with another content; names the first that differs.
        """
        provenance = read_json(path / "provenance.json")
        fixed = {
            key: value for key, value in provenance.items() if key not in ("mode", "seed", "command", "manifests", "versions")
        }
        begun = read_json(path / "config.json") | fixed
        now = json.loads(json.dumps({"mode": mode, **dataclasses.asdict(config), **(facts or {})}, default=os.fspath))
        for key in sorted(begun.keys() | now.keys()):
            if begun.get(key) != now.get(key):
                raise SpeechbenchError(
                    f"{path}: was begun with {key} = {begun.get(key)}, not {now.get(key)}; "
                    "resume with the same, or name another folder"
                )
        described = {name: _describe(manifest).get("sha256") for name, manifest in manifests.items()}
        for name in sorted(provenance["manifests"].keys() | described.keys()):
            if provenance["manifests"].get(name, {}).get("sha256") != described.get(name):
                raise SpeechbenchError(
                    f"{path}: was begun with other lines in its {name} manifest; resume with the same, or name another folder"
                )

    @classmethod
    def open(cls, path: Path) -> Run:
        """Open a finished run.

        Raises:
            SpeechbenchError: No such folder, or a training that has not finished.
        """
        if not path.is_dir():
            raise SpeechbenchError(f"{path}: no such run")
        if not is_finished(path, "run"):
            raise SpeechbenchError(f"{path}: holds no finished training; name a folder that 'speechbench train' wrote")
        return cls(path)

    @property
    def mode(self) -> str:
        """How it was trained: "pipeline" or "e2e"."""
        return str(self.config["mode"])

    @property
    def config(self) -> dict[str, Any]:
        """The resolved config."""
        document: dict[str, Any] = read_json(self.path / "config.json")
        return document

    @property
    def provenance(self) -> dict[str, Any]:
        """Manifests, versions, seed and command of the training."""
        document: dict[str, Any] = read_json(self.path / "provenance.json")
        return document

    def log(self, **metrics: Any) -> None:
        """Append one line to metrics.jsonl."""
        with (self.path / "metrics.jsonl").open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(metrics) + "\n")

    def forget(self) -> None:
        """Remove metrics.jsonl: the training begins again, or goes on from what its stages know."""
        (self.path / "metrics.jsonl").unlink(missing_ok=True)

    def metrics(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl."""
        path = self.path / "metrics.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def dev_looks(self) -> int:
        """How often something was chosen by its errors on dev: epochs, decoding weights."""
        return sum(any(key.startswith("dev_") and key.endswith(("wer", "per")) for key in row) for row in self.metrics())

    def finish(self, **facts: Any) -> None:
        """Mark the run as finished."""
        mark(self.path, "run", mode=self.mode, **facts)


def _describe(manifest: Manifest) -> dict[str, Any]:
    facts: dict[str, Any] = {"utterances": len(manifest), "seconds": round(manifest.seconds, 3)}
    if manifest.path is not None:
        facts |= {"path": str(manifest.path.absolute()), "sha256": sha256(manifest.path)}
    return facts


def _versions() -> dict[str, str]:
    versions = {"speechbench": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "absent"
    return versions
