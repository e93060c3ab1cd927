"""The whole way in one command: the commands that a user would type, one after the other."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import click

from speechbench.cli import options
from speechbench.errors import SpeechbenchError

SETS = ("train", "train-dev", "dev", "test")
SYSTEMS = ("pipeline-clean", "pipeline-car", "e2e-clean", "e2e-car")
SNR = "-5:15"
LOOK_EVERY = 10.0  # s


@dataclass(frozen=True)
class Step:
    """Commands that may run side by side, and how long they take on two cores."""

    title: str
    commands: Sequence[Sequence[str]]
    seconds: float


@dataclass(frozen=True)
class Size:
    """How much speech is made, how long networks train, and how deep diagnose looks."""

    per_speaker: int
    held_out_per_speaker: int
    cars: int
    e2e: tuple[str, ...]
    pipeline: tuple[str, ...]
    diagnose: tuple[str, ...]
    seconds: tuple[float, ...]  # of each step, measured on two cores


FULL = Size(
    36,
    30,
    32,
    ("training.epochs=10", "training.batch_seconds=12"),
    ("gmm.iterations=2",),
    ("--train-most", "240", "--ladder", "--stages", "--most", "100"),
    (20, 3, 15, 280, 160, 160),
)
QUICK = Size(
    10,
    8,
    10,
    ("training.epochs=10", "training.batch_seconds=8"),
    ("network.width=128", "gmm.gaussians=4", "gmm.iterations=2"),
    ("--train-most", "80"),
    (12, 2, 6, 63, 62, 40),
)


@click.command()
@click.option("--out", type=options.FILE, default=Path("demo"), show_default=True, help="The new folder.")
@click.option("--quick", is_flag=True, help="A fifth of the data: shows the way in about 3 minutes; its figures mean little.")
@options.seed
@options.overwrite
def demo(out: Path, quick: bool, seed: int, overwrite: bool) -> None:
    """Find out where two recognisers err in a car, and what synthesised car speech changes.

    Makes in-car commands and car noise, trains pipeline and end to end, each on clean and on synthesised car speech, and
    diagnoses all four on cars, cabins, speakers and sentences that training never met. Ends with OUT/report.html.

    \b
    speechbench demo --quick
    """  # noqa: D301
    from speechbench import files

    files.claim(out, overwrite)
    start = time.monotonic()
    with files.making(out, "demo", keep=True):
        steps = plan(out, QUICK if quick else FULL, seed)
        for number, step in enumerate(steps, start=1):
            left = sum(later.seconds for later in steps[number - 1 :])
            _run(step, f"{number}/{len(steps)}", out / "logs", left)
        page = _overview(out)
        files.mark(out, "demo", quick=quick, seed=seed, seconds=round(time.monotonic() - start))
    click.echo(f"{page} after {(time.monotonic() - start) / 60:.1f} minutes")
    if sys.stdout.isatty() and (sys.platform != "linux" or os.environ.get("DISPLAY")):
        click.launch(str(page))


def plan(out: Path, size: Size, seed: int) -> list[Step]:
    """All commands of the demo, in order."""
    speech, noise, cars = out / "speech", out / "noise", out / "noise-split"
    common = ["--seed", str(seed)]
    spoken = [f"utterances_per_speaker={size.per_speaker}", f"held_out_per_speaker={size.held_out_per_speaker}"]
    prepare = [
        ["prepare", "embedded", "--out", str(speech), *common, "--jobs", "1", *_settings(spoken)],
        [
            "prepare",
            "car_noise",
            "--out",
            str(noise),
            *common,
            "--jobs",
            "1",
            *_settings([f"cars={size.cars}", "seconds=10.0"]),
        ],
    ]
    fractions = "train=.64,dev=.18,test=.18"
    split = ["split", f"{noise}/manifest.jsonl", "--out", str(cars), "--by", "source", "--fractions", fractions, *common]
    mixes = [_synth(out, name, seed + number) for number, name in enumerate(SETS)]
    trains = {name: _train(out, name, size, seed) for name in SYSTEMS}
    diagnoses = [_diagnose(out, name, size) for name in SYSTEMS]
    parts: list[tuple[str, Sequence[Sequence[str]]]] = [
        ("speak in-car commands; make car noise", prepare),
        ("keep some cars for dev and test", [split]),
        ("lay car noise under the speech", mixes),
        ("train the pipeline, on clean and on car speech", [trains["pipeline-clean"], trains["pipeline-car"]]),
        ("train end to end, on clean and on car speech", [trains["e2e-clean"], trains["e2e-car"]]),
        ("diagnose all four", diagnoses),
    ]
    return [Step(title, commands, seconds) for (title, commands), seconds in zip(parts, size.seconds, strict=True)]


def _manifest(out: Path, system: str, name: str) -> str:
    """Where a system's set lies: train and train-dev are clean or in the car, dev and test always in the car."""
    clean = system.endswith("-clean") and name in ("train", "train-dev")
    return f"{out}/speech/{name}.jsonl" if clean else f"{out}/car/{name}/manifest.jsonl"


def _synth(out: Path, name: str, seed: int) -> list[str]:
    noise = f"{out}/noise-split/{'train' if name == 'train-dev' else name}.jsonl"  # train-dev is of train's distribution
    speech = ["--speech", f"{out}/speech/{name}.jsonl", "--noise", noise, "--snr", SNR]
    return ["synth", *speech, "--out", f"{out}/car/{name}", "--seed", str(seed), "--jobs", "1"]


def _train(out: Path, system: str, size: Size, seed: int) -> list[str]:
    mode = system.split("-")[0]
    sets = ["--train", _manifest(out, system, "train"), "--dev", _manifest(out, system, "train-dev")]
    settings = _settings(size.e2e if mode == "e2e" else size.pipeline)
    return ["train", "--mode", mode, *sets, *settings, "--seed", str(seed), "--out", f"{out}/runs/{system}"]


def _diagnose(out: Path, system: str, size: Size) -> list[str]:
    sets = [part for name in SETS for part in (f"--{name}", _manifest(out, system, name))]
    versus = ["--versus", f"{out}/runs/{system.replace('-car', '-clean')}"] if system.endswith("-car") else []
    return ["diagnose", f"{out}/runs/{system}", *sets, *versus, *size.diagnose, "--out", f"{out}/reports/{system}"]


def _settings(values: Sequence[str]) -> list[str]:
    return [part for value in values for part in ("--set", value)]


def _run(step: Step, number: str, logs: Path, left: float) -> None:
    """Run a step's commands two at a time, each on one core, with their output in log files."""
    from speechbench.progress import say, time_left

    say(f"[{number}] {step.title}; about {time_left(left)} left")
    logs.mkdir(parents=True, exist_ok=True)
    waiting = list(enumerate(step.commands, start=1))
    running: list[tuple[subprocess.Popen[bytes], Path]] = []
    last_look = time.monotonic()
    try:
        while waiting or running:
            while waiting and len(running) < 2:
                index, command = waiting.pop(0)
                say(f"  speechbench {shlex.join(command)}")
                log = logs / f"{number.split('/')[0]}-{index}-{command[0]}.log"
                with log.open("wb") as stream:
                    running.append((_start(command, stream), log))
            time.sleep(0.1)
            for process, log in [pair for pair in running if pair[0].poll() is not None]:
                running.remove((process, log))
                if process.returncode:
                    raise SpeechbenchError(f"a command of the demo failed: {_last_line(log)} (all of it in {log})")
            if time.monotonic() - last_look > LOOK_EVERY:
                last_look = time.monotonic()
                for _, log in running:
                    say(f"    {_last_line(log)}")
    finally:
        for process, _ in running:
            process.kill()


def _start(command: Sequence[str], log: IO[bytes]) -> subprocess.Popen[bytes]:
    one_thread = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "speechbench", *command], stdout=log, stderr=subprocess.STDOUT, env=os.environ | one_thread
    )


def _last_line(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip() if lines else f"{log.stem}: started"


def _overview(out: Path) -> Path:
    """One page about all four systems."""
    from speechbench import files
    from speechbench.report import render_overview

    folders = {name.replace("-", ", trained on ").replace("e2e", "end to end"): out / "reports" / name for name in SYSTEMS}
    documents = {title: files.read_json(folder / "report.json") for title, folder in folders.items()}
    files.write_json(out / "report.json", documents)
    page = out / "report.html"
    render_overview(documents, page, {title: folder / "report.html" for title, folder in folders.items()})
    return page
