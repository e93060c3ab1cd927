"""The end-to-end network against the parts of SpeechBrain's CTC recipe: same data, characters, epochs and graph, in one run.

    python tests/benchmarks/e2e_rivals.py --train T.jsonl --dev D.jsonl --test E.jsonl --epochs 30 --out rivals
    python tests/benchmarks/e2e_rivals.py --train T.jsonl --dev D.jsonl --test E.jsonl --epochs 20 --out rivals \
        --utterances 200 --size 0.3M                                                          # smaller

Each system trains in a process of its own, whose processor time and memory are measured: reading, features and, with ours,
the choice of decoding weights are in it. SpeechBrain's weights for the graph are chosen on dev as ours are. It is given the
part of each utterance that ours hears, without the silence on either side; with --whole it is given what was recorded.

Needs: pip install speechbrain==1.1.2
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from pipelines.ctc import features
from pipelines.ctc.beam import prefix_beam
from pipelines.ctc.network import CANDIDATES
from pipelines.e2e.config import E2eConfig
from pipelines.e2e.recognizer import topology_of
from pipelines.e2e.tokens import Tokens, greedy
from pipelines.searching import search
from pipelines.tuning import tune_weights
from pipelines.words import open_graph, open_lexicon
from speechbench import manifest
from speechbench.features import FRAME_SHIFT
from speechbench.files import read_json
from speechbench.manifest import Manifest, Skipped
from speechbench.recognizer import read_hypotheses
from speechbench.run import Run
from speechbench.score import Counts, align, count, score

HERE = Path(__file__).parent
NEURONS = {"0.3M": 38, "1M": 108}  # of each direction of each of SpeechBrain's LSTMs, for as many parameters as ours
PREFIXES = 16
SETS = ("train", "dev", "test")

Scores = Mapping[str, NDArray[np.float32]]  # (T, V) of each utterance


@dataclass(frozen=True)
class Spent:
    """What a process took."""

    processor_seconds: float
    peak_mb: float


@dataclass(frozen=True)
class Row:
    """A system in the table."""

    system: str
    parameters: int
    spent: Spent
    greedy: Counts
    beam: Counts
    with_graph: Counts


def measured(*arguments: object) -> Spent:
    """Run Python with arguments, and tell what that took; its children are counted too."""
    process = subprocess.Popen([sys.executable, *map(str, arguments)])
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(map(str, arguments))}: exit code {process.returncode}")
    return Spent(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def ours(run: Path, given: argparse.Namespace, *settings: str) -> Row:
    """Train and decode with the product."""
    basics = (f"training.epochs={given.epochs}", f"encoder.size={given.size}")
    flags = [part for setting in (*basics, *settings) for part in ("--set", setting)]
    data = ("--train", given.train, "--dev", given.dev)
    spent = measured("-m", "speechbench", "train", "--mode", "e2e", *data, "--out", run, *flags)
    out = run / "test.jsonl"
    measured("-m", "speechbench", "decode", run, "--data", given.test, "--prefixes", PREFIXES, "--out", out)
    heard = read_hypotheses(out)
    texts = {utterance.id: utterance.text or "" for utterance in manifest.read(given.test)}
    counts = [
        score(texts, {key: str(getattr(one, kind)) for key, one in heard.items()}).total for kind in ("greedy", "beam", "text")
    ]
    (size,) = [row["parameters"] for row in Run.open(run).metrics() if row["stage"] == "size"]
    return Row(f"ours, {settings[0] if settings else 'defaults'}", size, spent, *counts)


def heard(data: Manifest, tokens: Tokens, folder: Path) -> Manifest:
    """The part of each utterance that ours hears; what is found of it is kept in a folder."""
    config, skipped = E2eConfig(), Skipped()
    features.write(folder, data, config.encoder.bands, config.speaker_frames, index_only=True)
    items = {item.id: item for item in features.read_items(folder, data, tokens.numbers, config.silence, skipped)}
    parts = []
    for utterance in data:
        item = items[utterance.id]
        start, left = FRAME_SHIFT * item.start, utterance.duration - FRAME_SHIFT * item.start
        parts.append(replace(utterance, offset=utterance.offset + start, duration=min(left, FRAME_SHIFT * item.frames)))
    return replace(data, utterances=tuple(parts))


def decode(run: Path, data: Mapping[str, Manifest], scores: Mapping[str, Scores]) -> tuple[Counts, Counts, Counts]:
    """The errors of a network's scores on test: greedy, by prefix beam, and with a run's graph, its weights chosen on dev."""
    tokens, beam = Tokens(tuple(read_json(run / "units.json"))), E2eConfig().beam
    log_priors = np.log(np.concatenate([np.exp(one) for one in scores["train"].values()]).mean(0).clip(1e-6))
    graph = open_graph(run, topology_of(tokens), open_lexicon(run))
    scored = [(utterance.words, scores["dev"][utterance.id]) for utterance in data["dev"]]
    weights = tune_weights(graph, scored, log_priors, CANDIDATES, beam).weights
    weighted = graph.with_word_cost(weights.word_cost)
    own, by_beam, with_graph = Counts(), Counts(), Counts()
    for utterance in data["test"]:
        one = scores["test"][utterance.id]
        path = search(weighted, weights.apply(one, log_priors), beam)
        own += count(align(utterance.words, greedy(torch.from_numpy(one), tokens).split()))
        by_beam += count(align(utterance.words, tokens.text(prefix_beam(one, PREFIXES)[0][0]).split()))
        with_graph += count(align(utterance.words, path.words if path else []))
    return own, by_beam, with_graph


def speechbrain(run: Path, given: argparse.Namespace) -> Row:
    """Train SpeechBrain's parts on the characters of our run, and decode with its graph."""
    out = given.out / "speechbrain"
    out.mkdir()
    data = {name: manifest.read(getattr(given, name)) for name in SETS}
    if not given.whole:
        tokens = Tokens(tuple(read_json(run / "units.json")))
        data = {name: heard(one, tokens, out / f"{name}-speech") for name, one in data.items()}
    paths = [out / f"{name}.jsonl" for name in SETS]
    for path, one in zip(paths, data.values(), strict=True):
        one.write(path)
    sets = ("--train", paths[0], "--units", run / "units.json", "--score", *paths)
    spent = measured(
        HERE / "e2e_speechbrain.py", *sets, "--epochs", given.epochs, "--out", out, "--neurons", NEURONS[given.size]
    )
    scores = {name: dict(np.load(out / f"{name}.npz")) for name in SETS}
    parameters = int(read_json(out / "size.json"))
    return Row("SpeechBrain, CRDNN with LSTMs", parameters, spent, *decode(run, data, scores))


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in (*SETS, "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--size", choices=list(NEURONS), default="1M", help="parameters of each network")
    parser.add_argument("--utterances", type=int, help="train on so many of --train, drawn at random")
    parser.add_argument("--pieces", action="store_true", help="ours with pieces of words as tokens too")
    parser.add_argument("--whole", action="store_true", help="SpeechBrain hears the silence that ours leaves out, too")
    given = parser.parse_args()
    given.out.mkdir(parents=True)
    train = manifest.read(given.train)
    if given.utterances:
        train, given.train = train.sample(given.utterances, 0), given.out / "train.jsonl"
        train.write(given.train)
    rows = [ours(given.out / "characters", given)]
    if given.pieces:
        rows.append(ours(given.out / "pieces", given, "pieces=50"))
    rows.append(speechbrain(given.out / "characters", given))
    print(f"Trained on {len(train)} utterances ({train.seconds:.0f} s) for {given.epochs} epochs.\n")
    print("| system | parameters | WER greedy, % | prefix beam | lexicon and 3-gram | audio s per processor s | peak memory |")
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        pace = f"{given.epochs * train.seconds / row.spent.processor_seconds:.0f} | {row.spent.peak_mb:.0f} MB"
        print(f"| {row.system} | {row.parameters:,} | {row.greedy} | {row.beam} | {row.with_graph} | {pace} |")


if __name__ == "__main__":
    main()
