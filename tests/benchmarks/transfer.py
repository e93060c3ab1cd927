"""Does a network that was trained on another corpus need less of this one? And which of its layers should be trained on?

    python tests/benchmarks/transfer.py --first-train A.jsonl --first-dev B.jsonl \\
        --train T.jsonl --dev D.jsonl --test E.jsonl --minutes 5 20 --heard 400 --out transfer

A network is trained on the first corpus. Then, for each amount of the second: from scratch; from scratch with a head for
phonemes; the last layer alone; the whole network; the whole network with the encoder at a tenth of the rate. Each training
hears the same minutes of audio in all (--heard), whatever its amount: of 400, 5 minutes are heard 80 times and 20 minutes 20
times. The smaller amounts are parts of the larger. The language model is that of the training's own texts: the greedy column
is what the network has learnt, the other what a user would get.
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
from pathlib import Path

from speechbench import manifest
from speechbench.manifest import Manifest
from speechbench.recognizer import read_hypotheses
from speechbench.run import Run
from speechbench.score import Counts, score
from speechbench.seeds import generator_of

WAYS = {
    "from scratch": (),
    "from scratch, phoneme head": ("--set", "heads.phonemes=0.5"),
    "last layer": ("--init-from", "{first}", "--freeze", "encoder"),
    "all": ("--init-from", "{first}"),
    "all, encoder at a tenth": ("--init-from", "{first}", "--set", "training.encoder_rate=0.1"),
}


def part(data: Manifest, minutes: float, out: Path) -> Path:
    """So many minutes of a manifest, drawn in one order for all amounts."""
    order = generator_of(0, "transfer").permutation(len(data)).tolist()
    left, kept = 60 * minutes, set[str]()
    for place in order:
        utterance = data.utterances[place]
        if left < utterance.duration:
            break
        left -= utterance.duration
        kept.add(utterance.id)
    data.select(lambda utterance: utterance.id in kept).write(out)
    return out


def command(*arguments: object) -> float:
    """Run a command, whose own words go to stderr alone; its processor seconds."""
    process = subprocess.Popen([sys.executable, "-m", "speechbench", *map(str, arguments)], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(map(str, arguments))}: exit code {process.returncode}")
    return usage.ru_utime + usage.ru_stime


def train(out: Path, data: Path, dev: Path, epochs: int, *flags: object) -> float:
    """Train a run unless it is there; its processor seconds."""
    spent = out.parent / f"{out.name}.seconds"
    if not spent.is_file():
        looks = max(1, epochs // 6)
        settings = ("--set", f"training.epochs={epochs}", "--set", f"training.look_every={looks}")
        sets = ("--train", data, "--dev", dev, "--out", out)
        spent.write_text(str(command("train", "--mode", "e2e", *sets, *settings, *flags, "--resume")))
    return float(spent.read_text())


def errors(run: Path, test: Path) -> tuple[Counts, Counts]:
    """Greedy, and with lexicon and language model."""
    out = run.parent / f"{run.name}.test.jsonl"
    if not out.is_file():
        command("decode", run, "--data", test, "--out", out)
    heard = read_hypotheses(out)
    texts = {utterance.id: utterance.text or "" for utterance in manifest.read(test)}
    own = score(texts, {key: one.greedy or "" for key, one in heard.items()}).total
    return own, score(texts, {key: one.text for key, one in heard.items()}).total


def curve(run: Path) -> str:
    """The greedy WER of dev at each look, in percent."""
    rates = [row["dev_greedy_wer"] for row in Run.open(run).metrics() if row["stage"] == "network" and "dev_greedy_wer" in row]
    return " ".join(f"{100 * rate:.0f}" for rate in rates)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("--first-train", "--first-dev", "--train", "--dev", "--test", "--out"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--minutes", type=float, nargs="+", default=[5, 20, 48])
    parser.add_argument("--heard", type=float, default=960, help="minutes that each training hears")
    parser.add_argument("--first-epochs", type=int, default=30)
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--set", action="append", default=[], help="of all trainings")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    settings = [flag for setting in given.set for flag in ("--set", setting)]
    first = given.out / "first"
    seconds = train(first, given.first_train, given.first_dev, given.first_epochs, *settings)
    print(
        f"The first network: {given.first_epochs} epochs in {seconds:.0f} processor s; greedy WER of dev in %: {curve(first)}\n"
    )
    print("| minutes | way | epochs | processor s | greedy WER of dev along the way, % | greedy | with lexicon and 3-gram |")
    print("|---|---|---|---|---|---|---|")
    for minutes in given.minutes:
        data = part(manifest.read(given.train), minutes, given.out / f"{minutes:g}.jsonl")
        epochs = math.ceil(given.heard / minutes)
        for way in given.ways:
            run = given.out / f"{minutes:g}-{way.replace(', ', '-').replace(' ', '_')}"
            flags = [flag.format(first=first) for flag in WAYS[way]]
            seconds = train(run, data, given.dev, epochs, *settings, *flags)
            own, with_graph = errors(run, given.test)
            print(f"| {minutes:g} | {way} | {epochs} | {seconds:.0f} | {curve(run)} | {own} | {with_graph} |", flush=True)


if __name__ == "__main__":
    main()
