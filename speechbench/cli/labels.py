"""Commands for wrong transcripts: find suspects, count what was checked, apply corrections."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from speechbench.cli import options
from speechbench.cli.sheet import heard

if TYPE_CHECKING:
    from speechbench.manifest import Manifest
    from speechbench.recognizer import Hypothesis


@click.group(
    epilog="""\b
Examples:
  speechbench labels find RUN --versus RUN2 --data dev.jsonl --out suspects.csv
  speechbench labels count suspects.csv --system RUN --data dev.jsonl --patch dev.patch.jsonl
  speechbench labels apply dev.patch.jsonl --data dev.jsonl --out dev-corrected.jsonl
"""
)
def labels() -> None:
    """Find wrong transcripts, say what they cost, and correct them by a patch file."""


@labels.command()
@click.argument("system", metavar="RUN|HYPOTHESES", type=options.FILE)
@click.option("--data", type=options.FILE, required=True, help="Manifest whose transcripts are doubted.")
@click.option("--versus", type=options.FILE, metavar="RUN|HYPOTHESES", help="A second recogniser, as unlike as can be.")
@click.option("--references", type=options.FILE, help="With HYPOTHESES: the references' scores, from decode --oracle words.")
@click.option("--most", type=click.IntRange(1), default=50, show_default=True, help="Suspects to check.")
@click.option("--others", type=click.IntRange(0), default=50, show_default=True, help="Others to check, drawn at random.")
@click.option("--out", type=options.FILE, required=True, help="The new sheet, CSV.")
@options.overwrite
@options.seed
def find(
    system: Path,
    data: Path,
    versus: Path | None,
    references: Path | None,
    most: int,
    others: int,
    out: Path,
    overwrite: bool,
    seed: int,
) -> None:
    """Rank transcripts by how much speaks against them; write the first ones, and a sample of the rest, for a person to check.

    A recogniser may have learnt the transcripts that it was trained on, right or wrong: ask one that was not. For training
    data, train on a part and doubt the other, in turns (docs/labels.md).

    \b
    speechbench labels find RUN --versus RUN2 --data dev.jsonl --out suspects.csv
    speechbench labels find dev.hyp.jsonl --data dev.jsonl --out suspects.csv
    """  # noqa: D301
    from speechbench import files, manifest
    from speechbench.diagnostics.labels import suspect_labels
    from speechbench.diagnostics.labels_sheet import write_checks

    if references is not None and system.is_dir():
        raise click.UsageError("--references goes with HYPOTHESES; a run scores the references itself")
    files.claim_file(out, overwrite)
    doubted = manifest.read(data).with_text()
    for run in (path for path in (system, versus) if path is not None and path.is_dir()):
        _warn_if_trained(run, doubted)
    scored, rival = heard(system, doubted), heard(versus, doubted) if versus else None
    found = suspect_labels(scored, _reference_scores(system, references, doubted), rival)
    write_checks(out, scored, rival, found, most, others, seed)
    click.echo(out)


def _reference_scores(system: Path, references: Path | None, data: Manifest) -> dict[str, Hypothesis] | None:
    from speechbench.cli.recognition import decoded
    from speechbench.recognizer import Request, read_hypotheses
    from speechbench.run import Run

    if system.is_dir():
        return decoded(Run.open(system), "oracle-words", data, Request(oracle="words"))
    return read_hypotheses(references) if references else None


def _warn_if_trained(path: Path, data: Manifest) -> None:
    from speechbench import manifest
    from speechbench.progress import say
    from speechbench.run import Run

    train = Path(Run.open(path).provenance["manifests"]["train"].get("path", ""))
    if not train.is_file():
        say(f"{path}: its training manifest {train} is gone; make sure that it was not trained on {data.name}")
        return
    trained = {utterance.id for utterance in manifest.read(train)}
    if known := sum(utterance.id in trained for utterance in data):
        say(
            f"warning: {path} was trained on {known} of the {len(data)} utterances: their transcripts may look right to "
            "it, even wrong ones; ask a run that was not (docs/labels.md)"
        )


@labels.command()
@click.argument("sheet", type=options.FILE)
@click.option("--system", type=options.FILE, metavar="RUN|HYPOTHESES", required=True, help="Whose errors are counted.")
@click.option("--data", type=options.FILE, required=True, help="The manifest that the sheet was made of.")
@click.option("--versus", type=options.FILE, metavar="RUN|HYPOTHESES", help="Rank the two under the corrections.")
@click.option("--patch", "patch_path", type=options.FILE, help="The new file of corrections, JSON lines.")
@options.overwrite
@options.seed
@options.output_format
def count(
    sheet: Path,
    system: Path,
    data: Path,
    versus: Path | None,
    patch_path: Path | None,
    overwrite: bool,
    seed: int,
    output_format: str,
) -> None:
    """Say how much of the error wrong transcripts cause, and whether to mend them; write the corrections.

    \b
    speechbench labels count suspects.csv --system RUN --data dev.jsonl --patch dev.patch.jsonl
    """  # noqa: D301
    from speechbench import files, manifest
    from speechbench.diagnostics.labels_estimate import estimate_labels
    from speechbench.diagnostics.labels_sheet import read_checks
    from speechbench.diagnostics.patch import rank_again, write_patch
    from speechbench.progress import say

    if patch_path is not None:
        files.claim_file(patch_path, overwrite)
    checks, doubted = read_checks(sheet), manifest.read(data).with_text()
    scored = heard(system, doubted)
    document: dict[str, Any] = estimate_labels(checks, scored, seed)
    patch = checks.patch(scored)
    if versus is not None:
        document["versus"] = rank_again(scored, heard(versus, doubted), patch, document["unchecked"], seed)
    if patch_path is not None and patch:
        write_patch(patch_path, patch)
        say(f"wrote {len(patch)} corrections to {patch_path}")
    elif patch_path is not None:
        say("every transcript that was checked is right; there is no patch to write")
    _show(document, output_format)


def _show(document: dict[str, Any], output_format: str) -> None:
    if output_format == "json":
        options.show(document, output_format)
        return
    options.show(document, output_format, [{"part": name, **row} for name, row in document["parts"].items()], "Checked")
    caused, hidden = ({key: f"{100 * value:.2f}" for key, value in document[name].items()} for name in ("caused", "hidden"))
    click.echo(f"caused by wrong transcripts: {caused['value']} points ({caused['low']} to {caused['high']})")
    click.echo(f"hidden by wrong transcripts: {hidden['value']} points ({hidden['low']} to {hidden['high']})")
    for line in (document["sentence"], *document["notes"], *filter(None, [document.get("versus", {}).get("sentence")])):
        click.echo(line)


@labels.command("apply")
@click.argument("patch", type=options.FILE)
@click.option("--data", type=options.FILE, required=True, help="The manifest that the patch was made for; it is left as it is.")
@click.option("--out", type=options.FILE, required=True, help="The new manifest.")
@options.overwrite
def apply_corrections(patch: Path, data: Path, out: Path, overwrite: bool) -> None:
    """Write a manifest with corrected transcripts; what each said before stays under "text_before".

    \b
    speechbench labels apply dev.patch.jsonl --data dev.jsonl --out dev-corrected.jsonl
    """  # noqa: D301
    from speechbench import files, manifest
    from speechbench.diagnostics.patch import apply_patch, read_patch
    from speechbench.progress import say

    files.claim_file(out, overwrite)
    if out.exists() and out.samefile(data):
        raise click.UsageError("--out is --data; corrections never edit a manifest in place")
    corrections = read_patch(patch)
    apply_patch(manifest.read(data), corrections).write(out)
    say(f"corrected {len(corrections)} transcripts; correct the other sets by the same rule")
    click.echo(out)
