"""Commands."""

import click


@click.command()
def diagnose() -> None:
    """Not written yet."""
