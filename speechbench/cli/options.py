"""Options and printing that the commands share."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

FILE = click.Path(path_type=Path)

overwrite = click.option("--overwrite", is_flag=True, help="Replace an output that exists.")
seed = click.option("--seed", type=int, default=0, show_default=True, help="All chance is drawn from it.")
jobs = click.option(
    "--jobs", type=click.IntRange(1), default=2, show_default=True, help="Worker processes; they change no result."
)
output_format = click.option(
    "--format",
    "output_format",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="Of the result on stdout.",
)


def show(document: Any, output_format: str, rows: Sequence[Mapping[str, Any]] | None = None, title: str = "") -> None:
    """Print a result: the document as JSON, or its rows as a table.

    Args:
        document: What `--format json` prints.
        output_format: "table" or "json".
        rows: The table's rows, with the same keys in each; without them the document is itself such rows.
        title: Above the table.
    """
    if output_format == "json":
        click.echo(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False))
        return
    from rich.console import Console
    from rich.table import Table

    listed = document if rows is None else rows
    table = Table(title=title or None, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for number, name in enumerate(listed[0] if listed else []):
        right = number > 0 and all(isinstance(row[name], int | float) for row in listed)
        table.add_column(str(name), justify="right" if right else "left", overflow="fold")
    for row in listed:
        table.add_row(*("" if value is None else str(value) for value in row.values()))
    Console(width=None if sys.stdout.isatty() else 160, highlight=False, markup=False).print(table)
