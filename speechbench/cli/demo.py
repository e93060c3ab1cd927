"""Commands."""

import click


@click.command()
def demo() -> None:
    """Not written yet."""
