"""The pictures of a whole that is put together from parts: the ladder up to dev, and dev's errors down to none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib

from speechbench.report.canvas import COLORS, GREY, INK, STYLE, add_axes, new_figure, write_svg
from speechbench.report.cells import within, words_of

ROW = 0.5  # inches of height


@dataclass(frozen=True)
class Bar:
    """A part: from where to where, in points of WER, and the interval of where it ends."""

    label: str
    start: float
    end: float
    ends: tuple[float, float] | None
    color: str


def draw_ladder(ladder: Mapping[str, Any]) -> str:
    """From the clean recordings' error to dev's, a bar for what each rung adds."""
    rates = {rung["name"]: rung for rung in ladder["rungs"]}
    bottom, top = ladder["rungs"][0], ladder["rungs"][-1]
    bars = [_total("the clean recordings", bottom)]
    for step in ladder["steps"]:
        start = rates[step["before"]]["rate"]
        color = COLORS[1] if step["separable"] else GREY
        change = within(f"{100 * step['value']:+.1f}", step["low"], step["high"], signed=True, digits=1)
        bars.append(Bar(f"{step['adds']}: {change}", start, start + step["value"], _ends(step, start, 1), color))
    return _draw([*bars, _total("dev, all together", top)])


def _total(label: str, rung: Mapping[str, Any]) -> Bar:
    rate = within(f"{100 * rung['rate']:.1f} %", rung["low"], rung["high"], digits=1)
    return Bar(f"{label}: {rate}", 0.0, rung["rate"], _ends(rung, 0.0, 1), COLORS[0])


def draw_stages(stages: Mapping[str, Any]) -> str:
    """From the measured error down to what is left when one part after the other is perfect."""
    rate = stages["rate"]
    bars = [Bar(f"as it is: {100 * rate:.1f} %, {stages['errors']} errors", 0.0, rate, None, COLORS[0])]
    start = rate
    for row in stages["stages"]:
        ceiling = within(f"{100 * row['ceiling']:.1f} points", row["low"], row["high"], digits=1)
        said = f"{row['errors']}, {ceiling}" if row["errors"] else "no error"
        label = f"{words_of(row['name'])}: {said}"
        bars.append(Bar(label, start, row["cumulative"], _ends(row, start, -1), COLORS[1] if row["low"] else GREY))
        start = row["cumulative"]
    return _draw(bars)


def _ends(row: Mapping[str, Any], start: float, sign: int) -> tuple[float, float] | None:
    """Where a bar from `start` may end, up (1) or down (-1) by an interval; None where there is none."""
    if row["low"] is None or row["high"] is None:
        return None
    low, high = sorted(max(0.0, start + sign * row[key]) for key in ("low", "high"))
    return low, high


def _draw(bars: Sequence[Bar]) -> str:
    with matplotlib.rc_context(STYLE):
        figure = new_figure(ROW * len(bars) + 0.55)
        axes = add_axes(figure)
        for place, bar in enumerate(bars):
            axes.barh(place, 100 * (bar.end - bar.start), 0.36, 100 * bar.start, color=bar.color)
            axes.plot([100 * bar.end] * 2, [place, place + 0.82], color=GREY, lw=1, ls=":", zorder=0)
            if bar.ends is not None:
                low, high = (100 * end for end in bar.ends)
                axes.plot([low, high], [place] * 2, color=INK, lw=1.3, marker="|", ms=7)
            axes.text(0.0, place - 0.24, bar.label, va="bottom", ha="left", transform=axes.get_yaxis_transform(), fontsize=9.5)
        axes.set(ylim=(len(bars) - 0.7, -0.72), yticks=[], xlabel="word error rate, %")
        axes.set_xlim(left=min(0.0, *(100 * min(bar.start, bar.end) for bar in bars)))
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x", color=GREY, alpha=0.25)
        return write_svg(figure)
