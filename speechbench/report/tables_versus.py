"""Rows that compare systems: two on the same utterances, or several side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from speechbench.report.cells import SETS, Row, certainty, percent, points, share, span, words_of
from speechbench.report.tables import name_slice


def change_rows(versus: Mapping[str, Any]) -> list[Row]:
    """A row per set that two systems share."""
    return [
        {
            "set": SETS[name],
            "WER before": percent(row["rate"]),
            "WER after": percent(row["rate"] + row["value"]),
            "points": points(row["value"]),
            "95 % interval": span(row["low"], row["high"], signed=True),
            "real": certainty(row["separable"]),
            "matched pairs": _matched(row["matched_pairs"]),
        }
        for name, row in versus["changes"].items()
    ]


def _matched(test: Mapping[str, Any]) -> str:
    """The paired test as "p = 0.012, 118 segments", or why there is none."""
    if test["reason"]:
        return str(test["reason"])
    chance = "p < 1e-9" if test["p_value"] < 1e-9 else f"p = {test['p_value']:.2g}"
    return f"{chance}, {test['segments']} segments"


def paired_rows(versus: Mapping[str, Any]) -> list[Row]:
    """A row per set that two systems share: what each has right that the other has not."""
    return [
        {
            "set": SETS[name],
            "only after right": row["words"]["newer_only"],
            "only before right": row["words"]["older_only"],
            "both right": row["words"]["both"],
            "both wrong": row["words"]["neither"],
            "better of both, by utterance": percent(row["oracle"]["utterance"]),
            "by word": percent(row["oracle"]["word"]),
        }
        for name, row in versus["changes"].items()
    ]


def changed_slice_rows(versus: Mapping[str, Any]) -> list[Row]:
    """A row per part of a slice in which the change is real, the largest gain first."""
    real = [(name, row) for name, rows in versus["slices"].items() for row in rows if row["separable"]]
    return [
        {
            "slice": name_slice(name),
            "part": row["name"],
            "words": row["words"],
            "WER before": percent(row["rate"]),
            "points": points(row["value"]),
            "interval": span(row["low"], row["high"], signed=True),
        }
        for name, row in sorted(real, key=lambda pair: float(pair[1]["value"]))
    ]


def exchanged_rows(rows: Sequence[Row]) -> list[Row]:
    """A row per word that one system has right and the other has not."""
    return [{"word": row["word"], "times": row["count"]} for row in rows]


def difference_rows(versus: Mapping[str, Any]) -> list[Row]:
    """A row per difference of the trainings."""
    return [
        {"about": row["about"], "what": row["name"], "after": _value(row["newer"]), "before": _value(row["older"])}
        for row in versus["differences"] or []
    ]


def _value(value: Any) -> str:
    return "none" if value is None else f"{value:,.6g}" if isinstance(value, float) else str(value)


def system_rows(documents: Mapping[str, Mapping[str, Any]], part: str, names: Sequence[str]) -> list[Row]:
    """A row per system with a cell for each set ("errors") or gap ("gaps")."""
    write = {"errors": _rate_cell, "gaps": _gap_cell}[part]
    label = {name: SETS.get(name, words_of(name)) for name in names}
    return [{"system": title} | {label[name]: write(d[part].get(name)) for name in names} for title, d in documents.items()]


def _rate_cell(row: Mapping[str, Any] | None) -> str:
    """A set's error: "12.34 (11.00 to 13.50)"."""
    if row is None:
        return ""
    interval = span(row["low"], row["high"]) if row["low"] != row["high"] else ""
    return f"{100 * row['rate']:.2f}" + (f" ({interval})" if interval else "")


def _gap_cell(gap: Mapping[str, Any] | None) -> str:
    """A gap: "+3.00 *" where it is real, "+3.00 ?" where nobody knows."""
    return (
        "" if gap is None else points(gap["value"]) + (" *" if gap["separable"] else " ?" if gap["separable"] is None else "")
    )


def closed_row(title: str, older: str, versus: Mapping[str, Any], closed: Mapping[str, float] | None) -> Row:
    """What a system changed on dev, and the share of the older one's data mismatch that it closes."""
    change = versus["changes"].get("dev")
    return {
        "system": title,
        "against": older,
        "dev, points": f"{points(change['value'])} ({span(change['low'], change['high'], signed=True)})" if change else "",
        "mismatch closed": (
            f"{share(closed['value'])} ({100 * closed['low']:.0f} to {100 * closed['high']:.0f} %)" if closed else "unknown"
        ),
    }
