"""What each stage of trained pipelines is worth: word and phoneme error rates of monophones, triphones and network.

    python tests/benchmarks/stages.py clean=RUN:MANIFEST car=RUN:MANIFEST ... [--last] [--format json]

A name that is given several times, for example once for each fold, is pooled. Each stage decodes with its own weights: the best
of its looks at dev, which for all but the last stage is one. A stage before the last has learnt from speech without its noise;
what it is worth in noise is told by a run that ends with it, and `--last`. Phonemes are counted against those on the best path
of the right words, under the same stage.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pipelines.graph import Aligner, BestPath
from pipelines.phoneme.align import follow
from pipelines.phoneme.config import PipelineConfig
from pipelines.phoneme.heard import Heard, all_cepstra, energies
from pipelines.phoneme.recognizer import Acoustic, open_acoustic
from pipelines.searching import search
from pipelines.speakers import speakers_of
from pipelines.times import spans_on
from pipelines.tuning import Weights
from pipelines.words import open_graph, open_lexicon
from speechbench import manifest
from speechbench.cli import options
from speechbench.config import build
from speechbench.manifest import Manifest
from speechbench.progress import track
from speechbench.run import Run
from speechbench.score import Counts, align, count

STAGES: tuple[Literal["monophone", "triphone", "network"], ...] = ("monophone", "triphone", "network")


def weights_of(run: Run, stage: str) -> Weights:
    """The decoding weights of a stage: those of its best look at dev."""
    looks = [row for row in run.metrics() if row.get("stage") == stage and "dev_errors" in row]
    best = min(looks, key=lambda row: row["dev_errors"])
    return Weights(best["acoustic_scale"], best["prior_weight"], best["word_cost"])


def phonemes_on(path: BestPath | None, acoustic: Acoustic) -> list[str]:
    """The phonemes on a path, silence left out."""
    spans = spans_on(path.columns, acoustic.topology) if path else []
    return [unit for unit, _, _ in spans if unit != acoustic.topology.separator]


def measure(run: Run, data: Manifest, last: bool) -> Iterator[tuple[str, str, Counts]]:
    """Each stage's errors on a set, or the last one's: stage, "WER" or "PER", counts."""
    config = build(PipelineConfig, {k: v for k, v in run.config.items() if k != "mode"}, str(run.path / "config.json"))
    lexicon = open_lexicon(run.path)
    speakers = speakers_of(data, lambda samples: all_cepstra(energies(samples)))
    spoken = [
        (utterance.words, Heard(energies(utterance.samples()), speakers.get(utterance.speaker or "")))
        for utterance in track(data, f"read {data.name}")
    ]
    end = STAGES.index(config.acoustic) + 1
    for stage in STAGES[end - 1 if last else 0 : end]:
        acoustic, weights = open_acoustic(run, replace(config, acoustic=stage)), weights_of(run, stage)
        graph = open_graph(run.path, acoustic.topology, lexicon).with_word_cost(weights.word_cost)
        aligner = Aligner(acoustic.topology, lexicon)
        words, phonemes = Counts(), Counts()
        for text, heard in track(spoken, f"{run.path.name} {stage}"):
            scores = weights.apply(acoustic.score(heard).numpy(), np.asarray(acoustic.log_priors))
            path = search(graph, scores, config.beam)
            words += count(align(text, path.words if path else []))
            if all(word in lexicon for word in text) and (right := follow(aligner.graph(text), scores)):
                phonemes += count(align(phonemes_on(right, acoustic), phonemes_on(path, acoustic)))
        yield stage, "WER", words
        yield stage, "PER", phonemes


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="+", metavar="NAME=RUN:MANIFEST")
    parser.add_argument("--last", action="store_true", help="the last stage of each run alone")
    parser.add_argument("--format", choices=["table", "json"], default="table", dest="output_format")
    arguments = parser.parse_args()
    pooled: dict[tuple[str, str], dict[str, Counts]] = defaultdict(lambda: defaultdict(Counts))
    for text in arguments.sets:
        name, _, rest = text.partition("=")
        run, _, data = rest.partition(":")
        for stage, rate, counts in measure(Run.open(Path(run)), manifest.read(Path(data)).with_text(), arguments.last):
            pooled[stage, rate][name] += counts
    rows: list[dict[str, Any]] = [
        {"stage": stage, "rate": rate} | {name: f"{100 * c.rate:.2f} [{c.errors}/{c.words}]" for name, c in by_set.items()}
        for (stage, rate), by_set in pooled.items()
    ]
    options.show({"rows": rows}, arguments.output_format, rows, "Stages")


if __name__ == "__main__":
    main()
