"""Commands."""

import click


@click.command()
def prepare() -> None:
    """Not written yet."""


@click.command()
def check() -> None:
    """Not written yet."""


@click.command()
def split() -> None:
    """Not written yet."""
