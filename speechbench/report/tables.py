"""Rows of sets, gaps, slices and words, for the terminal and the page alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from speechbench.diagnostics.needed import write_needed
from speechbench.report.cells import SETS, Row, certainty, percent, points, share, span, words_of


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
    """A row per gap; what would decide those that are open, where that is known of any."""
    asked = any(gap["needed"] for gap in document["gaps"].values())
    return [
        {
            "gap": words_of(name),
            "between": f"{SETS[gap['before']] if gap['before'] else '0'} and {SETS[gap['after']]}",
            "points": points(gap["value"]),
            "interval": span(gap["low"], gap["high"], signed=True),
            "real": certainty(gap["separable"]),
            "because": gap["reason"],
        }
        | ({"would decide": write_needed(gap["needed"] or {}, SETS)} if asked else {})
        for name, gap in document["gaps"].items()
    ]


def distribution_rows(document: Mapping[str, Any]) -> list[Row]:
    """The two distributions by human, seen and unseen."""
    table = document["distributions"]
    return [{"distribution": name} | {key: percent(rate) for key, rate in table[name].items()} for name in ("train", "dev")]


def slice_rows(name: str, rows: list[Row]) -> list[Row]:
    """A row per part of a slice."""
    return [
        {
            name_slice(name): row["name"],
            "utterances": row["utterances"],
            "words": row["words"],
            "errors": row["errors"],
            "WER": percent(row["rate"]),
            "share of errors": share(row["share"]),
            "ceiling": f"{100 * row['ceiling']:.2f}",
            "95 % interval": span(row["low"], row["high"], signed=True),
            "if perfect": f"{100 * row['ceiling_perfect']:.2f}",
            "weak": certainty(row["weak"]),
        }
        for row in rows
    ]


def name_slice(name: str) -> str:
    """A slice's name for readers."""
    return name.upper() if name == "snr" else name


def weak_rows(document: Mapping[str, Any]) -> list[Row]:
    """A row per weak part of a slice."""
    return [
        {
            "slice": name_slice(row["slice"]),
            "part": row["name"],
            "errors": row["errors"],
            "WER": percent(row["rate"]),
            "share of errors": share(row["share"]),
            "ceiling": f"{100 * row['ceiling']:.2f}",
            "95 % interval": span(row["low"], row["high"]),
            "p": f"{row['p_value']:.2g}",
        }
        for row in document["weak"]
    ]


def confusion_rows(rows: list[Row]) -> list[Row]:
    """A row per confusion, of words or phonemes."""
    return [
        {"error": row["error"], "kind": row["kind"], "count": row["count"], "share of errors": share(row["share"], 1)}
        for row in rows
    ]


def word_rows(document: Mapping[str, Any]) -> list[Row]:
    """A row per costly word."""
    return [
        {
            "word": row["word"],
            "errors": row["errors"],
            "of": row["occurrences"],
            "share of errors": share(row["share"], 1),
        }
        for row in document["words"]
    ]
