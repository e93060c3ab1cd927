"""The table of rivals.py: word error rates, pooled over folds and with their counts, and times."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rivals_folds import CONDITIONS, fold_path

from speechbench import files, manifest
from speechbench.recognizer import read_hypotheses
from speechbench.score import Counts, score

Document = dict[str, dict[str, dict[str, Any]]]  # corpus -> system -> what was measured, pooled
RESULTS = "results"


def result_path(out: Path, corpus: str, fold: int, system: str) -> Path:
    """Where a result is written."""
    return out / RESULTS / f"{corpus}-{fold}-{system}.json"


def summarise(folds: Path, out: Path, numbers: Sequence[int], ours: Mapping[str, str]) -> Document:
    """Pool the results of the folds that were measured; compare systems on the same folds only.

    Args:
        folds: What our hypotheses are scored against.
        out: Folder of the results.
        numbers: Which folds.
        ours: By name, where our hypotheses are: a path with {corpus}, {fold} and {condition}.
    """
    document: Document = {}
    found = [files.read_json(path) for path in sorted((out / RESULTS).glob("*.json"))]
    results = [result for result in found if result["fold"] in numbers]
    for corpus in dict.fromkeys(result["corpus"] for result in results):
        mine = [result for result in results if result["corpus"] == corpus]
        document[corpus] = {
            system: _pool([result for result in mine if result["system"] == system])
            for system in dict.fromkeys(result["system"] for result in mine)
        }
        for name, pattern in ours.items():
            document[corpus][name] = _pool(_score_ours(folds, corpus, numbers, pattern))
    return document


def _score_ours(folds: Path, corpus: str, numbers: Sequence[int], pattern: str) -> list[dict[str, Any]]:
    """Results of our hypotheses, of the folds and conditions that are there."""
    results = []
    for fold in numbers:
        tests = {}
        for condition, (test, _) in CONDITIONS.items():
            path = Path(pattern.format(corpus=corpus, fold=fold, condition=condition))
            if path.is_file():
                references = {u.id: u.text or "" for u in manifest.read(fold_path(folds, corpus, fold) / test)}
                total = score(references, {key: one.text for key, one in read_hypotheses(path).items()}).total
                tests[condition] = {name: getattr(total, name) for name in Counts.__dataclass_fields__}
        if tests:
            results.append({"fold": fold, "training": None, "tests": tests})
    return results


def _pool(results: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """One system's folds together: counts are added, and times of training are means over folds."""
    results = list(results)
    pooled: dict[str, Any] = {"folds": [result["fold"] for result in results], "tests": {}}
    for condition in CONDITIONS:
        tests = [result["tests"][condition] for result in results if condition in result["tests"]]
        if not tests:
            continue
        total = sum((Counts(**{name: test[name] for name in Counts.__dataclass_fields__}) for test in tests), Counts())
        pooled["tests"][condition] = {"wer": total.rate, "errors": total.errors, "words": total.words, "line": str(total)}
        if all("cpu_seconds" in test for test in tests):
            speed = sum(test["audio_seconds"] for test in tests) / sum(test["cpu_seconds"] for test in tests)
            pooled["tests"][condition]["times_real_time"] = round(speed, 1)
    trainings = [result["training"] for result in results if result["training"]]
    if trainings:
        names = ("audio_seconds", "wall_seconds", "cpu_seconds")
        pooled["training"] = {name: round(sum(one[name] for one in trainings) / len(trainings), 1) for name in names}
        pooled["training"]["processes"] = trainings[0]["processes"]
    return pooled


def markdown(document: Document) -> str:
    """The tables, one a corpus."""
    return "\n\n".join(f"### {corpus}\n\n{_table(systems)}" for corpus, systems in document.items())


def _table(systems: Mapping[str, Mapping[str, Any]]) -> str:
    header = ("system", "folds", *CONDITIONS, "training, s of one core", "decoding, x real time")
    rows = [header, ("---",) * len(header)]
    for name, pooled in systems.items():
        cells = [_cell(pooled["tests"].get(condition)) for condition in CONDITIONS]
        training = f"{pooled['training']['cpu_seconds']:.0f}" if "training" in pooled else "-"
        speeds = [f"{test['times_real_time']:.0f}" for test in pooled["tests"].values() if "times_real_time" in test]
        rows.append((name, ", ".join(map(str, pooled["folds"])), *cells, training, " / ".join(speeds) or "-"))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _cell(test: Mapping[str, Any] | None) -> str:
    return f"{100 * test['wer']:.2f} [{test['errors']}/{test['words']}]" if test else "-"
