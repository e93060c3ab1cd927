"""What the pictures share: style, size, and how one becomes part of a page. Legible on a phone, in light and dark."""

from __future__ import annotations

import io
import re
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

INK = "#010203"  # stands for the page's text colour, which the reader's light or dark mode decides
GREY = "#8a9099"
# Okabe and Ito's colours, told apart by colour-blind readers: blue, vermilion, green, purple, orange, sky.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
MARKERS = "osD^vP"
WIDTH = 4.6  # inches; a phone shows it at nearly this size, so that 10 points stay 10 points
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "speechbench",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.axisbelow": True,
}


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """An empty figure without a background, in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasSVG(figure)
    figure.patch.set_alpha(0.0)
    return figure


def add_axes(figure: Figure, *place: int) -> Axes:
    """Axes without a background; `place` as in `Figure.add_subplot`."""
    axes = figure.add_subplot(*place)
    axes.patch.set_alpha(0.0)
    return axes


def write_svg(figure: Figure) -> str:
    """The figure as an SVG element that a page can hold: no prolog, its own ids, the page's text colour."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    for number, color in enumerate(COLORS):  # the page brightens them on a dark ground
        svg = svg.replace(color, f"var(--color-{number})")
    svg = re.sub(
        r' id="(?:figure|axes|patch|line2d|text|matplotlib|PolyCollection|FillBetween|Line|xtick|ytick|legend)[^"]*"', "", svg
    )
    svg = re.sub(
        r'<svg [^>]*?viewBox="([^"]+)"[^>]*>', r'<svg viewBox="\1" aria-hidden="true" focusable="false">', svg, count=1
    )
    return re.sub(r"\s*<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
