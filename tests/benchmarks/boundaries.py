"""How exactly forced alignment finds boundaries, where the true ones are known: phonemes and words of synthetic voices, and
recorded digits that are joined to strings.

    python tests/benchmarks/boundaries.py --out boundaries [--data data] [--json]

The recogniser (`--mode pipeline`, up to triphones) never trains on the speakers it is measured on: of the embedded corpus it is
measured on the test voices, of fsdd on each speaker in turn, with recognisers trained on strings of the others. What is made
already in the folder is used again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

from boundaries_compare import Boundary, phoneme_boundaries, summarise, table, word_boundaries
from boundaries_strings import join_digits

from speechbench import manifest
from speechbench.errors import SpeechbenchError
from speechbench.manifest import Utterance
from speechbench.progress import say
from speechbench.recognizer import Timed, read_hypotheses

Rows = dict[str, dict[str, Any]]


def measure_embedded(out: Path, *options: str) -> Rows:
    """Phonemes and words of voices that were not trained on; the table's rows.

    Args:
        out: Folder of all that is made.
        options: Of `prepare embedded`, for a smaller corpus.
    """
    corpus = out / "embedded"
    if not corpus.exists():
        _speechbench("prepare", "embedded", "--out", str(corpus), *options)
    found = _align(corpus / "train.jsonl", corpus / "dev.jsonl", corpus / "test.jsonl", out / "embedded-run")
    boundaries: dict[str, list[Boundary]] = defaultdict(list)
    true_count = 0
    for utterance in manifest.read(corpus / "test.jsonl"):
        words, phonemes = _true(utterance, "words"), _true(utterance, "phonemes")
        true_count += len(phonemes)
        hypothesis = found[utterance.id]
        edges = [edge for one in phonemes for edge in (one.start, one.end)]
        for boundary in word_boundaries(words, hypothesis["words"], edges):
            boundaries[boundary.kind].append(boundary)
        for boundary in phoneme_boundaries(phonemes, hypothesis["phonemes"]):
            boundaries["phoneme start"].append(boundary)
            boundaries[f"phoneme start: {boundary.kind}"].append(boundary)
    say(f"{len(boundaries['phoneme start'])} of {true_count} phonemes are compared")
    return {f"embedded, {kind}": summarise(boundaries[kind]) for kind in sorted(boundaries)}


def measure_strings(data: Path, out: Path) -> Rows:
    """Words of joined digits, each speaker aligned by a recogniser of the others."""
    whole = out / "fsdd" / "manifest.jsonl"
    if not whole.exists():
        _speechbench("prepare", "fsdd", "--root", str(data / "fsdd"), "--out", str(whole.parent))
    strings = join_digits(whole, out / "strings")
    boundaries: dict[str, list[Boundary]] = defaultdict(list)
    for speaker in sorted({utterance.speaker or "" for utterance in strings}):
        folder = out / "strings" / speaker
        train = strings.select(lambda one, held=speaker: one.speaker != held)
        dev, test = train.sample(50, 0), strings.where(f"speaker={speaker}")
        for name, part in (("train", train), ("dev", dev), ("test", test)):
            part.write(folder / f"{name}.jsonl")
        found = _align(*(folder / f"{name}.jsonl" for name in ("train", "dev", "test")), folder / "run")
        for utterance in test:
            for boundary in word_boundaries(_true(utterance, "words"), found[utterance.id]["words"]):
                boundaries[boundary.kind].append(boundary)
                boundaries["word boundary"].append(boundary)
                boundaries[f"word boundary: {speaker}"].append(boundary)
    return {f"digit strings, {kind}": summarise(boundaries[kind]) for kind in sorted(boundaries)}


def _true(utterance: Utterance, tier: str) -> list[Timed]:
    return [Timed(name, start, end) for start, end, name in utterance.get("alignments")[tier]]


def _align(train: Path, dev: Path, test: Path, run: Path) -> dict[str, dict[str, list[Timed]]]:
    """The times of a set's words and phonemes, by utterance, found by a recogniser that is trained where it is not there."""
    if not run.exists():
        options = ["--mode", "pipeline", "--set", "acoustic=triphone"]
        _speechbench("train", *options, "--train", str(train), "--dev", str(dev), "--out", str(run))
    path = run.with_name(f"{run.name}-aligned.jsonl")
    _speechbench("decode", str(run), "--data", str(test), "--oracle", "words", "--out", str(path), "--overwrite")
    return {key: {"words": [*one.words], "phonemes": [*one.phonemes]} for key, one in read_hypotheses(path).items()}


def _speechbench(*arguments: str) -> None:
    command = [sys.executable, "-m", "speechbench", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SpeechbenchError(f"{' '.join(command[2:])}: {done.stderr.strip().splitlines()[-1]}")


def main() -> None:
    """Parse and do."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data"), help="where the folder fsdd lies")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--corpora", default="embedded,fsdd")
    parser.add_argument("--json", action="store_true", help="instead of the table")
    given = parser.parse_args()
    corpora = given.corpora.split(",")
    rows: Rows = {}
    try:
        if "embedded" in corpora:
            rows |= measure_embedded(given.out)
        if "fsdd" in corpora:
            rows |= measure_strings(given.data, given.out)
    except SpeechbenchError as error:
        raise SystemExit(f"error: {error}") from error
    print(json.dumps(rows, indent=2) if given.json else table(rows))


if __name__ == "__main__":
    main()
