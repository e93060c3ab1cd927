"""Commands for reading errors one by one: draw a sheet of them, count what was found."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from speechbench.cli import options

if TYPE_CHECKING:
    from speechbench.diagnostics import ScoredSet
    from speechbench.manifest import Manifest


def heard(system: Path, manifest: Manifest, name: str = "dev") -> ScoredSet:
    """A set with what a run heard in it, or what a file says that some recogniser heard.

    Args:
        system: A run, or hypotheses.
        manifest: The set.
        name: Under which a run keeps its hypotheses.
    """
    from speechbench.cli.recognition import decoded
    from speechbench.diagnostics import ScoredSet
    from speechbench.recognizer import read_hypotheses
    from speechbench.run import Run

    return ScoredSet(manifest, decoded(Run.open(system), name, manifest) if system.is_dir() else read_hypotheses(system))


@click.group(
    epilog="""\b
Examples:
  speechbench errors draw RUN --data dev.jsonl --ear ear.json --out sheet.csv
  speechbench errors count sheet.csv --ear ear.json
"""
)
def errors() -> None:
    """Read errors of dev one by one in a spreadsheet, and see what mending each kind could gain.

    Fill in the column `tags` ("child; music"), or add a column for each kind and put an x into it.
    """


@errors.command()
@click.argument("system", metavar="RUN|HYPOTHESES", type=options.FILE)
@click.option("--data", type=options.FILE, required=True, help="Manifest of dev.")
@click.option("--train", type=options.FILE, help="Manifest of the training data, to know rare words.")
@click.option(
    "--ear", "ear_path", type=options.FILE, required=True, help="Keeps which part of dev is read; made at the first look."
)
@click.option("--count", type=click.IntRange(1), default=100, show_default=True, help="Utterances with errors, of a new Ear.")
@click.option("--out", type=options.FILE, required=True, help="The new sheet, CSV.")
@options.overwrite
@options.seed
def draw(
    system: Path,
    data: Path,
    train: Path | None,
    ear_path: Path,
    count: int,
    out: Path,
    overwrite: bool,
    seed: int,
) -> None:
    """Draw errors of dev into a sheet.

    At the first look a part of dev is drawn at random, Ear, until it has so many utterances with errors; it is at most half of
    dev, and the rest is Blackbox, which nobody should read. Later looks show the same part, and say when it is burnt.

    \b
    speechbench errors draw RUN --data dev.jsonl --ear ear.json --out sheet.csv
    speechbench errors draw dev.hyp.jsonl --data dev.jsonl --ear ear.json --out sheet.csv
    """  # noqa: D301
    from speechbench import files, manifest
    from speechbench.diagnostics.sheet import Known, write_sheet
    from speechbench.diagnostics.sheet_ear import Ear
    from speechbench.lexicon import read_lexicon
    from speechbench.progress import say

    files.claim_file(out, overwrite)
    scored = heard(system, manifest.read(data).with_text())
    texts = None if train is None else [utterance.text or "" for utterance in manifest.read(train)]
    known = Known.of(texts, list(read_lexicon(system / "lexicon.txt")) if system.is_dir() else None)
    fresh = not ear_path.exists()
    ear = Ear.draw(scored, count, seed) if fresh else Ear.read(ear_path)
    ear = ear.look(scored, str(system))
    wrong = write_sheet(out, scored, ear, known)
    ear.write(ear_path)
    if fresh and wrong < count:
        say(f"{wrong} utterances with errors instead of {count}: more than half of dev is never read")
    say(ear.judge(seed)["sentence"])
    click.echo(out)


@errors.command()
@click.argument("sheet", type=options.FILE)
@click.option("--ear", "ear_path", type=options.FILE, required=True, help="That the sheet was drawn with.")
@options.seed
@options.output_format
def count(sheet: Path, ear_path: Path, seed: int, output_format: str) -> None:
    """Count a filled sheet: each tag's share of the errors, and its ceiling in points of WER with an interval.

    \b
    speechbench errors count sheet.csv --ear ear.json
    """  # noqa: D301
    from speechbench.diagnostics.sheet_count import Sheet, count_tags
    from speechbench.diagnostics.sheet_ear import Ear

    document = count_tags(Sheet.read(sheet), Ear.read(ear_path), seed)
    if output_format == "json":
        options.show(document, output_format)
        return
    click.echo(f"{document['read']} utterances read, {document['errors']} errors; dev errs {100 * document['rate']:.2f} %")
    for title, key in (("Tags", "tags"), ("Suggested by what is known", "suggested")):
        if document[key]:
            options.show(document, output_format, [_shown(row) for row in document[key]], title)
    for line in (*document["notes"], document["ear"]["sentence"]):
        click.echo(line)


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    points = {key: f"{100 * row[key]:.2f}" for key in ("ceiling", "low", "high", "best")}
    return {
        "tag": row["tag"],
        "utterances": row["utterances"],
        "errors": row["errors"],
        "share": f"{100 * row['share']:.0f} %",
        "ceiling, points": points["ceiling"],
        "95 % interval": f"{points['low']} to {points['high']}",
        "at best, %": points["best"],
        "no other tag": row["alone"],
    }
