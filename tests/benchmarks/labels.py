"""How well wrong transcripts are found: doubtful ones of a real corpus, and ones that are planted among good ones.

    python tests/benchmarks/rivals.py folds --out folds --corpora picovoice_intent
    speechbench train --mode pipeline --train folds/picovoice_intent/1/train.jsonl --dev folds/picovoice_intent/1/dev.jsonl \
        --out runs/1                                                                          # and so on for 2, 3, 4
    python tests/benchmarks/labels.py --folds folds --runs "runs/{fold}" --out labels

Each utterance is judged by the run whose training and dev set it is in neither of. The second recogniser is Debian's
pocketsphinx with its own American English (apt-get install pocketsphinx pocketsphinx-en-us), which was trained on neither.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rivals_decode import EN_US, Search, decode
from rivals_folds import fold_path
from rivals_input import write_audio, write_dictionary
from scipy import stats

from pipelines.modes import open_recognizer
from speechbench import files, manifest
from speechbench.diagnostics import ScoredSet
from speechbench.diagnostics.labels import Suspicion, suspect_labels
from speechbench.lexicon import read_lexicon
from speechbench.manifest import Manifest, Skipped
from speechbench.recognizer import BEST, Hypothesis, Recognizer, Request, read_hypotheses, write_hypotheses
from speechbench.run import Run
from speechbench.seeds import generator_of

CORPUS, GOOD, SHARE = "picovoice_intent", "A", 0.05
KNOWN = {
    "scores and a rival": (True, True),
    "scores": (True, False),
    "texts and a rival": (False, True),
    "texts": (False, False),
}
Texts = dict[str, str]


@dataclass(frozen=True)
class Fold:
    """Utterances that a recogniser has never seen, and what it and another heard in them."""

    held: Manifest
    recognizer: Recognizer
    vocabulary: tuple[str, ...]
    hypotheses: dict[str, Hypothesis]
    references: dict[str, Hypothesis]
    rival: dict[str, Hypothesis]

    def score(self, texts: Mapping[str, str]) -> dict[str, Hypothesis]:
        """The references' scores where some utterances have other texts."""
        changed = tuple(replace(u, text=texts[u.id]) for u in self.held if u.id in texts)
        return (
            {**self.references, **_hear(self.recognizer, Manifest(changed), Request(oracle="words"))}
            if changed
            else self.references
        )


def _hear(recognizer: Recognizer, data: Manifest, request: Request = BEST) -> dict[str, Hypothesis]:
    return {one.id: one for one in recognizer.transcribe(data, Skipped(), request)}


def open_fold(folds: Path, run: Path, out: Path, number: int) -> Fold:
    """Decode the utterances of a fold that its run has not seen."""
    folder = fold_path(folds, CORPUS, number)
    seen = {u.id for name in ("train", "dev") for u in manifest.read(folder / f"{name}.jsonl")}
    held = manifest.read(folder.parent / "whole" / "manifest.jsonl").select(lambda u: u.id not in seen)
    recognizer = open_recognizer(Run.open(run))
    lexicon = read_lexicon(run / "lexicon.txt")
    heard, references = (_hear(recognizer, held, request) for request in (BEST, Request(oracle="words")))
    return Fold(held, recognizer, tuple(lexicon), heard, references, _rival(held, folder, out / str(number)))


def _rival(held: Manifest, folder: Path, out: Path) -> dict[str, Hypothesis]:
    kept = out / "rival.jsonl"
    if not kept.is_file():
        out.mkdir(parents=True, exist_ok=True)
        write_dictionary(read_lexicon(folder / "lexicon.txt"), out)
        found = decode(EN_US, folder / "lm.arpa", out, write_audio(held, out / "audio"), Search(10.0), out / "rival.txt")
        write_hypotheses(kept, (Hypothesis(*pair) for pair in found.items()))
    return read_hypotheses(kept)


def swap_texts(fold: Fold, rng: np.random.Generator) -> Texts:
    """Of 5 % of the good utterances, in pairs, each has the other's text."""
    first, second = np.array_split(_draw(fold, rng, even=True), 2)
    pairs = [(fold.held.utterances[i], fold.held.utterances[j]) for i, j in zip(first, second, strict=True)]
    return {u.id: other.text or "" for pair in pairs for u, other in (pair, pair[::-1]) if u.text != other.text}


def change_words(fold: Fold, rng: np.random.Generator) -> Texts:
    """Of 5 % of the good utterances, one word each is another word of the lexicon."""
    texts = {}
    for number in _draw(fold, rng):
        utterance = fold.held.utterances[number]
        words = utterance.words
        place = int(rng.integers(len(words)))
        words[place] = str(rng.choice([word for word in fold.vocabulary if word != words[place]]))
        texts[utterance.id] = " ".join(words)
    return texts


def _draw(fold: Fold, rng: np.random.Generator, even: bool = False) -> list[int]:
    good = [number for number, u in enumerate(fold.held) if u.get("grade") == GOOD]
    most = max(2, round(SHARE * len(good)))
    return [int(number) for number in rng.permutation(good)[: most - most % 2 if even else most]]


PLANTED: Mapping[str, Callable[[Fold, np.random.Generator], Texts]] = {
    "5 % have another's text": swap_texts,
    "5 % have one word replaced": change_words,
}


def rank(folds: list[Fold], texts: Texts, scores: bool, rival: bool, good_only: bool) -> list[Suspicion]:
    """Rank all folds' utterances together, some of which have other texts."""
    utterances = [u for fold in folds for u in fold.held if not good_only or u.get("grade") == GOOD]
    data = Manifest(tuple(replace(u, text=texts.get(u.id, u.text)) for u in utterances))
    heard, others, references = (
        {key: one for fold in folds for key, one in found(fold).items() if key in data.by_id}
        for found in (lambda fold: fold.hypotheses, lambda fold: fold.rival, lambda fold: fold.score(texts))
    )
    return suspect_labels(ScoredSet(data, heard), references if scores else None, ScoredSet(data, others) if rival else None)


def area(found: list[Suspicion], wrong: set[str]) -> float:
    """The area under the ROC curve."""
    ours, others = ([one.suspicion for one in found if (one.id in wrong) == belongs] for belongs in (True, False))
    return float(stats.mannwhitneyu(ours, others).statistic) / (len(ours) * len(others))


def measure(folds: list[Fold], seeds: int) -> Iterator[dict[str, Any]]:
    """Rows of what is looked for, with what the finder knows, and the areas under the curve."""
    grades = {u.id: u.get("grade") for fold in folds for u in fold.held}
    for name, (scores, rival) in KNOWN.items():
        found = rank(folds, {}, scores, rival, good_only=False)
        for wanted in ("BC", "C"):
            wrong = {key for key, grade in grades.items() if grade in wanted}
            kept = [one for one in found if one.id in wrong or grades[one.id] == GOOD]
            yield {"wrong": f"grade {wanted} against {GOOD}", "known": name, "number": len(wrong), "areas": [area(kept, wrong)]}
    for kind, plant in PLANTED.items():
        planted = [
            {
                key: text
                for number, fold in enumerate(folds)
                for key, text in plant(fold, generator_of(seed, kind, number)).items()
            }
            for seed in range(seeds)
        ]
        for name, (scores, rival) in KNOWN.items():
            areas = [area(rank(folds, texts, scores, rival, good_only=True), set(texts)) for texts in planted]
            yield {"wrong": kind, "known": name, "number": len(planted[0]), "areas": areas}


def examples(folds: list[Fold], most: int) -> list[dict[str, Any]]:
    """The most suspect transcripts as they are."""
    by_id = {u.id: (u, fold) for fold in folds for u in fold.held}
    rows = []
    for one in rank(folds, {}, True, True, good_only=False)[:most]:
        utterance, fold = by_id[one.id]
        texts = {"transcript": utterance.text, "heard": fold.hypotheses[one.id].text, "rival": fold.rival[one.id].text}
        rows.append({"grade": utterance.get("grade"), **texts, "why": one.reasons, "id": one.id})
    return rows


def main() -> None:
    """Parse and do."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folds", type=Path, required=True, help="what `rivals.py folds` made")
    parser.add_argument("--runs", required=True, help='where the runs are, "{fold}" in their place')
    parser.add_argument("--numbers", default="1,2,3,4", help="of folds")
    parser.add_argument("--seeds", type=int, default=5, help="of what is planted")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    folds = [
        open_fold(given.folds, Path(given.runs.format(fold=number)), given.out, int(number))
        for number in given.numbers.split(",")
    ]
    rows = list(measure(folds, given.seeds))
    files.write_json(given.out / "table.json", {"rows": rows, "examples": examples(folds, 12)})
    print("| wrong | number | known | area under the ROC curve, mean (lowest) |\n| --- | --- | --- | --- |")
    for row in rows:
        shown = f"{np.mean(row['areas']):.3f}" + (f" ({min(row['areas']):.3f})" if len(row["areas"]) > 1 else "")
        print(f"| {row['wrong']} | {row['number']} | {row['known']} | {shown} |")
    for row in examples(folds, 12):
        print(f"\n{row['grade']}  {row['transcript']}\n   {row['heard']}\n   {row['rival']}\n   {'; '.join(row['why'])}")


if __name__ == "__main__":
    main()
