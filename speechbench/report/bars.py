"""Bars: the error of several systems, and what an advice could gain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib
from markupsafe import Markup

from speechbench.report.canvas import COLORS, GREY, INK, STYLE, add_axes, new_figure, write_svg
from speechbench.report.cells import SETS

HATCHES = ("", "///", "---", "xxx", "|||", "+++")  # beside the colours, for print in grey


def draw_systems(documents: Mapping[str, Mapping[str, Any]]) -> str:
    """Error per set, a bar per system, with intervals."""
    names = [name for name in SETS if name != "human" and any(name in d["errors"] for d in documents.values())]
    width = 0.8 / max(1, len(documents))
    with matplotlib.rc_context(STYLE | {"hatch.color": "white", "hatch.linewidth": 0.6}):
        figure = new_figure(3.2 + 0.17 * len(documents))
        axes = add_axes(figure)
        for number, (title, document) in enumerate(documents.items()):
            rows = [(place, document["errors"][name]) for place, name in enumerate(names) if name in document["errors"]]
            at = [place + (number - (len(documents) - 1) / 2) * width for place, _ in rows]
            rates = [100 * row["rate"] for _, row in rows]
            spread = [[100 * abs(_end(row, end) - row["rate"]) for _, row in rows] for end in ("low", "high")]
            color, hatch = COLORS[number % len(COLORS)], HATCHES[number % len(HATCHES)]
            axes.bar(at, rates, 0.92 * width, color=color, hatch=hatch, label=title)
            axes.errorbar(at, rates, spread, fmt="none", ecolor=INK, elinewidth=1.2, capsize=2)
        human = next((d["errors"]["human"] for d in documents.values() if "human" in d["errors"]), None)
        if human:
            axes.axhline(100 * human["rate"], color=GREY, lw=1.5, ls="--", label="human")
        axes.set_xticks(range(len(names)), [SETS[name] for name in names])
        axes.set(ylabel="word error rate, %", ylim=(0, None))
        axes.grid(axis="y", color=GREY, alpha=0.25)
        figure.legend(frameon=False, fontsize=9, loc="outside upper left")
        return write_svg(figure)


def _end(row: Mapping[str, Any], end: str) -> float:
    return float(row["rate"] if row[end] is None else row[end])


def draw_ceiling(advice: Mapping[str, Any], most: float) -> Markup:
    """What an advice could gain as a bar with its interval, on a scale from 0 to `most` (a fraction of words)."""
    scale = 100 / most if most > 0 else 0.0
    width, low, high = (scale * max(0.0, advice[key] or 0.0) for key in ("ceiling", "low", "high"))
    whisker = f'<path d="M{low:.1f} 5H{high:.1f}M{low:.1f} 2V8M{high:.1f} 2V8"/>' if advice["high"] is not None else ""
    return Markup(  # numbers alone
        f'<svg class="ceiling" viewBox="-1 0 102 10" preserveAspectRatio="xMinYMid" aria-hidden="true" focusable="false">'
        f'<rect width="100" height="10" class="scale"/><rect width="{width:.1f}" height="10" class="gain"/>{whisker}</svg>'
    )
