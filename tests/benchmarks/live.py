"""How fast scenes are rendered while training asks for them, and what of it is reading, moving and arithmetic.

Run: make bench-live, make bench-gpu, or python tests/benchmarks/live.py [--device cuda] [--speech M --noise M]

Without manifests it makes noise-like recordings: 2-15 s of "speech" and 30-300 s of noise, as FLAC at 16 kHz. The first
epoch is not counted: it computes the cabins and decodes speech and noise. Figures on the CPU are audio seconds per second of
process time, on one thread, so that other work on the machine does not count; on a GPU they are by the clock, with the
device waited for. Only ratios in one run count. `mix.render`, one scene after another, is the rival.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from pipelines.batches import length_batches
from speechbench import audio, manifest
from speechbench.audio import SAMPLING_RATE
from speechbench.manifest import Manifest, Skipped, Utterance
from synth import batch, mix, recipe
from synth.build import Plan
from synth.live import Live
from synth.reading import side_by_side
from synth.scene import Scene

UTTERANCES, NOISES = 300, 12
ROUNDS = 2


def make(folder: Path, name: str, lengths: Iterable[float]) -> Path:
    """Write recordings of coloured noise and their manifest."""

    def write(number: int, seconds: float) -> Utterance:
        rng = np.random.default_rng([len(name), number])
        samples = np.convolve(rng.normal(0, 0.05, round(seconds * SAMPLING_RATE)), [0.5, 0.3, 0.2], "same")
        path = folder / name / f"{name}{number:03d}.flac"
        audio.write(path, samples.astype(np.float32))
        return Utterance(path.stem, path, samples.size / SAMPLING_RATE, extra={"source": path.stem})

    with ThreadPoolExecutor() as pool:
        Manifest(tuple(pool.map(write, *zip(*enumerate(lengths), strict=True)))).write(folder / f"{name}.jsonl")
    return folder / f"{name}.jsonl"


def groups(scenes: list[Scene], seconds: float) -> Iterator[list[Scene]]:
    """Batches of like length, as a trainer makes them."""
    lengths = [round(one.clean_duration * 100) for one in scenes]
    for indices in length_batches(lengths, round(seconds * 100), np.random.default_rng(0)):
        yield [scenes[index] for index in indices]


def measure(live: Live, clock: Callable[[], float], batch_seconds: float) -> dict[str, float]:
    """Seconds for an epoch: each part alone, then all together."""
    scenes = live.scenes(1)
    spent = dict.fromkeys(("read", "pad and move", "arithmetic"), 0.0)
    for group in groups(scenes, batch_seconds):
        start = clock()
        heard = [live.reader.read(one) for one in group]
        spent["read"] += (read := clock()) - start
        sounds = batch.gather(side_by_side(heard), live.device)
        spent["pad and move"] += (moved := clock()) - read
        batch.mix(sounds)
        spent["arithmetic"] += clock() - moved
    start = clock()
    for _ in live.render(groups(scenes, batch_seconds)):
        pass
    spent["all, live"] = clock() - start
    start = clock()
    for one in scenes:
        mix.render(one)
    spent["one by one, mix.render"] = clock() - start
    return spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--batch-seconds", type=float, default=320.0)
    parser.add_argument("--utterances", type=int, default=UTTERANCES)
    parser.add_argument("--speech", type=Path)
    parser.add_argument("--noise", type=Path)
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        sys.exit(f"torch {torch.__version__} sees no GPU on this machine: nothing was measured; --device cpu measures the CPU")
    torch.set_num_threads(1)
    clock = time.process_time if options.device == "cpu" else waited
    with tempfile.TemporaryDirectory() as folder:
        rng = np.random.default_rng(0)
        speech = options.speech or make(Path(folder), "speech", rng.uniform(2, 15, options.utterances))
        noise = options.noise or make(Path(folder), "noise", rng.uniform(30, 300, NOISES))
        for name in ("plain", "car"):
            plan = Plan(manifest.read(speech), [noise], recipe.load(name))
            live = Live(plan, Skipped(), options.device)
            measure(live, clock, options.batch_seconds)
            rounds = [measure(live, clock, options.batch_seconds) for _ in range(ROUNDS)]
            best = {part: min(spent[part] for spent in rounds) for part in rounds[0]}
            seconds, whole = plan.speech.seconds, best["one by one, mix.render"]
            print(
                f"recipe {name} on {options.device}: {seconds / 3600:.2f} h of speech in batches of {options.batch_seconds:g} s"
            )
            for part, spent in best.items():
                print(f"  {part:24} {seconds / spent:10,.0f} audio s/s   ratio {whole / spent:6.2f}")


def waited() -> float:
    """The time by the clock, once the GPU has done what it was given."""
    torch.cuda.synchronize()
    return time.perf_counter()


if __name__ == "__main__":
    main()
