"""The pictures of a report, as SVG inside the page: same document, same bytes, and legible in light and dark."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

INK = "#010203"  # stands for the page's text colour, which the reader's light or dark mode decides
GREY = "#8a9099"
# Okabe and Ito's colours, told apart by colour-blind readers: blue, vermilion, green, purple, orange, sky.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
MARKERS = "osD^vP"
LABELS = {"human": "human", "train": "train", "train_dev": "train-dev", "dev": "dev", "test": "test"}
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "speechbench",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 11,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.axisbelow": True,
}


def draw_staircase(document: Mapping[str, Any]) -> str:
    """Error from human to test, a step per set with its interval, and the gap that each step adds."""
    sets = document["errors"]
    names = list(sets)
    with matplotlib.rc_context(STYLE):
        figure, axes = _figure(9.0, 4.2)
        for place, (name, row) in enumerate(sets.items()):
            color = GREY if name == "human" else COLORS[0]
            if row["low"] is not None and row["high"] > row["low"]:
                axes.fill_between([place, place + 1], 100 * row["low"], 100 * row["high"], color=color, alpha=0.2, lw=0)
            axes.hlines(100 * row["rate"], place, place + 1, color=color, lw=3)
        top = 1.18 * max(100 * (row["high"] or row["rate"]) for row in sets.values()) or 1.0
        for name, gap in document["gaps"].items():
            _draw_gap(axes, name, gap, names, sets, top)
        axes.set_xticks([place + 0.5 for place in range(len(names))], [_tick(name, sets[name]) for name in names])
        axes.set(
            xlim=(-0.75 if not document["errors"].get("human") else -0.1, len(names) + 0.1),
            ylim=(0, top),
            ylabel="word error rate, %",
        )
        axes.tick_params(axis="x", length=0)
        axes.grid(axis="y", color=GREY, alpha=0.25)
        return _svg(figure)


def _tick(name: str, row: Mapping[str, Any]) -> str:
    return f"{LABELS[name]}\n{100 * row['rate']:.2f} %"


def _draw_gap(
    axes: Axes, name: str, gap: Mapping[str, Any], names: Sequence[str], sets: Mapping[str, Mapping[str, Any]], top: float
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
    left = place > 0 and after >= before
    axes.text(
        place + (-0.06 if left or place == 0 else 0.06),
        max(after, before) + 0.015 * top,
        label,
        ha="right" if left or place == 0 else "left",
        va="bottom" if place > 0 else "center",
        color=INK,
        weight=weight,
        fontsize=10,
        linespacing=1.15,
    )


def _two_lines(name: str) -> list[str]:
    words = name.replace("_", " ").split()
    half = (len(words) + 1) // 2
    return [" ".join(part) for part in (words[:half], words[half:]) if part]


def draw_snr(curves: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """WER against SNR, a line per system, with intervals."""
    with matplotlib.rc_context(STYLE):
        figure, axes = _figure(9.0, 3.8)
        for number, (name, points) in enumerate(curves.items()):
            color, marker = COLORS[number % len(COLORS)], MARKERS[number % len(MARKERS)]
            at = [point["snr_db"] for point in points]
            axes.fill_between(
                at,
                [100 * point["low"] for point in points],
                [100 * point["high"] for point in points],
                color=color,
                alpha=0.15,
                lw=0,
            )
            axes.plot(at, [100 * point["rate"] for point in points], color=color, marker=marker, lw=2, ms=6, label=name)
        axes.set(xlabel="SNR, dB", ylabel="word error rate, %", ylim=(0, None))
        axes.grid(color=GREY, alpha=0.25)
        if len(curves) > 1:
            axes.legend(frameon=False)
        return _svg(figure)


def draw_systems(documents: Mapping[str, Mapping[str, Any]]) -> str:
    """Error per set, a bar per system, with intervals."""
    names = [name for name in LABELS if name != "human" and any(name in d["errors"] for d in documents.values())]
    width = 0.8 / max(1, len(documents))
    with matplotlib.rc_context(STYLE):
        figure, axes = _figure(9.0, 4.4)
        for number, (title, document) in enumerate(documents.items()):
            rows = [(place, document["errors"][name]) for place, name in enumerate(names) if name in document["errors"]]
            at = [place + (number - (len(documents) - 1) / 2) * width for place, _ in rows]
            rates = [100 * row["rate"] for _, row in rows]
            spread = [
                [
                    max(0.0, rate - 100 * (row["rate"] if row["low"] is None else row["low"]))
                    for rate, (_, row) in zip(rates, rows, strict=True)
                ],
                [
                    max(0.0, 100 * (row["rate"] if row["high"] is None else row["high"]) - rate)
                    for rate, (_, row) in zip(rates, rows, strict=True)
                ],
            ]
            axes.bar(at, rates, 0.92 * width, color=COLORS[number % len(COLORS)], label=title)
            axes.errorbar(at, rates, spread, fmt="none", ecolor=INK, elinewidth=1.2, capsize=3)
        human = next((d["errors"]["human"] for d in documents.values() if "human" in d["errors"]), None)
        if human:
            axes.axhline(100 * human["rate"], color=GREY, lw=1.5, ls="--", label="human")
        axes.set_xticks(range(len(names)), [LABELS[name] for name in names])
        axes.set(ylabel="word error rate, %", ylim=(0, None))
        axes.grid(axis="y", color=GREY, alpha=0.25)
        axes.legend(frameon=False, ncols=2, fontsize=10, loc="lower left", bbox_to_anchor=(0, 1.0), borderaxespad=0.2)
        return _svg(figure)


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasSVG(figure)
    figure.patch.set_alpha(0.0)
    axes = figure.add_subplot()
    axes.patch.set_alpha(0.0)
    return figure, axes


def _svg(figure: Figure) -> str:
    """The figure as an SVG element that a page can hold: no prolog, its own ids, the page's text colour."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    svg = re.sub(
        r' id="(?:figure|axes|patch|line2d|text|matplotlib|PolyCollection|FillBetween|Line|xtick|ytick|legend)[^"]*"', "", svg
    )
    svg = re.sub(
        r'<svg [^>]*?viewBox="([^"]+)"[^>]*>', r'<svg viewBox="\1" aria-hidden="true" focusable="false">', svg, count=1
    )
    return re.sub(r"\s*<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
