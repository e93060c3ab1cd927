"""The table of cause against verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cases import HEALTHY, Case
from scipy import stats

from speechbench.files import read_text, write_text

BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"
NOTHING = "nothing"
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


def write_table(reports: Reports, seeds: Sequence[int], seconds: float, page: Path | None) -> None:
    """Print the table, and put it into a page between its marks."""
    lines = ["| planted | cause | right | named first | dev WER, % |", "|---|---|---|---|---|"]
    for case, found in reports:
        firsts = Counter(next(iter(claims(report)), NOTHING) for report in found)
        named = ", ".join(f"{name} {count}" for name, count in firsts.most_common())
        rates = " ".join(f"{100 * report['errors']['dev']['rate']:.1f}" for report in found)
        right = sum(place(case, report) == 1 for report in found)
        lines.append(f"| {case.name} | `{case.cause}` | {right} / {len(found)} | {named} | {rates} |")
    faults = [place(case, r) for case, found in reports if case.cause != HEALTHY for r in found]
    controls = [place(case, r) for case, found in reports if case.cause == HEALTHY for r in found]
    lines += [
        "",
        f"- Faults: {_share(faults.count(1), len(faults))} named first; {faults.count(2)} second, "
        f"{sum(p is None or p > 2 for p in faults)} later or not at all.",
        f"- Healthy controls: {_share(controls.count(None), len(controls))} false alarms.",
        f"- Seeds {', '.join(map(str, seeds))}; {seconds / 60:.0f} minutes of one core.",
    ]
    text = "\n".join(lines)
    print(text)
    if page is not None:
        before, _, rest = read_text(page).partition(BEGIN)
        write_text(page, f"{before}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}")


def _share(count: int, of: int) -> str:
    """A count with its share and the share's exact 95 % interval (Clopper and Pearson 1934)."""
    if not of:
        return "0 of 0"
    low, high = stats.binomtest(count, of).proportion_ci(method="exact")
    return f"{count} of {of} ({100 * count / of:.0f} %, 95 % interval {100 * low:.0f} to {100 * high:.0f} %)"
