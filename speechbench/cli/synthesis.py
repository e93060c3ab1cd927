"""Commands."""

import click


@click.command()
def synth() -> None:
    """Not written yet."""


@click.command()
def explain() -> None:
    """Not written yet."""


@click.command()
def rebuild() -> None:
    """Not written yet."""
