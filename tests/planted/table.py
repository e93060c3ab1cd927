"""The table of cause against verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cases import HEALTHY, Case

from speechbench.files import read_text, write_text

BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"
Reports = Sequence[tuple[Case, Sequence[Mapping[str, Any]]]]  # of each case by seed


def claims(report: Mapping[str, Any]) -> list[str]:
    """The causes that a report names, the first first."""
    return [advice["cause"] for advice in report["advice"] if advice["cause"] is not None]


def place(case: Case, report: Mapping[str, Any]) -> int | None:
    """Where a report names what was planted, from 1; None where it does not. A healthy one is 1 if nothing is named."""
    named = claims(report)
    if case.cause == HEALTHY:
        return 1 if not named else None
    return named.index(case.cause) + 1 if case.cause in named else None


def write_table(reports: Reports, seconds: float, page: Path | None) -> None:
    """Print the table, and put it into a page between its marks."""
    lines = ["| planted | cause | named, seed by seed | dev WER |", "|---|---|---|---|"]
    for case, found in reports:
        named = "; ".join(", ".join(claims(report)[:2]) or "nothing" for report in found)
        rates = "; ".join(f"{100 * report['errors']['dev']['rate']:.1f}" for report in found)
        lines.append(f"| {case.name} | `{case.cause}` | {named} | {rates} |")
    faults = [place(case, r) for case, found in reports if case.cause != HEALTHY for r in found]
    controls = [place(case, r) for case, found in reports if case.cause == HEALTHY for r in found]
    lines += [
        "",
        f"{len(faults)} faults: {faults.count(1)} named first, {faults.count(2)} second, "
        f"{sum(p is None or p > 2 for p in faults)} later or not. {len(controls)} healthy controls: "
        f"{controls.count(None)} false alarms. {seconds / 60:.0f} minutes of one core, steps that were done again left out.",
    ]
    text = "\n".join(lines)
    print(text)
    if page is not None:
        before, _, rest = read_text(page).partition(BEGIN)
        write_text(page, f"{before}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}")
