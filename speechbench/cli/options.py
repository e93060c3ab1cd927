"""Options and printing that the commands share."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from speechbench.jobs import Run

FILE = click.Path(path_type=Path)

overwrite = click.option("--overwrite", is_flag=True, help="Replace an output that exists.")
seed = click.option("--seed", type=int, default=0, show_default=True, help="All chance is drawn from it.")
jobs = click.option(
    "--jobs", type=click.IntRange(1), default=2, show_default=True, help="Worker processes; they change no result."
)
engine = click.option(
    "--engine",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="Work on this machine, or on a Ray cluster whose nodes share a file system: all paths mean the same on each.",
)
address = click.option(
    "--address", metavar="HOST:PORT", help="Of the Ray cluster's head, or auto; without it one is started on this machine."
)
output_format = click.option(
    "--format",
    "output_format",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="Of the result on stdout.",
)


@contextmanager
def running(engine: str, address: str | None, jobs: int, *modules: str) -> Iterator[Run]:
    """What does the work of a stage while the block lasts.

    Args:
        engine: "local" or "ray".
        address: Of a Ray cluster; None starts one.
        jobs: Worker processes.
        modules: What the work needs; local workers import it while they wait.
    """
    if engine == "local":
        if address:
            raise click.UsageError("--address is of a Ray cluster; add --engine ray")
        from speechbench.jobs import workers

        with workers(jobs, *modules) as run:
            yield run
    else:
        from speechbench import cluster

        with cluster.connected(address, jobs) as run:
            yield run


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
