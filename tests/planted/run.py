"""Plant faults with a known cause, ask diagnose, and write the table of cause against verdict.

    python tests/planted/run.py --out build/planted --first-seed 2 --seeds 5 --write docs/planted.md

Each step is done once: a second call goes on where the first one stopped. A seed takes about 15 minutes of one core.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import data
from cases import CASES, TRAININGS, Case
from table import write_table

from speechbench.files import read_json, write_json

TRAIN_MOST = "100"  # utterances of train


class Steps:
    """Steps that are done once, with the CPU seconds that each took."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "steps.json"
        self.seconds: dict[str, float] = read_json(self.path) if self.path.is_file() else {}

    def do(self, name: str, step: Callable[[], None]) -> None:
        """Do a step unless it was done."""
        if name in self.seconds:
            return
        print(name, file=sys.stderr, flush=True)
        before = _cpu_seconds()
        step()
        self.seconds[name] = round(_cpu_seconds() - before, 1)
        write_json(self.path, self.seconds)

    def command(self, name: str, arguments: list[str]) -> None:
        """Run a command of speechbench, unless it was run."""
        self.do(name, lambda: _speechbench(arguments))


def _cpu_seconds() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _speechbench(arguments: list[str]) -> None:
    command = [sys.executable, "-m", "speechbench", *arguments, "--overwrite"]
    done = subprocess.run(
        command, env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr}")


def plant(folder: Path, seed: int, chosen: list[Case]) -> None:
    """Make the data of a seed, train, and diagnose the chosen cases."""
    steps = Steps(folder)
    for name, arguments in data.commands(folder, seed).items():
        steps.command(name, arguments)
    steps.do("damage", lambda: data.damage(folder, seed))
    steps.do("choose noise", lambda: data.choose_noise(folder))
    for name, arguments in data.mixes(folder, seed).items():
        steps.command(name, arguments)
    steps.do("hold out", lambda: data.hold_out(folder))
    for case in chosen:
        tuning = folder / "tuning" / f"{case.run}.jsonl"
        steps.do(f"thin {case.run}", partial(data.thin, folder / TRAININGS[case.run].dev, tuning))
        steps.command(f"train {case.run}", _train(folder, case.run, tuning, seed))
        steps.command(f"diagnose {case.name}", _diagnose(folder, case, seed))


def _train(folder: Path, name: str, tuning: Path, seed: int) -> list[str]:
    training = TRAININGS[name]
    settings = [*training.settings, f"language_model.text={folder / training.text}"]
    sets = ["--train", str(folder / training.train), "--dev", str(tuning)]
    told = [part for setting in settings for part in ("--set", setting)]
    return ["train", "--mode", "pipeline", *sets, "--out", str(folder / "runs" / name), "--seed", str(seed), *told]


def _diagnose(folder: Path, case: Case, seed: int) -> list[str]:
    sets = [part for name, path in case.sets.items() for part in (f"--{name}", str(folder / path))]
    flags = [
        "--stages",
        *(["--ladder"] if case.ladder else []),
        "--most",
        case.most,
        "--train-most",
        TRAIN_MOST,
        "--human",
        case.human,
    ]
    return [
        "diagnose",
        str(folder / "runs" / case.run),
        *sets,
        *flags,
        "--out",
        str(_report(folder, case)),
        "--seed",
        str(seed),
    ]


def _report(folder: Path, case: Case) -> Path:
    return folder / "reports" / case.name.replace(" ", "-")


def main() -> None:
    """Plant, diagnose, and write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for everything that is made")
    parser.add_argument("--seeds", type=int, default=1, help="how many")
    parser.add_argument("--first-seed", type=int, default=0, help="so that seeds on which rules were made are not counted")
    parser.add_argument("--case", action="append", help="only this one; may be repeated")
    parser.add_argument("--again", action="store_true", help="diagnose again, from what is decoded")
    parser.add_argument("--write", type=Path, help="the page whose table is rewritten")
    arguments = parser.parse_args()
    chosen = [case for case in CASES if not arguments.case or case.name in arguments.case]
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    folders = {seed: arguments.out.resolve() / f"seed{seed}" for seed in seeds}
    for seed, folder in folders.items():
        if arguments.again:
            forget = Steps(folder)
            write_json(forget.path, {name: s for name, s in forget.seconds.items() if not name.startswith("diagnose")})
        plant(folder, seed, chosen)
    reports = [(case, [read_json(_report(folder, case) / "report.json") for folder in folders.values()]) for case in chosen]
    seconds = sum(sum(Steps(folder).seconds.values()) for folder in folders.values())
    write_table(reports, seeds, seconds, arguments.write)


if __name__ == "__main__":
    main()
