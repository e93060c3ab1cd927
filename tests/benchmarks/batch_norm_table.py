"""What the cells of batch_norm.py say together: tables of error rates, and a figure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from noise_sources_table import write_section

Row = dict[str, Any]
TITLES = {"batch": "Batch norm", "layer": "Layer norm", "none": "No norm"}
LOOKS = {"batch": ("#0072b2", "o"), "layer": ("#009e73", "^"), "none": ("#d55e00", "s")}
SHIFTS = {
    "train": "train",
    "dev": "clean dev",
    "dev re-estimated": "clean dev, re-estimated",
    "shifted": "dev in the car",
    "shifted re-estimated": "dev in the car, re-estimated",
}


def mean(rows: Iterable[Row], name: str, unit: str = "character") -> float | None:
    """The mean rate of some cells' set over seeds; None where a cell did not end, or none has the set."""
    rates = [row["rates"].get(name, {}).get(unit) if "rates" in row else None for row in rows]
    known = [rate for rate in rates if rate is not None]
    return fmean(known) if known and len(known) == len(rates) else None


def chosen(rows: Iterable[Row], **wanted: object) -> list[Row]:
    """The cells with these values."""
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


def best(rows: Sequence[Row], norm: str) -> list[Row]:
    """The cells, one of each seed, of the learning rate and batch with the lowest rate on clean dev."""
    settings = {(row["rate"], row["batch"]) for row in chosen(rows, norm=norm)}
    cells = [chosen(rows, norm=norm, rate=rate, batch=batch) for rate, batch in sorted(settings)]
    return min(cells, key=lambda cell: mean(cell, "dev") or float("inf"), default=[])


def tables(rows: Sequence[Row], about: str) -> str:
    """All tables as Markdown, in % of characters; each cell's seeds are averaged."""
    rates, batches = sorted({row["rate"] for row in rows}), sorted({row["batch"] for row in rows})
    seconds = fmean(row["processor_seconds"] for row in rows)
    lines = [
        f"{len(rows)} trainings on {about}, {seconds:.0f} s of one core each; seeds: {len({row['seed'] for row in rows})}."
    ]
    for norm in dict.fromkeys(row["norm"] for row in rows):
        lines += ["", f"**{TITLES[norm]}**: character error rate of train / clean dev, %", ""]
        lines.append("| learning rate | " + " | ".join(f"batches of {batch}" for batch in batches) + " |")
        lines.append("|---|" + "---|" * len(batches))
        for rate in rates:
            cells = [chosen(rows, norm=norm, rate=rate, batch=batch) for batch in batches]
            lines.append(f"| {rate:g} | " + " | ".join(map(_cell, cells)) + " |")
    return "\n".join([*lines, "", *_shift_table(rows)])


def _cell(cell: Sequence[Row]) -> str:
    if any("diverged" in row for row in cell):
        return "not finite"
    return f"{_percent(mean(cell, 'train'))} / {_percent(mean(cell, 'dev'))}" if cell else ""


def _percent(rate: float | None) -> str:
    return "" if rate is None else f"{100 * rate:.1f}"


def _shift_table(rows: Sequence[Row]) -> list[str]:
    lines = [
        "**Clean and shifted input**: character (word) error rate, %, of each norm's best cell on clean dev",
        "",
        "| norm | learning rate, batch | " + " | ".join(SHIFTS.values()) + " |",
        "|---|---|" + "---|" * len(SHIFTS),
    ]
    for norm in dict.fromkeys(row["norm"] for row in rows):
        cell = best(rows, norm)
        pairs = [(mean(cell, name), mean(cell, name, "word")) for name in SHIFTS]
        told = ["" if c is None else f"{_percent(c)} ({_percent(w)})" for c, w in pairs]
        lines.append(f"| {norm} | {cell[0]['rate']:g}, {cell[0]['batch']} | " + " | ".join(told) + " |")
    return lines


def write(folder: Path, text: str, rows: Sequence[Row], middle: tuple[float, int]) -> None:
    """Put the tables and the figure into the documents.

    Args:
        folder: Of batch-norm.md, which has the markers, and batch-norm.png.
        text: The tables.
        rows: The cells.
        middle: Learning rate and batch from which the curves depart.
    """
    write_section(folder / "batch-norm.md", "batch norm", text, "batch_norm.py")
    figure, (left, centre, right) = plt.subplots(1, 3, figsize=(13, 4), sharey=True, layout="constrained")
    _draw_curves(left, rows, "rate", {"batch": middle[1]}, f"learning rate (batches of {middle[1]})")
    _draw_curves(centre, rows, "batch", {"rate": middle[0]}, f"utterances in a batch (learning rate {middle[0]:g})")
    _draw_shift(right, rows)
    left.set(ylabel="character error rate, %", ylim=(0, 102))
    figure.legend(*left.get_legend_handles_labels(), loc="outside upper left", ncols=6, frameon=False)
    figure.savefig(folder / "batch-norm.png", dpi=110, metadata={"Software": None})


def _draw_curves(axes: Axes, rows: Sequence[Row], along: str, fixed: dict[str, object], label: str) -> None:
    for norm in dict.fromkeys(row["norm"] for row in rows):
        color, marker = LOOKS[norm]
        for name, style in (("dev", "-"), ("train", ":")):
            places = sorted({row[along] for row in chosen(rows, norm=norm, **fixed)})
            values = [mean(chosen(rows, norm=norm, **fixed, **{along: place}), name) for place in places]
            ended = [(place, 100 * value) for place, value in zip(places, values, strict=True) if value is not None]
            axes.plot(*zip(*ended, strict=True), style, color=color, marker=marker, label=f"{TITLES[norm]}, {name}")
    axes.set(xscale="log", xlabel=label)
    places = sorted({row[along] for row in chosen(rows, **fixed)})
    axes.set_xticks(places, [f"{place:g}" for place in places])
    axes.minorticks_off()


def _draw_shift(axes: Axes, rows: Sequence[Row]) -> None:
    norms = list(dict.fromkeys(row["norm"] for row in rows))
    names = list(SHIFTS)[1:]
    for number, norm in enumerate(norms):
        cell = best(rows, norm)
        for place, name in enumerate(names):
            if (value := mean(cell, name)) is not None:
                axes.bar(place + 0.27 * (number - (len(norms) - 1) / 2), 100 * value, 0.25, color=LOOKS[norm][0])
    axes.set_xticks(range(len(names)), [SHIFTS[name].replace(", ", ",\n") for name in names], fontsize=9)
    axes.set(xlabel="best cell of each norm")
