"""How well end-to-end training uses a GPU: audio per second, share of the peak, how busy the GPU is, with mixing beside it.

Run: make bench-gpu, or python tests/benchmarks/e2e_gpu.py [--network '10M conformer'] [--compile off] [--device cpu]

Networks of 10 M and 30 M parameters train as `speechbench train` does, once on features from a file and once on scenes that
are rendered meanwhile; speech and noise are made here (`live.py`), and an epoch has each recording several times. A step's
arithmetic is taken as 6 x parameters x frames that the encoder works on: two operations per weight and frame forward, four
backward. The busy share is the time in which at least one kernel runs, of some batches for which torch's profiler watches, over
the time that as much audio takes in the epoch before it, for which it does not: it takes the processor half as long again to
launch what is watched. Copies are no kernels. The first epoch, in which torch compiles, recordings are decoded for the first
time and memory is asked for, is not counted. On the CPU, which only shows that the script works, a small network is taken, and
neither share is told.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from live import make
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from pipelines.ahead import ahead
from pipelines.batches import length_batches
from pipelines.ctc.config import SPEAKER_FRAMES, AugmentConfig, EncoderConfig, TrainingConfig
from pipelines.ctc.items import Batch, Item, Source, Stored
from pipelines.ctc.network import Network, steps_of
from pipelines.ctc.scenes import Scenes
from pipelines.ctc.sizes import Kind, Size
from pipelines.ctc.step import Stepper
from pipelines.frames import write_frames
from speechbench import manifest
from speechbench.features import FRAME_SHIFT, cmvn, frames_of, log_mel
from speechbench.manifest import Manifest, Skipped, Utterance
from synth import recipe
from synth.apart import Apart, apart
from synth.build import Plan
from synth.live import Live

PEAKS = {"H100": 989.0, "H200": 989.0, "A100": 312.0, "L40S": 362.0, "L4": 121.0, "T4": 65.0}  # dense bf16 (T4: fp16) TFLOP/s
TOKENS, BANDS, SPEAKERS = 30, EncoderConfig().bands, 20
KINDS: tuple[Kind, ...] = ("recurrent", "conformer")
SIZES: tuple[Size, ...] = ("10M", "30M")
ENCODERS = {f"{size} {kind}": EncoderConfig(kind=kind, size=size) for size in SIZES for kind in KINDS}
WATCHED = 12  # batches for which the profiler watches
SMALL = {"small": EncoderConfig(channels=64, recurrent=64, layers=1)}


@dataclass(frozen=True)
class Measured:
    seconds: float  # by the clock
    busy: float | None  # share of the time in which kernels run; None on the CPU
    audio: float  # s
    steps: int  # of the encoder, padding left out


def measure(stepper: Stepper, source: Source, batches: list[list[int]]) -> Measured:
    """Train for an epoch that is not counted, then for another, then for some batches that are watched."""
    parts = (batches, batches, batches[:WATCHED], batches[:WATCHED])  # the last is read ahead
    stepper.network.train()
    with closing(ahead(stepper.brought(source, ((epoch, dict(enumerate(part))) for epoch, part in enumerate(parts))))) as read:
        train(stepper, read)
        wait(stepper)
        start = time.perf_counter()
        frames, steps = train(stepper, read)
        wait(stepper)
        seconds = time.perf_counter() - start
        busy = None
        if stepper.device.type == "cuda":
            with profile(activities=[ProfilerActivity.CUDA], acc_events=True) as watch:
                watched, _ = train(stepper, read)
                wait(stepper)
            busy = covered(watch.events()) / watched * frames / seconds
    return Measured(seconds, busy, frames * FRAME_SHIFT, steps)


def covered(events: Iterable[Any]) -> float:
    """The time (s) in which at least one kernel runs; kernels of several streams may overlap."""
    kernels = (event.time_range for event in events if event.device_type == DeviceType.CUDA and event.name[:3] != "Mem")
    end = total = 0.0
    for start, stop in sorted((kernel.start, kernel.end) for kernel in kernels):
        total += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return total / 1e6


def train(stepper: Stepper, read: Iterator[tuple[int, Batch] | None]) -> tuple[int, int]:
    """A step for each batch of an epoch; returns frames, and the encoder's steps, padding left out."""
    frames = steps = 0
    for number, batch in iter(partial(next, read), None):
        stepper.step(1, number, batch, 1.0, len(batch.items))
        if stepper.must_be_read:
            stepper.losses()
        frames += int(batch.lengths.sum())
        steps += int(steps_of(batch.lengths).sum())
    stepper.losses()
    return frames, steps


def wait(stepper: Stepper) -> None:
    if stepper.device.type == "cuda":
        torch.cuda.synchronize()


def copied(speech: Manifest, copies: int) -> Manifest:
    """Each recording so many times, under other names."""
    return Manifest(tuple(replace(one, id=f"{one.id}-{copy}") for copy in range(copies) for one in speech))


def items_of(speech: Manifest) -> list[Item]:
    """A token for each 0.1 s; speakers in turn."""
    rng = np.random.default_rng(0)

    def item(number: int, one: Utterance) -> Item:
        tokens = torch.from_numpy(rng.integers(1, TOKENS, int(one.duration * 10)))
        return Item(one.id, one.id, frames_of(round(one.duration * 16_000)), tokens, speaker=f"speaker{number % SPEAKERS}")

    return [item(*numbered) for numbered in enumerate(speech)]


def sources(
    folder: Path, speech: Manifest, noise: Path, device: str, reader: Apart | None, copies: int = 1
) -> dict[str, Source]:
    """Features in a file, and scenes."""
    whole, skipped = copied(speech, copies), Skipped()
    items = items_of(whole)
    with ThreadPoolExecutor() as pool:
        frames = write_frames(folder / "frames.f32", pool.map(lambda u: cmvn(log_mel(u.samples(), BANDS)), speech))
    places = {item.id: place % len(frames) for place, item in enumerate(items)}
    live = Live(Plan(whole, [noise], recipe.load("car")), skipped, device, reader)
    return {
        "features in a file": Stored(items, lambda key: frames[places[key]], device == "cuda"),
        "scenes on the fly": Scenes(live, {item.id: item for item in items}, BANDS, skipped, SPEAKER_FRAMES),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", choices=("cpu", "cuda"))
    parser.add_argument("--peak", type=float, help="TFLOP/s in bf16 of the GPU; known for " + ", ".join(PEAKS))
    parser.add_argument("--utterances", type=int, default=1500)
    parser.add_argument("--copies", type=int, default=24, help="how often each of them comes in an epoch")
    parser.add_argument("--batch-seconds", type=float, action="append", help="may be repeated; 1920 and 7680, if not given")
    parser.add_argument("--compile", action="append", choices=("on", "off"), help="may be repeated; on, if not given")
    parser.add_argument("--network", action="append", choices=ENCODERS, help="only this one; may be repeated")
    parser.add_argument("--readers", default="process", choices=("process", "threads"), help="of scenes, beside a GPU")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        sys.exit(f"torch {torch.__version__} sees no GPU on this machine: nothing was measured")
    gpu = options.device == "cuda"
    name = torch.cuda.get_device_name() if gpu else "CPU"
    peak = options.peak or next((value for key, value in PEAKS.items() if key in name), None)
    config = replace(TrainingConfig(), device=options.device, epochs=2)
    print(f"{name}, torch {torch.__version__}")
    reading = apart() if gpu and options.readers == "process" else nullcontext()
    with tempfile.TemporaryDirectory() as path, reading as reader:
        folder, rng = Path(path), np.random.default_rng(0)
        speech = manifest.read(make(folder, "speech", rng.uniform(2, 15, options.utterances)))
        noise = make(folder, "noise", rng.uniform(30, 300, 12))
        kinds = sources(folder, speech, noise, options.device, reader, options.copies)
        for switch in options.compile or ("on",):
            for size in options.network or (ENCODERS if gpu else SMALL):
                for seconds, (kind, source) in product(options.batch_seconds or (1920.0, 7680.0), kinds.items()):
                    chosen = replace(config, compile=switch, batch_seconds=seconds)
                    said = f"{size}, {kind}, batches of {seconds:g} s, compile {switch}"
                    tell(said, Network(TOKENS, (ENCODERS | SMALL)[size]), source, chosen, peak)


def tell(name: str, network: Network, source: Source, config: TrainingConfig, peak: float | None) -> None:
    """Measure, and print a line."""
    lengths = [item.frames for item in source.items]
    frames = round(config.batch_of(FRAME_SHIFT * sum(lengths), len(lengths)) / FRAME_SHIFT)
    batches = length_batches(lengths, frames, np.random.default_rng(0))
    stepper = Stepper(network, config, AugmentConfig(), 0, 3 * len(batches))
    began = time.perf_counter()
    found = measure(stepper, source, batches)
    first = time.perf_counter() - began - found.seconds
    done = 6.0 * network.parameter_count * found.steps / found.seconds / 1e12
    share = f" ({100 * done / peak:.1f} % of the peak)" if peak else ""
    if found.busy is not None:
        used, held = torch.cuda.max_memory_allocated() / 2**30, torch.cuda.max_memory_reserved() / 2**30
        given_back = torch.cuda.memory_stats()["num_alloc_retries"]  # all that was free, for there was no piece large enough
        share += f", GPU busy {100 * found.busy:.0f} %, {used:.1f} of {held:.1f} GiB, given back {given_back} times"
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        torch.cuda.reset_accumulated_memory_stats()
    print(
        f"{name}, {network.parameter_count / 1e6:.1f} M weights: {found.audio / found.seconds:,.0f} audio s/s, "
        f"{found.seconds / len(batches) * 1e3:.0f} ms a step, {done:.2f} TFLOP/s{share}; before it {first:.1f} s",
        flush=True,
    )


if __name__ == "__main__":
    main()
