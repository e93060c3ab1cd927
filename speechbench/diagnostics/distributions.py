"""Two distributions by {human, seen, unseen}: which of them is harder, and what the recogniser lacks on each.

Source: Ng, "Machine Learning Yearning" (2018), chapter 43.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

COLUMNS = ("human", "seen", "unseen")
PLAIN = {"train": "training", "dev": "dev"}


def tabulate(
    rates: Mapping[str, float], human: float | None, human_dev: float | None, dev_seen: float | None
) -> dict[str, Any] | None:
    """Fill the table as far as the sets allow.

    Args:
        rates: Error rates of train, train_dev, dev.
        human: Human error on the training distribution.
        human_dev: Human error on dev's distribution.
        dev_seen: The recogniser's error on speech of dev's distribution that it was trained on.

    Returns:
        `train` and `dev`, each with `human`, `seen`, `unseen` (None where unknown), and `reading`: sentences. None unless
        both distributions have an error in one column at least, or dev's has two.
    """
    cells = {
        "train": dict(zip(COLUMNS, (human, rates.get("train"), rates.get("train_dev")), strict=True)),
        "dev": dict(zip(COLUMNS, (human_dev, dev_seen, rates.get("dev")), strict=True)),
    }
    shared = [key for key in COLUMNS if cells["train"][key] is not None and cells["dev"][key] is not None]
    if not shared and sum(rate is not None for rate in cells["dev"].values()) < 2:
        return None
    return {**cells, "reading": [*_across(cells, shared), *(line for name in cells for line in _along(name, cells[name]))]}


def _across(cells: Mapping[str, Mapping[str, Any]], shared: list[str]) -> list[str]:
    lines = []
    who = {
        "human": "humans",
        "seen": "the recogniser, on speech it was trained on,",
        "unseen": "the recogniser, on new speech,",
    }
    for key in shared:
        more = round(100 * (cells["dev"][key] - cells["train"][key]), 1)
        verb = "errs" if key != "human" else "err"
        said = f"{abs(more)} points {'more' if more > 0 else 'less'}" if more else "as much"
        compared = "than on" if more else "as on"
        lines.append(f"On dev's distribution {who[key]} {verb} {said} {compared} the training distribution.")
    return lines


def _along(name: str, row: Mapping[str, Any]) -> list[str]:
    known = [key for key in COLUMNS if row[key] is not None]
    steps = [
        f"{round(100 * (row[after] - row[before]), 1):+} points from {before} to {after}" for before, after in pairwise(known)
    ]
    return [f"On the {PLAIN[name]} distribution: {', '.join(steps)}."] if steps else []
