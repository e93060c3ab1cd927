"""Rows for the eye: figures as text, for the terminal and the page alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Row = dict[str, Any]
SETS = {"human": "human", "train": "train", "train_dev": "train-dev", "dev": "dev", "test": "test"}


def words_of(name: str) -> str:
    """A name of the document as words: "data mismatch"."""
    return name.replace("_", " ")


def percent(value: float | None) -> str:
    """A fraction as "12.34 %"; "" where it is unknown."""
    return "" if value is None else f"{100 * value:.2f} %"


def points(value: float | None) -> str:
    """A difference of fractions as "+1.23" points; "" where it is unknown."""
    return "" if value is None else f"{100 * value:+.2f}"


def span(low: float | None, high: float | None, signed: bool = False) -> str:
    """An interval as "1.20 to 3.40"."""
    if low is None or high is None:
        return ""
    return f"{100 * low:+.2f} to {100 * high:+.2f}" if signed else f"{100 * low:.2f} to {100 * high:.2f}"


def certainty(separable: bool | None) -> str:
    """Whether a gap is real: "yes", "no" or "unknown"."""
    return "unknown" if separable is None else "yes" if separable else "no"


def error_rows(document: Mapping[str, Any]) -> list[Row]:
    """A row per set."""
    return [
        {
            "set": SETS[name],
            "WER": percent(row["rate"]),
            "95 % interval": span(row["low"], row["high"]) if name != "human" or row["low"] != row["high"] else "",
            "errors": row["errors"],
            "words": row["words"],
            "measured over": f"{row['blocks']} {row['measured_over']}s" if row.get("blocks") else "",
        }
        | (
            {"greedy WER": percent(row.get("greedy"))}
            if any(r.get("greedy") is not None for r in document["errors"].values())
            else {}
        )
        for name, row in document["errors"].items()
    ]


def gap_rows(document: Mapping[str, Any]) -> list[Row]:
    """A row per gap."""
    return [
        {
            "gap": words_of(name),
            "from": SETS[gap["before"]] if gap["before"] else "0",
            "to": SETS[gap["after"]],
            "points": points(gap["value"]),
            "interval": span(gap["low"], gap["high"], signed=True),
            "real": certainty(gap["separable"]),
            "because": gap["reason"],
        }
        for name, gap in document["gaps"].items()
    ]


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
        }
        for name, row in versus["changes"].items()
    ]


def slice_rows(name: str, rows: list[Row]) -> list[Row]:
    """A row per part of a slice."""
    return [
        {
            name: row["name"],
            "utterances": row["utterances"],
            "words": row["words"],
            "errors": row["errors"],
            "WER": percent(row["rate"]),
            "share of errors": f"{100 * row['share']:.0f} %",
            "ceiling": f"{100 * row['ceiling']:.2f}",
            "if perfect": f"{100 * row['ceiling_perfect']:.2f}",
        }
        for row in rows
    ]


def paired_rows(versus: Mapping[str, Any]) -> list[Row]:
    """A row per set that two systems share: what each has right that the other has not."""
    return [
        {
            "set": SETS[name],
            "only after right": row["words"]["newer_only"],
            "only before right": row["words"]["older_only"],
            "both wrong": row["words"]["neither"],
            "better of both, by utterance": percent(row["oracle"]["utterance"]),
            "by word": percent(row["oracle"]["word"]),
            "matched pairs": _matched(row["matched_pairs"]),
        }
        for name, row in versus["changes"].items()
    ]


def _matched(test: Mapping[str, Any]) -> str:
    """The paired test as "p = 0.012, 118 segments", or why there is none."""
    return test["reason"] or f"p = {test['p_value']:.2g}, {test['segments']} segments"


def weak_rows(document: Mapping[str, Any]) -> list[Row]:
    """A row per weak part of a slice."""
    return [
        {
            "slice": row["slice"],
            "part": row["name"],
            "WER": percent(row["rate"]),
            "share of errors": f"{100 * row['share']:.0f} %",
            "ceiling": f"{100 * row['ceiling']:.2f}",
            "95 % interval": span(row["low"], row["high"]),
            "p": f"{row['p_value']:.2g}",
        }
        for row in document["weak"]
    ]


def distribution_rows(document: Mapping[str, Any]) -> list[Row]:
    """The two distributions by human, seen and unseen."""
    table = document["distributions"]
    return [{"distribution": name} | {key: percent(rate) for key, rate in table[name].items()} for name in ("train", "dev")]


def confusion_rows(document: Mapping[str, Any]) -> list[Row]:
    """A row per confusion."""
    return [
        {"error": row["error"], "kind": row["kind"], "count": row["count"], "share of errors": f"{100 * row['share']:.1f} %"}
        for row in document["confusions"]
    ]


def word_rows(document: Mapping[str, Any]) -> list[Row]:
    """A row per costly word."""
    return [
        {
            "word": row["word"],
            "errors": row["errors"],
            "of": row["occurrences"],
            "share of errors": f"{100 * row['share']:.1f} %",
        }
        for row in document["words"]
    ]


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
            f"{100 * closed['value']:.0f} % ({100 * closed['low']:.0f} to {100 * closed['high']:.0f} %)"
            if closed
            else "unknown"
        ),
    }
