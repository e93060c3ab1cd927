"""The error report: everything that diagnose knows, as one plain JSON document; every view is made from it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from speechbench import __version__
from speechbench.diagnostics.advice import Advice, advise_on_gaps, advise_on_slices
from speechbench.diagnostics.bootstrap import Estimate
from speechbench.diagnostics.confusions import confusions, costly_words
from speechbench.diagnostics.curves import snr_curves
from speechbench.diagnostics.distributions import tabulate
from speechbench.diagnostics.examples import choose_examples
from speechbench.diagnostics.gaps import SETS, Gap, Human, measure_gaps
from speechbench.diagnostics.given import GivenErrors
from speechbench.diagnostics.labels import list_suspects
from speechbench.diagnostics.ladder import Ladder, measure_ladder
from speechbench.diagnostics.needed import Size, more_needed
from speechbench.diagnostics.ranking import rank
from speechbench.diagnostics.repairs import Repairs
from speechbench.diagnostics.scored import ScoredSet, Spread, measure_spread, unlike
from speechbench.diagnostics.slices import slice_errors, snr_curve, snr_db, weak_parts
from speechbench.diagnostics.stages import LABELS, measure_stages
from speechbench.diagnostics.verdict import judge
from speechbench.diagnostics.versus import compare
from speechbench.errors import SpeechbenchError, unknown_name
from speechbench.files import sha256

DIGITS = 6  # of figures in the document
FOCUS = ("dev", "test", "train_dev", "train")  # the first that is there is the one whose errors are read


@dataclass(frozen=True)
class ErrorReport:
    """A diagnosis. What does not apply is an empty list or mapping; what is not known is None."""

    name: str  # of the system
    errors: dict[str, dict[str, Any]]  # by set: rate, errors, words, low, high, measured_over, blocks, greedy, notes, ...
    gaps: dict[str, dict[str, Any]]  # by name: value, low, high, separable, before, after, reason, needed
    verdict: list[str]  # the gaps to work on, largest first
    sentence: str  # the verdict in plain words
    notes: list[str]
    advice: list[dict[str, Any]]  # cause, action, reason, command, ceiling, low, high, section; by `rank`
    distributions: dict[str, Any] | None = None  # the table of `distributions.tabulate`
    focus: str | None = None  # the set that slices, confusions and examples are of
    slices: dict[str, list[dict[str, Any]]] = dataclasses.field(default_factory=dict)
    weak: list[dict[str, Any]] = dataclasses.field(default_factory=list)  # the weak parts of all slices
    confusions: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    words: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    snr_curve: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    snr_curves: dict[str, list[dict[str, Any]]] = dataclasses.field(default_factory=dict)  # by noise condition
    ladder: dict[str, Any] | None = None  # what `measure_ladder` returns
    stages: dict[str, Any] | None = None  # what `measure_stages` returns
    versus: dict[str, Any] | None = None
    examples: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    suspects: list[dict[str, Any]] = dataclasses.field(default_factory=list)  # transcripts of the focus, see `list_suspects`
    missing: dict[str, list[str]] = dataclasses.field(default_factory=dict)  # by set: ids without a hypothesis
    provenance: dict[str, Any] = dataclasses.field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """The JSON document, figures rounded."""
        document: dict[str, Any] = _rounded(dataclasses.asdict(self))
        return document


def diagnose(
    sets: Mapping[str, ScoredSet],
    human: Human | None = None,
    *,
    name: str = "system",
    versus: Mapping[str, ScoredSet] | None = None,
    versus_name: str = "older system",
    ladder: Ladder | None = None,
    repairs: Repairs | None = None,
    differences: list[dict[str, Any]] | None = None,
    train_words: Mapping[str, int] | None = None,
    seed: int = 0,
) -> ErrorReport:
    """Find out where a recogniser's errors come from.

    Args:
        sets: The scored sets by name, any of train, train_dev, dev, test.
        human: The human level, where known.
        name: The system's name in the report.
        versus: The sets of an older system, to be compared on the sets that both have.
        versus_name: Its name.
        ladder: Dev's utterances on each rung, for the section `ladder`.
        repairs: Dev's utterances with errors, a part of the recogniser repaired, for the section `stages`.
        differences: What differs between the two trainings (`fairness.list_differences`); None where it is not known.
        train_words: How often each word occurs in the training text, where known.
        seed: Of the resampling and of the choice of examples.

    Raises:
        SpeechbenchError: No set, an unknown set, missing hypotheses, two systems scored on different utterances.
    """
    for key in sets:
        if key not in SETS[1:]:
            raise unknown_name("set", key, SETS[1:])
    if not sets:
        raise SpeechbenchError(f"there is no set to diagnose; give one or more of {', '.join(SETS[1:])}")
    sets = {key: sets[key] for key in SETS if key in sets}
    spreads = {key: measure_spread(key, scored, seed) for key, scored in sets.items()}
    focus = next(key for key in FOCUS if key in sets)
    scored = sets[focus]
    sizes = {key: Size(s.kind, s.blocks, len(sets[key].manifest), s.speakers) for key, s in spreads.items()}
    slices = slice_errors(scored, train_words)
    weak = weak_parts(slices)
    steps = measure_ladder(ladder, sets.get("train_dev"), seed) if ladder else None
    stages = measure_stages(repairs, seed, climbed=ladder is not None) if repairs else None
    estimates = {key: spread.estimate for key, spread in spreads.items()}
    if {"dev", "test"} <= sets.keys() and (why := unlike(sets["dev"].manifest, sets["test"].manifest)):
        estimates["test"] = dataclasses.replace(estimates["test"], doubt=why)
    # Ladder and stages share out all errors, and so also those that humans would make, but for those of wrong transcripts.
    sections, above = {"ladder": steps, "stages": stages}, _above(estimates[focus], human)
    rows = [(name, row) for name, found in sections.items() if found for row in found["advice"]]
    handed_in = [Advice(**row, section=name) for name, row in rows if above or row["cause"] == LABELS]
    measured = human is not None and human.words is not None  # on dev
    table = _tabulate(
        estimates, human, sizes, _snr_range(scored), [*advise_on_slices(list(_apart(scored, weak, train_words))), *handed_in]
    )
    rate = human.rate if human else None
    rates = {key: estimate.value for key, estimate in estimates.items()}
    return ErrorReport(
        name=name,
        errors=_human_row(human) | {key: _set_row(sets[key], spread) for key, spread in spreads.items()},
        **table,
        distributions=tabulate(rates, None if measured else rate, rate if measured else None, None),
        focus=focus,
        slices=slices,
        weak=weak,
        confusions=confusions(scored.score),
        words=costly_words(scored.score),
        snr_curve=snr_curve(scored, seed),
        snr_curves=snr_curves(scored, seed),
        ladder=steps,
        stages=stages,
        versus=compare(sets, versus, versus_name, seed, focus) | {"differences": differences} if versus else None,
        examples=choose_examples(scored, seed),
        suspects=list_suspects(scored, versus.get(focus) if versus else None),
        missing={key: list(s.score.missing) for key, s in sets.items() if s.score.missing},
        provenance={"version": __version__, "seed": seed, "sets": {key: _describe(s) for key, s in sets.items()}},
    )


def diagnose_given(given: GivenErrors) -> ErrorReport:
    """The gap table, verdict and advice from numbers alone."""
    sizes = {key: Size("word", count) for key, count in given.words.items()}
    errors = _human_row(given.human)
    for key in filter(given.estimates.__contains__, SETS):
        estimate, words = given.estimates[key], given.words.get(key)
        low, high = estimate.interval() or (None, None)
        count = None if words is None else round(estimate.value * words)
        errors[key] = {"rate": estimate.value, "errors": count, "words": words, "low": low, "high": high}
    # Ng's tables of human, train and dev have dev of the training distribution; numbers alone cannot say otherwise.
    table = _tabulate(given.estimates, given.human, sizes, None, one_distribution="train_dev" not in given.estimates)
    rates = {key: estimate.value for key, estimate in given.estimates.items()}
    cells = tabulate(rates, given.human.rate if given.human else None, given.human_dev, given.dev_seen)
    if sizes:
        table["notes"].append(
            "Intervals from counts alone take each word as independent: with few speakers or noise sources they are too "
            "narrow. Give manifests and hypotheses for intervals over speakers."
        )
    return ErrorReport(name="given", errors=errors, **table, distributions=cells)


def _tabulate(
    estimates: Mapping[str, Estimate],
    human: Human | None,
    sizes: Mapping[str, Size],
    snr: str | None,
    candidates: Sequence[Advice] = (),  # of other sections
    one_distribution: bool = False,
) -> dict[str, Any]:
    gaps = measure_gaps(estimates, human, one_distribution)
    verdict = judge(estimates, gaps, human, sizes)
    advice = rank([*advise_on_gaps(gaps, verdict, sizes, snr), *candidates], verdict.names)
    return {
        "gaps": {key: _gap_row(gap) | {"needed": more_needed(gap, sizes) or None} for key, gap in gaps.items()},
        "verdict": list(verdict.names),
        "sentence": verdict.sentence,
        "notes": list(verdict.notes),
        "advice": [dataclasses.asdict(one) for one in advice],
    }


def _above(error: Estimate, human: Human | None) -> bool:
    """Whether a set surely errs more than humans; where no human level is known, it may."""
    low, _ = error.interval() or (error.value, error.value)
    return human is None or low > human.high


def _apart(scored: ScoredSet, weak: list[dict[str, Any]], train_words: Mapping[str, int] | None) -> Iterator[dict[str, Any]]:
    """Weak speakers, and the parts that are weak without them too: a speaker's accent is not another cause."""
    speakers = {row["name"] for row in weak if row["slice"] == "speaker"}
    rest = scored.select(lambda utterance: utterance.speaker not in speakers) if speakers else scored
    still = {(row["slice"], row["name"]) for row in weak_parts(slice_errors(rest, train_words))} if speakers else set()
    for row in weak:
        if not speakers or row["slice"] == "speaker" or (row["slice"], row["name"]) in still:
            yield row


def _gap_row(gap: Gap) -> dict[str, Any]:
    row = dataclasses.asdict(gap)
    first = ("value", "low", "high", "separable")
    return {key: row[key] for key in first} | {key: value or None for key, value in row.items() if key not in first}


def _human_row(human: Human | None) -> dict[str, dict[str, Any]]:
    row = human and dataclasses.asdict(human)
    return {"human": row} if row else {}


def _set_row(scored: ScoredSet, spread: Spread) -> dict[str, Any]:
    total = scored.score.total
    low, high = spread.estimate.interval() or (None, None)
    return {
        "rate": total.rate,
        "errors": total.errors,
        "words": total.words,
        "low": None if low is None else max(0.0, low),
        "high": high,
        "substitutions": total.substitutions,
        "insertions": total.insertions,
        "deletions": total.deletions,
        "utterances": len(scored.manifest),
        "measured_over": spread.kind,
        "blocks": spread.blocks,
        "greedy": scored.greedy,
        "notes": list(spread.notes),
    }


def _snr_range(scored: ScoredSet) -> str | None:
    values = [value for u in scored.manifest if (value := snr_db(u)) is not None]
    return f"{min(values):.0f}:{max(values):.0f}" if values else None


def _describe(scored: ScoredSet) -> dict[str, Any]:
    facts: dict[str, Any] = {"utterances": len(scored.manifest), "seconds": scored.manifest.seconds}
    if scored.manifest.path is not None:
        facts |= {"path": str(scored.manifest.path), "sha256": sha256(scored.manifest.path)}
    return facts


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, DIGITS) + 0.0  # no "-0.0"
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    return [_rounded(inner) for inner in value] if isinstance(value, list | tuple) else value
