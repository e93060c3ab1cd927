"""From report documents to HTML pages; whatever a page shows is in its document."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2

from speechbench import __version__
from speechbench.diagnostics import mismatch_closed
from speechbench.files import write_text
from speechbench.report import figures, players, tables
from speechbench.report.tables import SETS, percent, span, words_of

Document = Mapping[str, Any]

ROWS = 8  # of a slice that a page shows


def render_report(document: Document, out: Path) -> None:
    """Write a report's page, with its pictures and audio inside.

    Args:
        document: What `ErrorReport.document` gave, or a report.json.
        out: The HTML file.
    """
    focus = document["focus"]
    curve = document["snr_curve"]
    page = _environment().get_template("report.html").render(
        document=document,
        labels=SETS,
        focus=SETS[focus] if focus else "",
        span=lambda low, high: span(low, high) + " with 95 % confidence",
        staircase=figures.draw_staircase(document),
        staircase_label=_speak_errors(document),
        errors=tables.error_rows(document),
        gaps=tables.gap_rows(document),
        changes=tables.change_rows(document["versus"]) if document["versus"] else [],
        snr=figures.draw_snr({document["name"]: curve}) if len(curve) > 1 else "",
        snr_label=", ".join(f"{percent(point['rate'])} at {point['snr_db']:.0f} dB" for point in curve),
        slices=[(name, tables.slice_rows(name, rows[:ROWS]), len(rows[ROWS:])) for name, rows in document["slices"].items()],
        confusions=tables.confusion_rows(document),
        words=tables.word_rows(document),
        examples=[_example(example) for example in document["examples"]],
    )  # fmt: skip
    write_text(out, page)


def render_overview(reports: Mapping[str, Document], out: Path, links: Mapping[str, Path] | None = None) -> None:
    """Write a page that compares several systems.

    Args:
        reports: Documents by the title that the page gives the system; a system whose `versus` names another of them
            (by its `name`) is listed with the share of the data mismatch that it closes.
        out: The HTML file.
        links: The system's own page, by title.
    """
    sets = [name for name in SETS if any(name in d["errors"] for d in reports.values())]
    gaps = list(dict.fromkeys(name for d in reports.values() for name in d["gaps"]))
    curves = {title: d["snr_curve"] for title, d in reports.items() if len(d["snr_curve"]) > 1}
    titles = {d["name"]: title for title, d in reports.items()}
    pairs = [
        (title, titles[d["versus"]["name"]]) for title, d in reports.items() if d["versus"] and d["versus"]["name"] in titles
    ]
    links = links or {}
    page = _environment().get_template("overview.html").render(
        verdicts=[(title, d["sentence"], _link(links.get(title), out)) for title, d in reports.items()],
        bars=figures.draw_systems(reports),
        bars_label="; ".join(f"{title}: {_speak_errors(d)}" for title, d in reports.items()),
        sets=[SETS[name] for name in sets],
        errors=tables.system_rows(reports, "errors", sets),
        gap_names=[words_of(name) for name in gaps],
        gaps=tables.system_rows(reports, "gaps", gaps),
        closed=[
            tables.closed_row(newer, older, reports[newer]["versus"], mismatch_closed(reports[newer], reports[older]))
            for newer, older in pairs
        ],
        snr=figures.draw_snr(curves) if curves else "",
        version=__version__,
    )  # fmt: skip
    write_text(out, page)


def _link(page: Path | None, out: Path) -> str:
    return Path(os.path.relpath(page.absolute(), out.parent.absolute())).as_posix() if page else ""


def _speak_errors(document: Document) -> str:
    return ", ".join(f"{SETS[name]} {percent(row['rate'])}" for name, row in document["errors"].items())


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("speechbench.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["capitalize_first"] = lambda text: text[:1].upper() + text[1:]
    return environment


def _example(example: Mapping[str, Any]) -> dict[str, Any]:
    facts = [f"{example['errors']} errors in {example['words']} words"]
    facts += [f"speaker {example['speaker']}"] if example["speaker"] else []
    facts += [example["condition"]] if example["condition"] else []
    facts += [f"SNR {example['snr_db']:.1f} dB"] if example["snr_db"] is not None else []
    embedded = {
        "noisy" if example["clean"] else "audio": players.embed(example["audio"]),
        "clean": players.embed(example["clean"]),
    }
    return {
        "id": example["id"],
        "facts": ", ".join(facts),
        "alignment": example["alignment"],
        "players": [(name, player) for name, player in embedded.items() if player],
    }
