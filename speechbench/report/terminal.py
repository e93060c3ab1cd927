"""A report for the terminal: the verdict and what to do first, then the tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from speechbench.report import tables, tables_causes, tables_versus
from speechbench.report.cells import SETS, Row, counted, gain

FIRST = 3  # actions
ROWS = 5  # of the long tables


@dataclass(frozen=True)
class Table:
    """Rows under a title."""

    title: str
    rows: list[Row]


def summarise(document: Mapping[str, Any]) -> Iterator[str | Table]:
    """What a reader at a terminal is told: paragraphs and tables, the most useful first."""
    yield "\n".join([document["sentence"], *document["notes"]])
    yield from _first_actions(document["advice"])
    for name, ids in document["missing"].items():
        without = f"{counted(len(ids), 'utterance')} without a hypothesis"
        yield f"{SETS[name].capitalize()}: {without}; their words count as deleted."
    yield Table("Word error rates", tables.error_rows(document))
    yield Table("Gaps, in points", tables.gap_rows(document))
    if cells := document["distributions"]:
        yield Table("Two distributions", tables.distribution_rows(document))
        yield "\n".join(cells["reading"])
    yield from _causes(document)
    if document["weak"]:
        yield Table("Weak slices, corrected for many looks (Holm)", tables.weak_rows(document))
    if document["confusions"]:
        yield Table("Errors that occur most", tables.confusion_rows(document["confusions"][:ROWS]))
        if words := tables.word_rows(document)[:ROWS]:  # insertions cost none
            yield Table("Words that cost most", words)
    if suspects := document["suspects"]:
        rows = [{"transcript": row["id"], "because": "; ".join(row["reasons"])} for row in suspects[:ROWS]]
        yield Table(f"Transcripts to doubt, {len(rows)} of {len(suspects)}", rows)
    if versus := document["versus"]:
        yield Table(f"Against {versus['name']} (before)", tables_versus.change_rows(versus))
        yield Table("Words", tables_versus.paired_rows(versus))
        if rows := tables_versus.changed_slice_rows(versus):
            yield Table("Slices that changed", rows)
        if rows := tables_versus.difference_rows(versus):
            yield Table("What differs between the trainings", rows)


def _first_actions(listed: list[Row]) -> Iterator[str]:
    said = []
    for word, advice in zip(("Next: ", *["Then: "] * (FIRST - 1)), listed, strict=False):
        said.append(f"{word}{advice['action']}.")
        if gain(advice):
            said.append(f"      {gain(advice).capitalize()}.")
        said.append(f"      {advice['command']}")
    if len(listed) > FIRST:
        said.append(f"      {len(listed) - FIRST} more in the report.")
    if said:
        yield "\n".join(said)


def _causes(document: Mapping[str, Any]) -> Iterator[str | Table]:
    if ladder := document["ladder"]:
        yield Table("Ladder, from the clean recordings to dev", tables_causes.step_rows(ladder))
        yield "\n".join([ladder["sentence"], *ladder["notes"]])
    if stages := document["stages"]:
        yield Table("Stages, each blamed for what it mends", tables_causes.stage_rows(stages))
        yield "\n".join(filter(None, [stages["sentence"], tables_causes.speak_verification(stages), *stages["notes"]]))
