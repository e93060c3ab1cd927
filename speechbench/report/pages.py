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
from speechbench.report import players, tables, tables_causes, tables_versus
from speechbench.report.bars import draw_ceiling, draw_systems
from speechbench.report.cells import SETS, counted, gain, percent, points, words_of
from speechbench.report.curves import draw_conditions, draw_snr
from speechbench.report.staircase import draw_staircase
from speechbench.report.waterfall import draw_ladder, draw_stages

Document = Mapping[str, Any]

ROWS = 8  # of a slice that a page shows
WORDS = 12  # and confusions that a page shows; report.json has more
SUSPECTS = 5  # that a page shows at once; the others unfold


def render_report(document: Document, out: Path) -> None:
    """Write a report's page, with its pictures inside; the audio of its examples is written beside it.

    Args:
        document: What `ErrorReport.document` gave, or a report.json.
        out: The HTML file.
    """
    focus = document["focus"]
    page = _environment().get_template("report.html").render(
        document=document,
        labels=SETS,
        focus=SETS[focus] if focus else "",
        staircase=draw_staircase(document),
        staircase_label=_speak_errors(document),
        errors=tables.error_rows(document),
        gaps=tables.gap_rows(document),
        distributions=tables.distribution_rows(document) if document["distributions"] else [],
        most=max((advice["high"] or advice["ceiling"] or 0.0 for advice in document["advice"]), default=0.0),
        examples=[players.lay_out(example, number, out) for number, example in enumerate(document["examples"], 1)],
        suspects=(document["suspects"][:SUSPECTS], document["suspects"][SUSPECTS:]),
        **_causes(document),
        **_versus(document["versus"]),
    )  # fmt: skip
    write_text(out, page)


def _causes(document: Document) -> dict[str, Any]:
    """What the section of causes is made of."""
    ladder, stages = document["ladder"], document["stages"]
    return {
        "ladder": draw_ladder(ladder) if ladder else "",
        "steps": tables_causes.step_rows(ladder) if ladder else [],
        "stages": draw_stages(stages) if stages else "",
        "stage_rows": tables_causes.stage_rows(stages) if stages else [],
        "verification": tables_causes.speak_verification(stages) if stages else "",
        "phonemes": tables.confusion_rows(stages["phonemes"]) if stages else [],
        **_noise(document),
        "weak": tables.weak_rows(document),
        "slices": [
            (tables.name_slice(name), tables.slice_rows(name, rows[:ROWS]), len(rows[ROWS:]))
            for name, rows in document["slices"].items()
        ],
        "confusions": tables.confusion_rows(document["confusions"][:WORDS]),
        "words": tables.word_rows(document)[:WORDS],
    }


def _noise(document: Document) -> dict[str, Any]:
    """The pictures of error against SNR: as dev has it, and as the ladder's sweep made it."""
    whole = document["snr_curve"]
    sweep: dict[str, list[Any]] = {}
    for row in document["ladder"]["snr_sweep"] if document["ladder"] else []:
        sweep.setdefault(row["condition"], []).append(row)
    swept = sweep.pop("all", [])
    drawn = {"snr": (whole, document["snr_curves"]), "sweep": (swept, sweep)}
    return {
        name: (_draw_noise(all_noise, conditions), _speak_curve(all_noise)) for name, (all_noise, conditions) in drawn.items()
    }


def _draw_noise(whole: list[Any], conditions: Mapping[str, list[Any]]) -> str:
    if len(whole) < 2:
        return ""
    return draw_conditions(whole, conditions) if conditions else draw_snr({"all": whole})


def _versus(versus: Document | None) -> dict[str, Any]:
    """What the section of the comparison is made of."""
    if versus is None:
        return {"changes": []}
    changes = versus["changes"]
    shown = next((name for name in ("dev", "test", "train_dev") if name in changes), next(iter(changes)))
    return {
        "changes": tables_versus.change_rows(versus),
        "paired": tables_versus.paired_rows(versus),
        "changed_slices": tables_versus.changed_slice_rows(versus),
        "differences": tables_versus.difference_rows(versus),
        "exchanged_set": SETS[shown],
        "gained": tables_versus.exchanged_rows(changes[shown]["gained"][:ROWS]),
        "lost": tables_versus.exchanged_rows(changes[shown]["lost"][:ROWS]),
    }


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
        verdicts=[(title, d["sentence"], d["advice"][:1], _link(links.get(title), out)) for title, d in reports.items()],
        bars=draw_systems(reports),
        bars_label="; ".join(f"{title}: {_speak_errors(d)}" for title, d in reports.items()),
        sets=[SETS[name] for name in sets],
        errors=tables_versus.system_rows(reports, "errors", sets),
        gap_names=[words_of(name) for name in gaps],
        gaps=tables_versus.system_rows(reports, "gaps", gaps),
        closed=[
            tables_versus.closed_row(newer, older, reports[newer]["versus"], mismatch_closed(reports[newer], reports[older]))
            for newer, older in pairs
        ],
        snr=draw_snr(curves) if curves else "",
        snr_label="; ".join(f"{title}: {_speak_curve(curve)}" for title, curve in curves.items()),
        version=__version__,
    )  # fmt: skip
    write_text(out, page)


def _link(page: Path | None, out: Path) -> str:
    return Path(os.path.relpath(page.absolute(), out.parent.absolute())).as_posix() if page else ""


def _speak_errors(document: Document) -> str:
    return ", ".join(f"{SETS[name]} {percent(row['rate'])}" for name, row in document["errors"].items())


def _speak_curve(curve: list[Any]) -> str:
    return ", ".join(f"{percent(point['rate'])} at {point['snr_db']:.0f} dB" for point in curve)


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("speechbench.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["capitalize_first"] = lambda text: text[:1].upper() + text[1:]
    environment.filters |= {"points": points, "percent": percent, "words_of": words_of}
    environment.globals |= {"counted": counted, "gain": gain, "draw_ceiling": draw_ceiling}
    return environment
