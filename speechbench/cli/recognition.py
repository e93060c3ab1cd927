"""Commands."""

import click


@click.command()
def train() -> None:
    """Not written yet."""


@click.command()
def decode() -> None:
    """Not written yet."""


@click.command()
def score() -> None:
    """Not written yet."""
