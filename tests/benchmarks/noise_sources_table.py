"""What the cells of noise_sources.py say together: error rates with intervals, what a small noise set costs, thresholds."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from noise_sources_sets import CLEAN, TESTS, Kind, set_name, tests_of

from speechbench import files
from speechbench.diagnostics.bootstrap import Estimate
from speechbench.diagnostics.scored import ScoredSet, measure_change, measure_spread
from speechbench.errors import SpeechbenchError
from speechbench.manifest import Manifest
from speechbench.recognizer import Hypothesis, read_hypotheses

RESULTS = "results.jsonl"  # a line for each finished cell
COSTLY = 0.1  # a noise set is too small where it makes at least a tenth more errors in unseen noise
TITLES = {"pipeline": "Pipeline", "e2e": "End to end"}
GAPS = {"seen - heard": ("seen", "heard"), "unseen - seen": ("unseen", "seen")}  # of the same utterances
HEADER = ("sources", "uses of a second", "heard seconds", "seen sources", "unseen sources", "clean", *GAPS, "cost")


class Cell(NamedTuple):
    """One training."""

    mode: str
    kind: Kind
    seed: int

    @property
    def name(self) -> str:
        """Of its run."""
        return f"{self.mode}-{set_name(self.kind, self.seed)}"


def finished(out: Path) -> dict[str, dict[str, Any]]:
    """The lines of results.jsonl by the cell's name; a last line that a kill cut off counts as none."""
    path = out / RESULTS
    rows = {}
    for line in files.read_lines(path) if path.is_file() else []:
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        rows[row["name"]] = row
    return rows


def row_of(out: Path, cell: Cell, seconds: float) -> dict[str, Any]:
    """A cell's line of results.jsonl."""
    counts = {name: scored.score.total for name, scored in _scored(out, cell).items()}
    sets = {name: {"rate": total.rate, "errors": total.errors, "words": total.words} for name, total in counts.items()}
    return {"name": cell.name, "mode": cell.mode, **cell.kind._asdict(), "seed": cell.seed, "seconds": seconds, "sets": sets}


def _scored(out: Path, cell: Cell) -> dict[str, ScoredSet]:
    hypotheses = out / "runs" / cell.name / "hypotheses"
    tests = tests_of(out, cell.kind, cell.seed)
    return {name: ScoredSet(data, read_hypotheses(hypotheses / f"{name}.jsonl")) for name, data in tests.items()}


def pool(sets: Sequence[ScoredSet]) -> ScoredSet:
    """The sets of several seeds as one: speakers and sources keep their names, so that they are drawn with all their seeds."""
    utterances = tuple(replace(u, id=f"{number}/{u.id}") for number, one in enumerate(sets) for u in one.manifest)
    hypotheses = {
        f"{number}/{key}": Hypothesis(f"{number}/{key}", heard.text)
        for number, one in enumerate(sets)
        for key, heard in one.hypotheses.items()
    }
    return ScoredSet(Manifest(utterances), hypotheses)


def summarise(out: Path) -> dict[str, Any]:
    """The document of results.json: a row for each mode and kind over all its seeds, and the thresholds.

    Raises:
        SpeechbenchError: No cell is finished.
    """
    found: dict[tuple[str, Kind], dict[int, dict[str, ScoredSet]]] = {}
    for row in finished(out).values():
        cell = Cell(row["mode"], Kind(row["sources"], row["uses"]), row["seed"])
        found.setdefault((cell.mode, cell.kind), {})[cell.seed] = _scored(out, cell)
    if not found:
        raise SpeechbenchError(f"{out / RESULTS}: no cell is finished; run the study first")
    rows = [
        {"mode": mode, **kind._asdict(), **_noise_used(out, kind, sorted(found[mode, kind])), **_figures(found, mode, kind)}
        for mode, kind in sorted(found, key=lambda key: (-len(key[0]), key[1].uses > 1, key[1]))
    ]
    return {"rows": rows, "thresholds": thresholds(rows)}


def _noise_used(out: Path, kind: Kind, seeds: Sequence[int]) -> dict[str, float | None]:
    """What came of the kind in the training sets, the mean over seeds."""
    keys = ("repeats_mean", "effective_sources", "unique_noise_seconds_used")
    if kind == CLEAN:
        return dict.fromkeys(keys)
    budgets = [files.read_json(out / "sets" / set_name(kind, seed) / "train" / "noise_budget.json") for seed in seeds]
    return {key: round(sum(budget[key] for budget in budgets) / len(budgets), 2) for key in keys}


def _figures(found: dict[tuple[str, Kind], dict[int, dict[str, ScoredSet]]], mode: str, kind: Kind) -> dict[str, Any]:
    cells = found[mode, kind]
    pooled = {name: pool([cells[seed][name] for seed in sorted(cells)]) for name in next(iter(cells.values()))}
    figures: dict[str, Any] = {"seeds": sorted(cells), "sets": {}, "gaps": {}, "cost": None}
    for name, scored in pooled.items():
        estimate = measure_spread(name, scored, 0).estimate
        total = scored.score.total
        by_seed = [cells[seed][name].score.total.rate for seed in sorted(cells)]
        figures["sets"][name] = _interval(estimate) | {"errors": total.errors, "words": total.words, "by_seed": by_seed}
    if kind != CLEAN:
        gaps = {name: measure_change(name, pooled[after], pooled[before], 0) for name, (after, before) in GAPS.items()}
        figures["gaps"] = {name: _interval(gap) for name, gap in gaps.items()}
    before = reference(kind, [k for m, k in found if m == mode])
    if before is not None:
        figures["cost"] = _cost(cells, found[mode, before])
    return figures


def _cost(cells: dict[int, dict[str, ScoredSet]], before: dict[int, dict[str, ScoredSet]]) -> dict[str, Any] | None:
    """How many more errors in unseen noise than `before` makes, over the seeds that both have; None where they share none."""
    pairs = [(cells[seed]["unseen"], before[seed]["unseen"]) for seed in sorted(set(cells) & set(before))]
    if not pairs:
        return None
    after, reference = (pool(column) for column in zip(*pairs, strict=True))
    by_seed = [one.score.total.rate - other.score.total.rate for one, other in pairs]
    change = _interval(measure_change("cost", after, reference, 0))
    return change | {"reference": reference.score.total.rate, "by_seed": by_seed}


def reference(kind: Kind, known: Sequence[Kind]) -> Kind | None:
    """What a kind's cost is counted from: the most sources for few sources, a single use for many; None for itself."""
    once = [k for k in known if k.uses == 1]
    best = max(once, default=None) if kind.uses <= 1 else Kind(kind.sources, 1)
    return best if best in known and best != kind else None


def _interval(estimate: Estimate) -> dict[str, Any]:
    low, high = estimate.interval() or (None, None)
    return {"rate": estimate.value, "low": low, "high": high}


def thresholds(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The fewest sources and the most uses that are not costly, and neither is any kinder noise set, in any mode.

    Returns:
        `fewest_sources` and `most_uses`, None where none was tried; and beside each the `costly` value that comes next, None
        where there is none.
    """
    costly: dict[Kind, bool] = {}
    for row in rows:
        if row["sources"]:
            kind = Kind(row["sources"], row["uses"])
            costly[kind] = costly.get(kind, False) or (row["cost"] is not None and is_costly(row["cost"]))
    by_sources = [(kind.sources, costly[kind]) for kind in sorted(costly, reverse=True) if kind.uses == 1]
    many = sorted((kind for kind in costly if kind.uses > 1), key=lambda kind: kind.uses)
    by_uses = [(1, False)] * bool(many) + [(kind.uses, costly[kind]) for kind in many]
    fewest, too_few = _last_good(by_sources)
    most, too_many = _last_good(by_uses)
    return {"fewest_sources": fewest, "costly_sources": too_few, "most_uses": most, "costly_uses": too_many}


def is_costly(cost: dict[str, Any]) -> bool:
    """Whether a cost is above chance and large enough to matter."""
    return cost["low"] is not None and cost["low"] > 0.0 and cost["rate"] >= COSTLY * cost["reference"]


def _last_good(ordered: Sequence[tuple[int, bool]]) -> tuple[int | None, int | None]:
    """The last value before costs set in, and the first with them; the kindest come first."""
    good = None
    for value, costly in ordered:
        if costly:
            return good, value
        good = value
    return good, None


def markdown(document: dict[str, Any]) -> str:
    """The tables and what follows from them."""
    parts = []
    for mode, title in TITLES.items():
        rows = [row for row in document["rows"] if row["mode"] == mode]
        if rows:
            lines = ["| " + " | ".join(HEADER) + " |", "|" + "---|" * len(HEADER), *map(_line, rows)]
            parts.append(f"{title}, {_seeds(rows)}:\n\n" + "\n".join(lines))
    return "\n\n".join([*parts, _reading(document["thresholds"])])


def _seeds(rows: Sequence[dict[str, Any]]) -> str:
    most = max(len(row["seeds"]) for row in rows)
    return f"{most} seeds pooled" if most > 1 else "one seed"


def _line(row: dict[str, Any]) -> str:
    uses = f"{row['repeats_mean']:.1f}" if row["repeats_mean"] is not None else "no noise"
    errors = [_rate(row["sets"].get(name)) for name in TESTS]
    changes = [_change(change) for change in (*(row["gaps"].get(name) for name in GAPS), row["cost"])]
    return "| " + " | ".join([str(row["sources"]), uses, *errors, *changes]) + " |"


def _rate(figure: dict[str, Any] | None) -> str:
    if figure is None:
        return ""
    spread = f" ({100 * figure['low']:.1f} to {100 * figure['high']:.1f})" if figure["low"] is not None else ""
    return f"{100 * figure['rate']:.1f}{spread} [{figure['errors']}/{figure['words']}]"


def _change(figure: dict[str, Any] | None) -> str:
    if figure is None:
        return ""
    spread = f" ({100 * figure['low']:+.1f} to {100 * figure['high']:+.1f})" if figure["low"] is not None else ""
    seeds = figure.get("by_seed", ())
    each = "; by seed " + ", ".join(f"{100 * value:+.1f}" for value in seeds) if len(seeds) > 1 else ""
    return f"{100 * figure['rate']:+.1f}{spread}{each}"


def _reading(found: dict[str, Any]) -> str:
    axes = (("fewest_sources", "costly_sources", "sources"), ("most_uses", "costly_uses", "uses of a second"))
    lines = []
    for good, costly, what in axes:
        if found[good] is not None:
            after = "nothing that was tried is" if found[costly] is None else f"{found[costly]} are"
            lines.append(f"- {what}: {found[good]} are not costly, {after}.")
    return "\n".join(lines)


def write_section(path: Path, name: str, text: str, script: str = "noise_sources.py") -> None:
    """Put a text between the markers of a section of a Markdown file.

    Raises:
        SpeechbenchError: The file has no such markers.
    """
    start, end = f"<!-- {name}: written by tests/benchmarks/{script} -->", f"<!-- end of {name} -->"
    pattern = re.compile(f"{re.escape(start)}.*?{re.escape(end)}", re.DOTALL)
    before = files.read_text(path)
    if not pattern.search(before):
        raise SpeechbenchError(f"{path}: lacks the lines '{start}' and '{end}', between which the table goes")
    files.write_text(path, pattern.sub(lambda _: f"{start}\n{text}\n{end}", before))
