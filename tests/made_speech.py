"""Speech-like and noise recordings that the synthesis tests make for themselves."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from speechbench import audio
from speechbench.manifest import Manifest, Utterance

RATE = audio.SAMPLING_RATE


def syllables(rng: np.random.Generator, seconds: float, level: float = 0.1, pause: float = 0.3) -> audio.Samples:
    """Noise in bursts of about 0.25 s, with pauses."""
    samples = rng.normal(0, level, round(seconds * RATE))
    time = np.arange(samples.size) / RATE
    samples *= 0.5 - 0.5 * np.cos(2 * np.pi * 4 * time)
    samples[(time % 2.0) > 2.0 * (1 - pause)] = 0
    return np.clip(samples, -1, 1).astype(np.float32)


def make_speech(folder: Path, seconds: list[float], split: str | None = None) -> Path:
    rows = []
    for number, length in enumerate(seconds):
        path = folder / "speech" / f"utt{number:02d}.flac"
        audio.write(path, syllables(np.random.default_rng(number), length))
        rows.append(
            Utterance(
                path.stem, path, length, text=f"word{number}", speaker="ann", split=split, extra={"labels": {"accent": "x"}}
            )
        )
    path = folder / "speech.jsonl"
    Manifest(tuple(rows)).write(path)
    return path


def make_noise(folder: Path, sources: int = 3, each: int = 2, seconds: float = 3.0, name: str = "noise", **keys: Any) -> Path:
    rows = []
    for source in range(sources):
        for number in range(each):
            path = folder / name / f"{name}-{source}-{number}.flac"
            rng = np.random.default_rng([source, number])
            audio.write(path, np.clip(rng.normal(0, 0.05 * (1 + source), round(seconds * RATE)), -1, 1).astype(np.float32))
            row = {"source": f"{name}-car{source}", "condition": ["city", "highway"][number % 2]} | keys
            rows.append(Utterance(path.stem, path, seconds, split=row.pop("split", None), extra=row))
    path = folder / f"{name}.jsonl"
    Manifest(tuple(rows)).write(path)
    return path


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder with its bytes."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def rows_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]
