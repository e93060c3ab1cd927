"""The command line: the only part that knows everyone. Commands import what they use inside, so `--help` is instant."""

from __future__ import annotations

import os
import sys

import click

from speechbench import __version__
from speechbench.cli import conversion, data, demo, diagnosis, labels, recognition, sheet, synthesis
from speechbench.errors import SpeechbenchError


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="speechbench")
def speechbench() -> None:
    """Where a speech recogniser's errors come from, and what to do next.

    The way: prepare -> split -> synth -> train -> decode -> diagnose. Start with: speechbench demo --quick
    """


for command in (
    demo.demo,
    data.prepare,
    data.check,
    data.split,
    synthesis.synth,
    synthesis.explain,
    synthesis.rebuild,
    recognition.train,
    recognition.decode,
    recognition.score,
    conversion.convert,
    diagnosis.diagnose,
    sheet.errors,
    labels.labels,
):
    speechbench.add_command(command)


def main() -> None:
    """Run a command; exit 0 done, 1 an error of the user's in one line, 2 usage."""
    # Torch's threads else keep a core busy while they wait for each other: beside one other busy process on two cores, steps
    # of training took ten times as long. OpenMP reads this when torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        speechbench.main(standalone_mode=False)
    except SpeechbenchError as error:
        click.echo(f"speechbench: {' '.join(str(error).split())}", err=True)
        sys.exit(1)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("speechbench: stopped", err=True)
        sys.exit(130)
    except OSError as error:  # of an output: what is read is checked where it is read
        place = f"{error.filename}: " if error.filename else ""
        click.echo(f"speechbench: {place}{error.strerror or error}; check the path, its rights and the space left", err=True)
        sys.exit(1)
