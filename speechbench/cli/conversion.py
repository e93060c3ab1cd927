"""The command that writes hypotheses as the field's files."""

from __future__ import annotations

from pathlib import Path

import click

from speechbench.cli import options


@click.command()
@click.argument("source", metavar="SRC", type=options.FILE)
@click.argument("out", metavar="DST", type=options.FILE)
@click.option("--to", "form", type=click.Choice(["ctm", "textgrid", "trn"]), required=True, help="The format of DST.")
@click.option("--tier", type=click.Choice(["words", "phonemes"]), default="words", show_default=True, help="Of a ctm file.")
@options.overwrite
def convert(source: Path, out: Path, form: str, tier: str, overwrite: bool) -> None:
    """Write hypotheses with times as CTM or TextGrid, or their texts as trn.

    SRC is what decode wrote. DST is a file; for textgrid it is a folder that gets one file per utterance, with a tier of words
    and, where they are known, one of phones.

    \b
    speechbench convert hypotheses.jsonl words.ctm --to ctm
    speechbench convert hypotheses.jsonl textgrids --to textgrid
    """  # noqa: D301
    from speechbench import alignments, files
    from speechbench.recognizer import read_hypotheses

    if tier != "words" and form != "ctm":
        raise click.UsageError(f"--tier is of ctm files; {form} has {'both' if form == 'textgrid' else 'words only'}")
    hypotheses = read_hypotheses(source).values()
    files.keep_inputs(out, [source])
    if form == "textgrid":
        files.claim(out, overwrite)
        with files.making(out, "textgrids"):
            alignments.write_textgrids(out, hypotheses)
            files.mark(out, "textgrids", source=str(source), utterances=len(hypotheses))
    else:
        files.claim_file(out, overwrite)
        if form == "ctm":
            alignments.write_ctm(out, hypotheses, tier)
        else:
            alignments.write_trn(out, hypotheses)
    click.echo(out)
