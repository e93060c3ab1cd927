"""Synthesis against other tools on the same work: clean speech laid over noise at a random SNR and written to files.

Run: make bench-synth, or python tests/benchmarks/mixing.py [--utterances 1000] [--rounds 3] [--write BENCH.md]

Each measurement is a process of its own that imports, warms up on a few utterances, and then works through all of them.
What a warm-up would leave for the work itself is forgotten again: decoded noise, cabins' impulse responses.

The *floor* decodes the clean speech and writes it again with soundfile: no mixing at all. It does so in float32, as all
that mix must; *floor of 16-bit steps* never leaves integers, which spares libsndfile its slow rounding. Only ratios within
one run count, for machines and their load differ. The others do less: none measures the active speech level (P.56), counts
the use of noise, or could make the same bytes again. With two workers theirs are forked, with all that is imported; those of
speechbench start anew, and what they need is imported while they do, as in use.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import forkserver, get_context
from pathlib import Path

import numpy as np
import soundfile

from speechbench import audio, jobs, manifest
from speechbench.manifest import Manifest, Utterance
from synth import build, cabin, recipe
from synth.recordings import RECORDINGS

RATE = audio.SAMPLING_RATE
LENGTHS, NOISE_LENGTHS, NOISES = (2.0, 15.0), (30.0, 300.0), 24  # s
SNR_DB = (-5.0, 20.0)
WARM_UP = 8  # utterances
Job = tuple[list[Path], list[Path], Path, str]  # speech, noise, output folder, suffix


# --- what is mixed ---


def make_corpus(folder: Path, utterances: int) -> float:
    """Write speech-like and noise recordings with their manifests; the seconds of speech."""
    lengths = np.random.default_rng(0).uniform(*LENGTHS, utterances)
    speech = [_write(folder / "speech" / f"utt{n:05d}.flac", _speech(n, length)) for n, length in enumerate(lengths)]
    Manifest(tuple(speech)).write(folder / "speech.jsonl")
    Manifest(tuple(speech[:WARM_UP])).write(folder / "warm-up.jsonl")
    lengths = np.random.default_rng(1).uniform(*NOISE_LENGTHS, NOISES)
    noise = [_write(folder / "noise" / f"noise{n:02d}.flac", _noise(n, length)) for n, length in enumerate(lengths)]
    Manifest(tuple(noise)).write(folder / "noise.jsonl")
    return sum(utterance.duration for utterance in speech)


def _speech(number: int, seconds: float) -> audio.Samples:
    from scipy.signal import lfilter  # not at the top: workers' processes import this file, and it takes them half a second

    rng, time_ = np.random.default_rng([0, number]), np.arange(round(seconds * RATE)) / RATE
    bursts = (0.5 - 0.5 * np.cos(2 * np.pi * 4 * time_)) * (time_ % 3.0 < 2.4) + 0.001
    return _scaled(lfilter([1], [1, -0.95], rng.standard_normal(time_.size)) * bursts, 0.03)


def _noise(number: int, seconds: float) -> audio.Samples:
    from scipy.signal import lfilter

    return _scaled(lfilter([1], [1, -0.98], np.random.default_rng([1, number]).standard_normal(round(seconds * RATE))), 0.05)


def _scaled(samples: np.ndarray, rms: float) -> audio.Samples:
    return np.clip(samples * rms / samples.std(), -0.99, 0.99).astype(np.float32)


def _write(path: Path, samples: audio.Samples) -> Utterance:
    audio.write(path, samples)
    return Utterance(path.stem, path, samples.size / RATE, extra={"source": path.stem})


# --- who mixes: each function works through the speech once ---


def floor(job: Job, dtype: str = "float32") -> None:
    speech, _, out, suffix = job
    for path in speech:
        samples, rate = soundfile.read(path, dtype=dtype)
        soundfile.write(out / f"{path.stem}{suffix}", samples, rate, subtype="PCM_16")


def numpy_loop(job: Job) -> None:
    speech, noise, out, suffix = job
    rng, frames = np.random.default_rng(0), {path: soundfile.info(path).frames for path in noise}
    for path in speech:
        samples, rate = soundfile.read(path, dtype="float32")
        picked = noise[int(rng.integers(len(noise)))]
        start = int(rng.integers(max(1, frames[picked] - samples.size)))
        laid, _ = soundfile.read(picked, samples.size, start, dtype="float32")
        laid = np.resize(laid, samples.size)
        gain = np.sqrt(np.mean(samples**2) / np.mean(laid**2)) * 10 ** (-rng.uniform(*SNR_DB) / 20)
        mixed = samples + gain * laid
        soundfile.write(out / f"{path.stem}{suffix}", mixed / max(1.0, np.abs(mixed).max()), rate, subtype="PCM_16")


def audiomentations_loop(job: Job) -> None:
    import audiomentations

    speech, noise, out, suffix = job
    add = audiomentations.AddBackgroundNoise(noise, *SNR_DB, p=1.0)
    for path in speech:
        samples, rate = soundfile.read(path, dtype="float32")
        mixed = add(samples, sample_rate=rate)
        soundfile.write(out / f"{path.stem}{suffix}", mixed / max(1.0, np.abs(mixed).max()), rate, subtype="PCM_16")


def lhotse_mix(job: Job) -> None:
    from lhotse import CutSet, Recording

    speech, noise, out, suffix = job
    cuts, noises = (CutSet.from_cuts(Recording.from_file(path).to_cut() for path in paths) for paths in (speech, noise))
    mixed = cuts.mix(noises, snr=SNR_DB, mix_prob=1.0, seed=0, preserve_id="left", random_mix_offset=True)
    mixed.save_audios(out, format=suffix[1:], progress_bar=False)


def sox_command(job: Job) -> None:
    speech, noise, out, suffix = job
    rng = np.random.default_rng(0)
    for path in speech:
        picked = noise[int(rng.integers(len(noise)))]
        seconds = soundfile.info(path).duration
        # A typical level stands for measured ones, which would cost sox a process each.
        laid = f"|sox {picked} -p trim {rng.uniform(0, 15):.2f} {seconds:.3f}"
        gain = 0.6 * 10 ** (-rng.uniform(*SNR_DB) / 20)
        subprocess.run(["sox", "-D", "-m", path, "-v", f"{gain:.4f}", laid, out / f"{path.stem}{suffix}"], check=True)


def in_processes(loop: Callable[[Job], None], job: Job, workers: int) -> None:
    """Any loop in several processes, each with its share of the speech."""
    if workers == 1:
        return loop(job)
    speech, *rest = job
    with ProcessPoolExecutor(workers, get_context("fork")) as pool:
        list(pool.map(loop, [(speech[n::workers], *rest) for n in range(workers)]))
    return None


def speechbench(name: str, folder: Path, speech: str, out: Path, suffix: str, workers: int) -> None:
    """The whole stage as `speechbench synth` does it: noise heard, scenes planned and counted, rendered, listed, hashed."""
    plan = build.Plan(manifest.read(folder / speech), [folder / "noise.jsonl"], recipe.load(name))
    shutil.rmtree(out)
    with jobs.workers(workers, "synth.chunk", *cabin.modules(plan.recipe.cabin)) as run:
        build.build(plan, out, workers, container=suffix[1:], run=run)


LOOPS: dict[str, Callable[[Job], None]] = {
    "floor": floor,
    "floor of 16-bit steps": partial(floor, dtype="int16"),
    "numpy + soundfile": numpy_loop,
    "audiomentations + soundfile": audiomentations_loop,
    "lhotse mix + save_audios": lhotse_mix,
    "sox": sox_command,
}
BEGIN, END = "<!-- synthesis: begin -->", "<!-- synthesis: end -->"
RECIPES = {"speechbench, no cabin": "plain", "speechbench, cabin": "car"}


# --- measuring ---


def measure(folder: Path, name: str, suffix: str, workers: int) -> dict[str, float]:
    """Run in a process of its own: seconds on the clock, of processors, and the peak of memory of the largest process."""
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory(dir=folder) as place:
        if name in RECIPES:
            work = partial(speechbench, RECIPES[name], folder, out=Path(place), suffix=suffix, workers=workers)
            run = {part: partial(work, f"{part}.jsonl") for part in ("warm-up", "speech")}
        else:
            speech, noise = sorted((folder / "speech").iterdir()), sorted((folder / "noise").iterdir())
            jobs = {"warm-up": speech[:WARM_UP], "speech": speech}
            run = {
                part: partial(in_processes, LOOPS[name], (some, noise, Path(place), suffix), workers)
                for part, some in jobs.items()
            }
        run["warm-up"]()
        _end_server()
        RECORDINGS.forget()  # noise and cabins are part of the work; workers' processes begin without them too
        cabin.forget()
        Path(place).mkdir(exist_ok=True)
        wall, processors = time.monotonic(), _processor_seconds()
        run["speech"]()
        seconds = time.monotonic() - wall
        _end_server()
        spent = {"seconds": seconds, "processor_seconds": _processor_seconds() - processors}
        Path(place).mkdir(exist_ok=True)
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return spent | {"peak_mib": max(resource.getrusage(kind).ru_maxrss for kind in kinds) / 1024}


def _end_server() -> None:
    """Of workers: its time counts when it has ended, and the next are to start as they do in use."""
    forkserver._forkserver._stop()  # type: ignore[attr-defined]


def _processor_seconds() -> float:
    return sum(u.ru_utime + u.ru_stime for u in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))


def rows(folder: Path, rounds: int, speech_seconds: float) -> Iterator[dict[str, object]]:
    """The best of some rounds, in which all take turns, for each contender, format and number of workers."""
    names = [name for name in (*LOOPS, *RECIPES) if name != "sox" or shutil.which("sox")]
    for workers in (1, 2):
        for suffix in (".flac", ".wav"):
            best: dict[str, dict[str, float]] = {}
            for _ in range(rounds):
                for name in names:
                    command = [sys.executable, __file__, "--measure", str(folder), name, suffix, str(workers)]
                    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
                    found = json.loads(done.stdout.splitlines()[-1])
                    best[name] = min(best.get(name, found), found, key=lambda one: one["seconds"])
            for name, one in best.items():
                speed = speech_seconds / one["seconds"]
                share = best["floor"]["seconds"] / one["seconds"]
                yield {
                    "who": name,
                    "format": suffix[1:],
                    "workers": workers,
                    "audio s/s": round(speed),
                    "of the floor": f"{100 * share:.0f} %",
                    "processor s": round(one["processor_seconds"], 1),
                    "peak MiB": round(one["peak_mib"]),
                }


def table(listed: Sequence[dict[str, object]]) -> str:
    """The rows as Markdown."""
    head = list(listed[0])
    lines = [head, ["---"] * len(head), *([str(value) for value in row.values()] for row in listed)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def write_table(page: Path, text: str) -> None:
    """Put the table into a page between its marks; the rest of the page stays as it is.

    Raises:
        SystemExit: The page has no such marks.
    """
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"{page}: expected the lines {BEGIN} and {END}, between which the table is written")
    page.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--utterances", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", type=Path, help="put the table into this file too")
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--measure", nargs=4, metavar=("FOLDER", "NAME", "SUFFIX", "WORKERS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        folder, name, suffix, workers = options.measure
        print(json.dumps(measure(Path(folder), name, suffix, int(workers))))
        return
    if options.make:
        print(make_corpus(options.make, options.utterances))
        return
    with tempfile.TemporaryDirectory() as place:
        # In a process of its own: the peak of this one's memory is where its children's begins.
        command = [sys.executable, __file__, "--make", place, "--utterances", str(options.utterances)]
        seconds = float(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
        listed = list(rows(Path(place), options.rounds, seconds))
    machine = f"{platform.processor() or platform.machine()}, Python {platform.python_version()}"
    title = f"{options.utterances} utterances, {seconds:,.0f} s; best of {options.rounds} rounds; {machine}"
    print(title, table(listed), sep="\n\n")
    if options.write:
        write_table(options.write, f"{title}\n\n{table(listed)}")


if __name__ == "__main__":
    main()
