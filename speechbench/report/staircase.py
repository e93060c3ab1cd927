"""The picture of the gaps: error from human to test, a step per set, and what each gap adds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes

from speechbench.report.canvas import COLORS, GREY, INK, STYLE, add_axes, new_figure, write_svg
from speechbench.report.cells import SETS

LINE = 0.055  # height of a label's line, in heights of the picture


def draw_staircase(document: Mapping[str, Any]) -> str:
    """Error from human to test, a step per set with its interval, and the gap that each step adds."""
    sets = document["errors"]
    names = list(sets)
    with matplotlib.rc_context(STYLE):
        figure = new_figure(3.5)
        axes = add_axes(figure)
        for place, (name, row) in enumerate(sets.items()):
            color = GREY if name == "human" else COLORS[0]
            if row["low"] is not None and row["high"] > row["low"]:
                axes.fill_between([place, place + 1], 100 * row["low"], 100 * row["high"], color=color, alpha=0.25, lw=0)
            axes.hlines(100 * row["rate"], place, place + 1, color=color, lw=3)
        top = 1.3 * max(100 * (row["high"] or row["rate"]) for row in sets.values()) or 1.0
        taken: dict[int, float] = {}  # by the set above whose step labels lie, up to where
        for name, gap in document["gaps"].items():
            _draw_gap(axes, name, gap, names, sets, top, taken)
        axes.set_xticks([place + 0.5 for place in range(len(names))], [_tick(name, sets[name]) for name in names])
        axes.set(
            xlim=(-0.75 if not document["errors"].get("human") else -0.1, len(names) + 0.1),
            ylim=(0, top),
            ylabel="word error rate, %",
        )
        axes.tick_params(axis="x", length=0)
        axes.grid(axis="y", color=GREY, alpha=0.25)
        return write_svg(figure)


def _tick(name: str, row: Mapping[str, Any]) -> str:
    return f"{SETS[name]}\n{100 * row['rate']:.2f} %"


def _draw_gap(
    axes: Axes,
    name: str,
    gap: Mapping[str, Any],
    names: Sequence[str],
    sets: Mapping[str, Mapping[str, Any]],
    top: float,
    taken: dict[int, float],
) -> None:
    place = names.index(gap["after"])
    after = 100 * sets[gap["after"]]["rate"]
    before = 100 * sets[gap["before"]]["rate"] if gap["before"] else 0.0
    color = COLORS[1] if gap["separable"] else GREY
    if abs(after - before) > 0.004 * top:
        axes.annotate(
            "",
            (place, after),
            (place, before),
            arrowprops={"arrowstyle": "-|>", "color": color, "lw": 2, "shrinkA": 0, "shrinkB": 0},
        )
    size = f"{100 * gap['value']:+.1f}" + ("" if gap["separable"] else " ?" if gap["separable"] is None else "")
    label = "\n".join([*_two_lines(name), size])
    weight = "bold" if gap["separable"] else "normal"
    # Beside the arrow's head, on the side where no step is: left of it when the error rises, above the step otherwise.
    left = place == 0 or after >= before
    above = place - 1 if left else place
    bottom = max(max(after, before) + 0.015 * top, taken.get(above, 0.0))
    taken[above] = bottom + LINE * top * (label.count("\n") + 1)
    axes.text(
        place + (-0.06 if left else 0.06),
        bottom,
        label,
        ha="right" if left else "left",
        va="bottom",
        color=INK,
        weight=weight,
        fontsize=9,
        linespacing=1.15,
    )


def _two_lines(name: str) -> list[str]:
    words = name.replace("_", " ").split()
    half = (len(words) + 1) // 2
    return [" ".join(part) for part in (words[:half], words[half:]) if part]
