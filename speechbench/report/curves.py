"""The pictures of error against SNR: systems in one, or a panel for each noise condition."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes

from speechbench.report.canvas import COLORS, GREY, MARKERS, STYLE, add_axes, new_figure, write_svg

Points = Sequence[Mapping[str, Any]]


def draw_snr(curves: Mapping[str, Points]) -> str:
    """WER against SNR, a line per system, with bands of the intervals."""
    with matplotlib.rc_context(STYLE):
        figure = new_figure(2.8 + 0.17 * len(curves))
        axes = add_axes(figure)
        for number, (name, points) in enumerate(curves.items()):
            color, marker = COLORS[number % len(COLORS)], MARKERS[number % len(MARKERS)]
            _draw_curve(axes, points, color, marker, name)
        axes.set(xlabel="SNR, dB", ylabel="word error rate, %", ylim=(0, None))
        axes.grid(color=GREY, alpha=0.25)
        if len(curves) > 1:
            figure.legend(frameon=False, fontsize=9, loc="outside upper left")
        return write_svg(figure)


def draw_conditions(whole: Points, conditions: Mapping[str, Points]) -> str:
    """WER against SNR, a panel for each noise condition with its band, all noise together in grey behind it."""
    rows = math.ceil(len(conditions) / 2)
    with matplotlib.rc_context(STYLE):
        figure = new_figure(1.75 * rows + 0.5)
        first: Axes | None = None
        for number, (name, points) in enumerate(conditions.items()):
            axes = add_axes(figure, rows, 2, number + 1)
            if first is None:
                first = axes
            else:
                axes.sharex(first)
                axes.sharey(first)
            axes.plot([p["snr_db"] for p in whole], [100 * p["rate"] for p in whole], color=GREY, lw=1.5, ls="--")
            _draw_curve(axes, points, COLORS[0], MARKERS[0], name)
            axes.set_title(f"{name.replace('_', ' ')}, {sum(p['words'] for p in points):,} words", fontsize=9.5, loc="left")
            axes.grid(color=GREY, alpha=0.25)
        assert first is not None
        first.set_ylim(bottom=0)
        figure.supxlabel("SNR, dB", fontsize=10)
        figure.supylabel("word error rate, %", fontsize=10)
        return write_svg(figure)


def _draw_curve(axes: Axes, points: Points, color: str, marker: str, name: str) -> None:
    banded = [point for point in points if point["low"] is not None]
    axes.fill_between(
        [point["snr_db"] for point in banded],
        [100 * point["low"] for point in banded],
        [100 * point["high"] for point in banded],
        color=color,
        alpha=0.18,
        lw=0,
    )
    at = [point["snr_db"] for point in points]
    axes.plot(at, [100 * point["rate"] for point in points], color=color, marker=marker, lw=2, ms=5, label=name)
