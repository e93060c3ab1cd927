"""What batch norm does to the end-to-end network: learning rates over two decades, batches of 4 to 64, clean and shifted input.

    python tests/benchmarks/batch_norm.py --out build/batch-norm --docs docs

speaks the embedded corpus, lays car noise under some of it, and trains all cells of the grid. With --train, --dev, --adapt,
--shifted and --adapt-shifted it takes manifests instead. Each cell that is done is a line of results.jsonl, and is not
trained again; --cross trains no cell that differs from the product's learning rate (1.5e-3) and from batches of 8 in both.

Shifted is what the networks, trained on clean speech, were not trained on. Re-estimated statistics are measured on the audio of
--adapt (clean) or --adapt-shifted, which are of other speakers than --dev and --shifted: without texts, the weights untouched.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import batch_norm_table as table
import torch
from torch import Tensor

from pipelines.batches import pad
from pipelines.ctc.config import AugmentConfig
from pipelines.ctc.edges import spoken
from pipelines.ctc.network import Network, score_all
from pipelines.e2e.config import E2eConfig
from pipelines.e2e.recognizer import E2eRecognizer
from pipelines.e2e.tokens import greedy
from pipelines.parallel import SyncedBatchNorm
from pipelines.speakers import heard_of
from speechbench import files, manifest
from speechbench.cli import speechbench
from speechbench.errors import SpeechbenchError
from speechbench.features import FRAME_SHIFT
from speechbench.manifest import Manifest, Skipped
from speechbench.run import Run
from speechbench.score import score

NORMS = ("batch", "layer", "none")
RATES = (1.5e-4, 5e-4, 1.5e-3, 5e-3, 1.5e-2)  # learning rates
BATCHES = (4, 8, 16, 32, 64)  # utterances, on average
MIDDLE = RATES[2], BATCHES[1]
SETS = ("train", "dev", "adapt", "shifted", "adapt_shifted")
TOLD = 240  # of the training set's utterances, on which errors are counted too
CHOICE = 10  # utterances of dev that a training gets to choose decoding weights on


@dataclass(frozen=True)
class Cell:
    """One training."""

    norm: str
    rate: float
    batch: int
    seed: int

    @property
    def name(self) -> str:
        """Of its run."""
        return f"{self.norm}-{self.rate:g}-{self.batch}-{self.seed}"


def cells(seeds: int, cross: bool) -> Iterator[Cell]:
    """The grid; what a reader needs first comes first."""
    every = itertools.starmap(Cell, itertools.product(NORMS, RATES, BATCHES, range(seeds)))

    def order(cell: Cell) -> tuple[object, ...]:
        off = (cell.rate != MIDDLE[0]) + (cell.batch != MIDDLE[1])
        return cell.seed, off > 1, cell.norm == "layer", off, cell.batch != MIDDLE[1], -cell.rate, -cell.batch

    first = sorted(every, key=order)
    return (cell for cell in first if not cross or MIDDLE[0] == cell.rate or MIDDLE[1] == cell.batch)


def _speechbench(*arguments: object) -> None:
    speechbench.main([str(argument) for argument in arguments], standalone_mode=False)


def prepare(out: Path) -> dict[str, Path]:
    """Speak the embedded corpus and lay car noise under its dev and train-dev."""
    speech, noise = out / "speech", out / "noise"
    if not (speech / "manifest.jsonl").is_file():
        _speechbench("prepare", "embedded", "--out", speech, "--overwrite")
    if not (noise / "manifest.jsonl").is_file():
        _speechbench("prepare", "car_noise", "--out", noise, "--overwrite")
    for name in ("dev", "train-dev"):
        given = ("--speech", speech / f"{name}.jsonl", "--noise", noise / "manifest.jsonl", "--recipe", "car", "--seed", 0)
        _speechbench("synth", *given, "--out", out / "car" / name, "--resume")
    cars = [out / "car" / name / "manifest.jsonl" for name in ("dev", "train-dev")]
    return dict(zip(SETS, [speech / "train.jsonl", speech / "dev.jsonl", speech / "train-dev.jsonl", *cars], strict=True))


def settings(cell: Cell, seconds: float, epochs: int) -> dict[str, object]:
    """Of a training of 0.3 M parameters with the product's optimiser and schedule; nothing but the norm regularises it.

    Args:
        cell: How.
        seconds: Of an utterance, on average, that a network hears.
        epochs: For how many; dev is looked at after the last.
    """
    amounts = (field.name for field in fields(AugmentConfig) if not field.name.endswith("_width"))
    return {
        "seed": cell.seed,
        "encoder.size": "0.3M",
        "encoder.norm": cell.norm,
        "encoder.dropout": 0,
        "training.learning_rate": cell.rate,
        "training.batch_seconds": cell.batch * seconds,
        "training.epochs": epochs,
        "training.look_every": epochs,
        **{f"augment.{name}": 0 for name in amounts},
    }


def train(cell: Cell, paths: dict[str, Path], seconds: float, given: argparse.Namespace) -> Run:
    """Train a cell's network."""
    path = given.out / "runs" / cell.name
    flags = [part for key, value in settings(cell, seconds, given.epochs).items() for part in ("--set", f"{key}={value}")]
    sets = ("--train", paths["train"], "--dev", paths["choice"])
    _speechbench("train", "--mode", "e2e", *sets, "--out", path, *flags, "--overwrite")
    return Run.open(path)


@dataclass(frozen=True)
class Heard:
    """What a network hears of a set, and its texts."""

    features: list[Tensor]
    texts: dict[str, str]

    @classmethod
    def of(cls, data: Manifest) -> Heard:
        """Read its audio."""
        config, skipped = E2eConfig(), Skipped()
        heard = heard_of(data, config.encoder.bands, config.speaker_frames, skipped, data.name)
        parts = [spoken(features, config.silence)[1] for _, features in heard]
        assert not skipped.reasons, skipped.reasons
        return cls(parts, {utterance.id: utterance.text or "" for utterance in data})

    @property
    def seconds(self) -> float:
        """Of all of it."""
        return FRAME_SHIFT * sum(map(len, self.features))

    def rates(self, recognizer: E2eRecognizer) -> dict[str, float]:
        """The error rates of the network's own text."""
        texts = [greedy(scores, recognizer.tokens) for scores in score_all(recognizer.network, self.features)]
        own = dict(zip(self.texts, texts, strict=True))
        return {unit: score(self.texts, own, unit).total.rate for unit in ("character", "word")}


@contextmanager
def reestimated(network: Network, features: Sequence[Tensor]) -> Iterator[None]:
    """While the block lasts, batch norm's statistics are those of some features, all in one batch.

    So the statistics of a layer are those of what comes out of the layers below it with theirs.

    Source: Li et al. 2016 (adaptive batch norm).
    """
    kept = {name: value.clone() for name, value in network.state_dict().items()}
    network.eval()
    norms = [module for module in network.modules() if isinstance(module, SyncedBatchNorm)]
    momentums = [norm.momentum for norm in norms]
    for norm in norms:
        norm.train()
        norm.momentum = 1.0
    with torch.inference_mode():
        network(*pad(features))
    network.eval()
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momentums, strict=True):
            norm.momentum = momentum
        network.load_state_dict(kept)


def judge(run: Run, heard: dict[str, Heard]) -> dict[str, dict[str, float]]:
    """Character and word error rates of a run's own text by set; with batch norm, with re-estimated statistics too."""
    recognizer = E2eRecognizer(run)
    found = {name: heard[name].rates(recognizer) for name in ("train", "dev", "shifted")}
    if recognizer.config.encoder.norm == "batch":
        for name, source in (("dev", "adapt"), ("shifted", "adapt_shifted")):
            with reestimated(recognizer.network, heard[source].features):
                found[f"{name} re-estimated"] = heard[name].rates(recognizer)
    return found


def fill(cell: Cell, paths: dict[str, Path], seconds: float, heard: dict[str, Heard], given: argparse.Namespace) -> table.Row:
    """Train and judge a cell: its line of results.jsonl."""
    began = time.process_time()
    try:
        run = train(cell, paths, seconds, given)
    except SpeechbenchError as error:
        if "not finite" not in str(error):
            raise
        return {**asdict(cell), "diverged": str(error), "processor_seconds": time.process_time() - began}
    losses = [row["loss"] for row in run.metrics() if "loss" in row]
    return {**asdict(cell), "loss": losses, "rates": judge(run, heard), "processor_seconds": time.process_time() - began}


def main() -> None:
    """Train what is not yet trained; print the tables, and put them and the figure into the documents."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    for name in SETS:
        parser.add_argument(f"--{name.replace('_', '-')}", type=Path, help="a manifest")
    parser.add_argument("--utterances", type=int, default=800, help="of the training set, drawn at random")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--cross", action="store_true", help="only cells with the middle learning rate or the middle batch")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no further cell after so long")
    parser.add_argument("--docs", type=Path, help="folder of batch-norm.md and batch-norm.png")
    given = parser.parse_args()
    torch.set_num_threads(1)
    given.out.mkdir(parents=True, exist_ok=True)
    named = {name: getattr(given, name) for name in SETS}
    if None in named.values() and any(named.values()):
        parser.error("name all five sets, or none")
    paths = named if all(named.values()) else prepare(given.out)
    whole = manifest.read(paths["train"])
    paths["train"] = given.out / "train.jsonl"
    drawn = whole.sample(given.utterances, 0)
    drawn.write(paths["train"])
    # Decoding weights, which nothing here depends on, take time to choose; the epoch is the last.
    paths["choice"] = given.out / "choice.jsonl"
    manifest.read(paths["dev"]).sample(CHOICE, 0).write(paths["choice"])
    listened = Heard.of(drawn).seconds
    data = {"train": drawn.sample(TOLD, 0), **{name: manifest.read(paths[name]) for name in SETS[1:]}}
    heard = {name: Heard.of(one) for name, one in data.items()}
    results, until = given.out / "results.jsonl", time.monotonic() + 60 * given.minutes
    rows = [json.loads(line) for line in files.read_lines(results)] if results.is_file() else []
    done = {Cell(row["norm"], row["rate"], row["batch"], row["seed"]) for row in rows}
    for cell in cells(given.seeds, given.cross):
        if cell not in done and time.monotonic() < until:
            rows.append(fill(cell, paths, listened / len(drawn), heard, given))
            files.write_json_lines(results, rows)
    speakers = len({utterance.speaker for utterance in drawn})
    about = f"{len(drawn)} utterances ({drawn.seconds:.0f} s) of {speakers} speakers, {given.epochs} epochs"
    text = table.tables(rows, about)
    print(text)
    if given.docs:
        table.write(given.docs, text, rows, MIDDLE)


if __name__ == "__main__":
    main()
