"""Rows of the ladder and of the stages: what in the sound, and which part of the recogniser, the errors come from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from speechbench.report.cells import Row, certainty, counted, percent, points, share, within, words_of


def step_rows(ladder: Mapping[str, Any]) -> list[Row]:
    """A row per step of the ladder, and the whole."""
    rungs = {rung["name"]: rung for rung in ladder["rungs"]}
    parts = [
        *((row["adds"], rungs[row["after"]], row) for row in ladder["steps"]),
        ("all together", rungs[ladder["rungs"][-1]["name"]], ladder["whole"] | {"share": None}),
    ]
    return [
        {
            "what is added": adds,
            "points (interval)": within(points(row["value"]), row["low"], row["high"], signed=True),
            "share": share(row["share"]),
            "real": certainty(row["separable"]),
            "WER then (95 % interval)": within(percent(rung["rate"]), rung["low"], rung["high"]),
            "because": row["reason"],
        }
        for adds, rung, row in parts
    ]


def stage_rows(stages: Mapping[str, Any]) -> list[Row]:
    """A row per stage, in the order of the blame."""
    return [
        {
            "part": words_of(row["name"]),
            "errors": row["errors"],
            "share": share(row["share"]),
            "ceiling (95 % interval)": within(f"{100 * row['ceiling']:.2f}", row["low"], row["high"]),
            "WER left (95 % interval)": within(percent(row["cumulative"]), row["cumulative_low"], row["cumulative_high"]),
            "with it alone": percent(row["alone"]),
            "asked in": row["asked"],
            "to blame where": row["means"],
        }
        for row in stages["stages"]
    ]


def speak_verification(stages: Mapping[str, Any]) -> str:
    """The optimisation verification test in a sentence."""
    found = stages["verification"]
    parts = {
        "search": "the reference has the better score, and the search missed it, in",
        "model": "the model prefers what was heard in",
        "cannot_be_said": "the reference cannot be said by lexicon and language model in",
        "score_is_unknown": "a score is unknown in",
    }
    said = [f"{words} {found[name]}" for name, words in parts.items() if found[name]]
    return f"Search or model? Of {counted(stages['erroneous'], 'utterance')} with errors, {'; '.join(said)}." if said else ""
