"""Commands for data: prepare, check, split."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from speechbench.cli import options
from speechbench.errors import SpeechbenchError, unknown_name

if TYPE_CHECKING:
    from speechbench.cards import Card
    from speechbench.manifest import Manifest


@click.command()
@click.argument("corpus_name", metavar="CORPUS", required=False)
@click.option("--out", type=options.FILE, help="The new folder.")
@click.option("--root", type=options.FILE, help="Where the corpus lies; without it the card's usual places are searched.")
@click.option("--list", "listing", is_flag=True, help="Show all cards and which corpora are found here.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="An option of a corpus that is made here.")
@options.seed
@options.jobs
@options.overwrite
@options.output_format
def prepare(
    corpus_name: str | None,
    out: Path | None,
    root: Path | None,
    listing: bool,
    settings: tuple[str, ...],
    seed: int,
    jobs: int,
    overwrite: bool,
    output_format: str,
) -> None:
    """Write the manifests of a corpus; its audio stays where it is.

    CORPUS is a card's name or a TOML card of your own. Corpora are looked for in $SPEECHBENCH_DATA, ./data and ~/data.
    The corpora `embedded` (in-car commands) and `car_noise` are made on the spot.

    \b
    speechbench prepare --list
    speechbench prepare mini_librispeech --root /data/LibriSpeech --out manifests/mini
    speechbench prepare embedded --set utterances_per_speaker=10 --out embedded
    """  # noqa: D301
    from speechbench import cards, corpus, files
    from speechbench.manifest import inputs

    if listing:
        rows = [_describe(cards.load(name)) for name in cards.names()]
        options.show(rows, output_format)
        return
    if corpus_name is None or out is None:
        raise click.UsageError("name a corpus and --out, or ask for --list")
    card = cards.load(corpus_name)
    files.check_claim(out, overwrite)
    if card.generator:
        if root is not None:
            raise SpeechbenchError(f"{card.name}: is made, not found; leave --root out")
        generate = _generator(card, settings, seed, jobs)
        files.claim(out, overwrite)
        with files.making(out, "corpus"):
            reading = corpus.Reading(generate(out))
            corpus.write(out, card, reading, seed=seed)
    else:
        if settings:
            raise SpeechbenchError(f"{card.name}: is found, not made, and takes no --set; write a card of your own instead")
        reading = corpus.read(card, root, jobs)
        files.keep_inputs(out, inputs([reading.manifest]))
        files.claim(out, overwrite)
        with files.making(out, "corpus"):
            corpus.write(out, card, reading)
    rows = corpus.summary(card, reading)
    options.show({"corpus": card.name, "path": str(out), "splits": rows}, output_format, rows, card.name)


def _describe(card: Card) -> dict[str, Any]:
    from speechbench import cards

    place = cards.find(card) if not card.generator else None
    return {
        "name": card.name,
        "kind": card.kind,
        "licence": card.licence,
        "hours": card.hours or None,
        "utterances": card.utterances or None,
        "source": card.source,
        "found": "made here" if card.generator else f"yes, {place}" if place else "no",
    }


@dataclass(frozen=True)
class CarNoise:
    """How much car noise is made."""

    cars: int = 24
    seconds: float = 60.0  # of each recording

    def __post_init__(self) -> None:
        if self.cars < 1 or self.seconds < 1.0:
            raise ValueError("cars and seconds are 1 or more")


def _generator(card: Card, settings: tuple[str, ...], seed: int, jobs: int) -> Callable[[Path], Manifest]:
    """What makes the corpus in a folder, its options checked; `--set` overrides the card's."""
    from speechbench import config

    chosen = [*(f"{key}={json.dumps(value)}" for key, value in card.options.items()), *settings]
    if card.generator == "embedded":
        from speechbench import embedded

        size = config.load(embedded.Options, settings=chosen)
        embedded.validate(size, seed)
        return lambda out: embedded.generate(out, size, seed, jobs)
    if card.generator == "car_noise":
        from synth import car

        noise = config.load(CarNoise, settings=chosen)
        return lambda out: car.generate(out, seed, jobs, noise.cars, noise.seconds)
    raise unknown_name("generator", card.generator, ["embedded", "car_noise"])


@click.command()
@click.argument("manifests", metavar="MANIFEST...", nargs=-1, required=True, type=options.FILE)
@options.jobs
@options.output_format
def check(manifests: tuple[Path, ...], jobs: int, output_format: str) -> None:
    """Look for unreadable audio, wrong lines, duplicates, and leakage between manifests.

    Speakers, recordings and noise sources that two of the manifests share are errors: the exit status is 1.

    \b
    speechbench check data/train.jsonl data/dev.jsonl data/test.jsonl
    """  # noqa: D301
    from speechbench import check, manifest

    read = [manifest.read(path) for path in manifests]
    findings = check.check(read, jobs)
    counts = {level: sum(finding.level == level for finding in findings) for level in ("error", "warning", "info")}
    document = {
        "manifests": [{"path": m.name, "utterances": len(m), "hours": round(m.seconds / 3600, 3)} for m in read],
        "counts": counts,
        "findings": [finding.row() for finding in findings],
    }
    rows = [{key: finding.row()[key] for key in ("level", "code", "where", "count", "message")} for finding in findings]
    if rows or output_format == "json":
        options.show(document, output_format, rows)
    else:
        click.echo(f"{sum(map(len, read))} utterances in {len(read)} manifests: nothing found")
    errors = sorted({finding.code for finding in findings if finding.level == "error"})
    if errors:
        raise SpeechbenchError(
            f"{counts['error']} errors ({', '.join(errors)}); remove these utterances, or divide again with 'speechbench split'"
        )


@click.command()
@click.argument("manifest_path", metavar="MANIFEST", type=options.FILE)
@click.option("--out", type=options.FILE, required=True, help="The new folder.")
@click.option("--by", required=True, metavar="KEY", help="Whose values stay together: speaker, source, id, ...")
@click.option("--fractions", required=True, metavar="NAME=F,...", help="Of the seconds; they sum to 1.")
@click.option("--hold-out", metavar="KEY=VALUE", help="Only utterances with this value may leave the first split.")
@click.option("--only", multiple=True, metavar="NAME=GROUP,...", help="Put these groups into that split.")
@options.seed
@options.overwrite
@options.output_format
def split(
    manifest_path: Path,
    out: Path,
    by: str,
    fractions: str,
    hold_out: str | None,
    only: tuple[str, ...],
    seed: int,
    overwrite: bool,
    output_format: str,
) -> None:
    """Divide a manifest so that no speaker (or source, ...) is in two splits.

    A split that --only names and --fractions does not holds the named groups alone; the fractions are of the rest.

    \b
    speechbench split all/manifest.jsonl --by speaker --fractions train=.8,train-dev=.1,dev=.1 --out splits
    speechbench split fsdd/manifest.jsonl --by speaker --only test=george --fractions train=.75,dev=.25 --out splits
    """  # noqa: D301
    from speechbench import files, manifest
    from speechbench import split as splitting

    shares = {name: _number(value, fractions) for name, value in _pairs(fractions, "--fractions")}
    pinned = {name: value.split(",") for option in only for name, value in [_pair(option, "--only")]}
    whole = manifest.read(manifest_path)
    held = _pair(hold_out, "--hold-out") if hold_out else None
    parts = splitting.split(whole, by, shares, seed, held, pinned)
    files.keep_inputs(out, manifest.inputs([whole]))
    files.claim(out, overwrite)
    with files.making(out, "split"):
        for name, part in parts.items():
            part.write(out / f"{name}.jsonl")
        files.mark(out, "split", manifest=str(manifest_path), by=by, fractions=shares, seed=seed)
    total = sum(part.seconds for part in parts.values())
    rows = [
        {
            "split": name,
            "utterances": len(part),
            "hours": round(part.seconds / 3600, 3),
            "share": round(part.seconds / total, 3),
            "groups": len(splitting.groups(part, by)),
        }
        for name, part in parts.items()
    ]
    options.show({"path": str(out), "by": by, "splits": rows}, output_format, rows)


def _pair(text: str, option: str) -> tuple[str, str]:
    name, found, value = text.partition("=")
    if not found or not name or not value:
        raise click.UsageError(f"{option} {text}: expected NAME=VALUE")
    return name.strip(), value.strip()


def _pairs(text: str, option: str) -> list[tuple[str, str]]:
    return [_pair(part, option) for part in text.split(",")]


def _number(text: str, whole: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise click.UsageError(f"--fractions {whole}: '{text}' is not a number") from None
