"""The command that says where the errors come from."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from speechbench.cli import options

if TYPE_CHECKING:
    from speechbench.diagnostics import ErrorReport, Human, ScoredSet
    from speechbench.manifest import Manifest

SETS = ("train", "train_dev", "dev", "test")


@click.command(
    epilog="""\b
Examples:
  speechbench diagnose RUN --train-dev split/train-dev.jsonl --dev dev.jsonl --test test.jsonl --human 0.04 --out REPORT
  speechbench diagnose --hypotheses dev=dev.hyp.jsonl,test=test.hyp.jsonl --dev dev.jsonl --test test.jsonl --out REPORT
  speechbench diagnose --errors human=0.04,train=0.07,train_dev=0.10,dev=120/1000
"""
)
@click.argument("run", required=False, type=options.FILE)
@click.option("--versus", type=options.FILE, metavar="RUN", help="Compare with an older run on the same sets.")
@click.option("--versus-hypotheses", multiple=True, metavar="SET=FILE,...", help="Compare with an outside recogniser's.")
@click.option("--train", type=options.FILE, help="Manifest; without any, those that RUN was trained with.")
@click.option("--train-dev", type=options.FILE, help="Manifest of the training distribution, not trained on.")
@click.option("--dev", type=options.FILE, help="Manifest of the target distribution.")
@click.option("--test", type=options.FILE, help="Manifest of the target distribution, never chosen by.")
@click.option("--human", multiple=True, help="Human error, 0.04 or a range 0.02:0.04; of several the best counts.")
@click.option(
    "--hypotheses",
    multiple=True,
    metavar="SET=FILE,...",
    help="Of any outside recogniser, instead of RUN; human=FILE of people who transcribed dev, several times if need be.",
)
@click.option("--errors", metavar="SET=RATE,...", help="Error rates or errors/words: the gap table alone.")
@click.option(
    "--missing", type=click.Choice(["error", "deletions"]), default="error", show_default=True, help="A missing hypothesis."
)
@click.option(
    "--train-most",
    type=click.IntRange(1),
    default=500,
    show_default=True,
    help="Utterances of train to decode, drawn at random; its error needs no more.",
)
@click.option("--ladder", is_flag=True, help="Split dev's noise and room: decode it clean, in its room, in seen noise, ...")
@click.option("--snr-sweep", metavar="DB,...", help="With --ladder: decode dev at these SNRs too, for example 20,10,0.")
@click.option("--stages", is_flag=True, help="Blame each error of dev on search, front end, acoustic model, lexicon, ...")
@click.option(
    "--most",
    type=click.IntRange(1),
    default=300,
    show_default=True,
    help="Utterances of dev to decode again, drawn at random: for --ladder any, for --stages those with errors.",
)
@click.option("--out", type=options.FILE, help="Folder for report.json and report.html.")
@options.overwrite
@options.seed
@options.output_format
def diagnose(
    run: Path | None,
    versus: Path | None,
    versus_hypotheses: tuple[str, ...],
    train: Path | None,
    train_dev: Path | None,
    dev: Path | None,
    test: Path | None,
    human: tuple[str, ...],
    hypotheses: tuple[str, ...],
    errors: str | None,
    missing: str,
    train_most: int,
    ladder: bool,
    snr_sweep: str | None,
    stages: bool,
    most: int,
    out: Path | None,
    overwrite: bool,
    seed: int,
    output_format: str,
) -> None:
    """Say where the errors come from: gaps between human, train, train-dev, dev and test error, and what to do next."""
    paths = {name: path for name, path in zip(SETS, (train, train_dev, dev, test), strict=True) if path}
    files, people = _parse_hypotheses(hypotheses)
    given = [bool(run), bool(files), errors is not None]
    if sum(given) != 1:
        raise click.UsageError("Give one of RUN, --hypotheses or --errors.")
    if errors is not None and (paths or versus or versus_hypotheses or people):
        raise click.UsageError("--errors takes no manifests, no hypotheses and no --versus.")
    if errors is None and out is None:
        raise click.UsageError("Missing option '--out'.")
    if (ladder or stages) and not run:
        raise click.UsageError("--ladder and --stages decode again; give RUN.")
    snrs = _parse_snrs(snr_sweep, ladder)
    if versus and (not run or versus_hypotheses):
        raise click.UsageError("--versus compares two runs; give RUN, and no --versus-hypotheses.")

    from speechbench.diagnostics import Human, diagnose, diagnose_given, parse_errors
    from speechbench.files import check_claim, keep_inputs
    from speechbench.manifest import inputs

    if errors is not None:
        named = parse_errors(",".join([errors, *(f"human={text}" for text in human)]), seed)
        report = diagnose_given(named)
    else:
        level = Human.best(human)
        manifests = _read_manifests(paths, run)
        train_words = Counter(word for u in manifests["train"] for word in u.words) if "train" in manifests else None
        if run is not None and "train" in manifests:
            manifests["train"] = manifests["train"].sample(train_most, seed)
        if out is not None:
            keep_inputs(out, [*filter(None, (run, versus)), *inputs(manifests.values())])
            check_claim(out, overwrite)
        others, _ = _parse_hypotheses(versus_hypotheses)
        if people:
            level = _measure_humans(manifests, people, level, seed)
        sets = _decode(run, manifests, missing) if run else _read_hypotheses(files, manifests, missing)
        older = _decode(versus, manifests, missing) if versus else _read_others(others, manifests, missing)
        again = _decode_again(run, sets, ladder, snrs, stages, most, seed) if run else {}
        report = diagnose(
            sets,
            level,
            name=run.name if run else "outside recogniser",
            versus=older,
            versus_name=versus.name if versus else "other outside recogniser",
            differences=_differences(run, versus),
            train_words=train_words,
            seed=seed,
            **again,
        )
    if out is not None:
        _write(report, out, overwrite)
    _show(report, output_format)


def _read_manifests(paths: dict[str, Path], run: Path | None) -> dict[str, Manifest]:
    from speechbench import manifest
    from speechbench.run import Run

    if run is not None and not paths:
        known = Run.open(run).provenance["manifests"]
        paths = {name: Path(known[name]["path"]) for name in SETS if "path" in known.get(name, {})}
    if not paths:
        raise click.UsageError("Name the manifests of the sets: --train, --train-dev, --dev, --test.")
    return {name: manifest.read(path).with_text() for name, path in paths.items()}


def _decode(path: Path, manifests: dict[str, Manifest], missing: str) -> dict[str, ScoredSet]:
    from speechbench.cli.recognition import decoded
    from speechbench.diagnostics import ScoredSet
    from speechbench.run import Run

    run = Run.open(path)
    return {name: ScoredSet(manifest, decoded(run, name, manifest), missing) for name, manifest in manifests.items()}


def _parse_snrs(text: str | None, ladder: bool) -> list[float]:
    if text is None:
        return []
    if not ladder:
        raise click.UsageError("--snr-sweep is of the ladder; add --ladder.")
    try:
        return sorted({float(part) for part in text.split(",")})
    except ValueError:
        raise click.UsageError(f"--snr-sweep {text}: expected numbers in dB, for example 20,10,0.") from None


def _decode_again(
    run: Path, sets: dict[str, ScoredSet], ladder: bool, snrs: list[float], stages: bool, most: int, seed: int
) -> dict[str, Any]:
    from speechbench.cli.ladder import climb
    from speechbench.cli.stages import repair
    from speechbench.run import Run

    if not ladder and not stages:
        return {}
    if "dev" not in sets:
        raise click.UsageError("--ladder and --stages look at dev; give --dev.")
    opened = Run.open(run)
    return {
        "ladder": climb(opened, sets["dev"], most, snrs, seed) if ladder else None,
        "repairs": repair(opened, sets["dev"], most, seed) if stages else None,
    }


def _differences(run: Path | None, versus: Path | None) -> list[dict[str, Any]] | None:
    """What differs between the trainings; None where one of them is not known."""
    from speechbench.diagnostics.fairness import list_differences
    from speechbench.run import Run

    return list_differences(Run.open(run), Run.open(versus)) if run and versus else None


def _parse_hypotheses(texts: tuple[str, ...]) -> tuple[dict[str, Path], list[Path]]:
    """The file of each set, and those of humans."""
    files: dict[str, Path] = {}
    people: list[Path] = []
    for part in (part for text in texts for part in text.split(",") if part):
        name, _, path = part.partition("=")
        name = name.strip().replace("-", "_")
        if name not in (*SETS, "human") or not path:
            raise click.UsageError(f"{part}: expected SET=FILE with SET one of {', '.join(SETS)}, or human=FILE.")
        if name in files:
            raise click.UsageError(f"Hypotheses name {name} twice.")
        if name == "human":
            people.append(Path(path))
        else:
            files[name] = Path(path)
    return files, people


def _measure_humans(manifests: dict[str, Manifest], people: list[Path], level: Human | None, seed: int) -> Human:
    from speechbench.diagnostics.listeners import best_of, measure_humans
    from speechbench.recognizer import read_hypotheses

    if "dev" not in manifests:
        raise click.UsageError("--hypotheses human=FILE are transcripts of dev; name its manifest with --dev.")
    measured = measure_humans(manifests["dev"], {str(path): read_hypotheses(path) for path in people}, seed)
    return best_of([measured, level]) if level else measured


def _read_hypotheses(files: dict[str, Path], manifests: dict[str, Manifest], missing: str) -> dict[str, ScoredSet]:
    if set(files) != set(manifests):
        odd = ", ".join(sorted(set(files) ^ set(manifests)))
        raise click.UsageError(f"Each set needs both a manifest and hypotheses; only one is given for {odd}.")
    return _read_others(files, manifests, missing) or {}


def _read_others(files: dict[str, Path], manifests: dict[str, Manifest], missing: str) -> dict[str, ScoredSet] | None:
    from speechbench.diagnostics import ScoredSet
    from speechbench.recognizer import read_hypotheses

    if odd := sorted(files.keys() - manifests.keys()):
        raise click.UsageError(f"Hypotheses of {', '.join(odd)} need a manifest.")
    return {name: ScoredSet(manifests[name], read_hypotheses(path), missing) for name, path in files.items()} or None


def _write(report: ErrorReport, out: Path, overwrite: bool) -> None:
    from speechbench.files import claim, making, mark, write_json
    from speechbench.progress import say
    from speechbench.report import render_report

    claim(out, overwrite)
    with making(out, "report"):
        document = report.document()
        write_json(out / "report.json", document)
        render_report(document, out / "report.html")
        mark(out, "report", name=report.name)
    say(f"wrote {out / 'report.html'}")


def _show(report: ErrorReport, output_format: str) -> None:
    document = report.document()
    if output_format == "json":
        options.show(document, output_format)
        return
    from speechbench.report.terminal import summarise

    for number, block in enumerate(summarise(document)):
        if number:
            click.echo()
        if isinstance(block, str):
            click.echo(block)
        else:
            options.show(document, output_format, block.rows, block.title)
