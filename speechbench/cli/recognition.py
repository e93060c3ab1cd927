"""Commands for recognisers: train, decode, score."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from speechbench.cli import options

if TYPE_CHECKING:
    from speechbench.manifest import Manifest
    from speechbench.recognizer import Hypothesis, Request
    from speechbench.run import Run


def _layers(_: click.Context, __: click.Parameter, text: str) -> int | str:
    """What --freeze asks for: so many layers, or "encoder"."""
    if text == "encoder":
        return text
    if text == "none" or text.isdecimal():
        return 0 if text == "none" else int(text)
    raise click.BadParameter(f"{text!r}; expected encoder, a number of layers, or none")


@click.command()
@click.option(
    "--mode", type=click.Choice(["pipeline", "e2e"]), required=True, help="MFCC -> phonemes -> words, or one network."
)
@click.option("--train", "train_path", type=options.FILE, required=True, help="Manifest to train on.")
@click.option("--dev", "dev_path", type=options.FILE, required=True, help="Manifest on which the decoding is tuned.")
@click.option("--out", type=options.FILE, required=True, help="The new run folder.")
@click.option("--config", "config_path", type=options.FILE, help="A TOML file.")
@click.option(
    "--init-from", type=options.FILE, metavar="RUN", help="Start from this run's network (e2e, an encoder of the same size)."
)
@click.option(
    "--freeze",
    metavar="encoder|N|none",
    callback=_layers,
    default="none",
    show_default=True,
    help="With --init-from: keep the encoder, or its N lowest layers, as they are.",
)
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="One config key, for example training.epochs=20.")
@click.option("--seed", type=int, help="All chance is drawn from it; the config's `seed` otherwise.")
@click.option("--resume", is_flag=True, help="Go on with a training that was stopped, as if it had not been.")
@click.option(
    "--noise", type=options.FILE, multiple=True, help="Manifest of noise to lay under --train, other in each epoch (e2e)."
)
@click.option("--recipe", default="car", show_default=True, help="How, with --noise: a name as for synth, or a TOML file.")
@options.overwrite
def train(
    mode: str,
    train_path: Path,
    dev_path: Path,
    out: Path,
    config_path: Path | None,
    init_from: Path | None,
    freeze: int | str,
    settings: tuple[str, ...],
    seed: int | None,
    resume: bool,
    noise: tuple[Path, ...],
    recipe: str,
    overwrite: bool,
) -> None:
    """Train a recogniser and its language model into a run folder.

    Both modes get the same data, and a 3-gram of the same text. The decoding weights are chosen on dev. The pipeline finds its
    alignment of synthesised speech on the clean speech under it.

    \b
    speechbench train --mode pipeline --train train.jsonl --dev dev.jsonl --out runs/pipeline
    speechbench train --mode e2e --train train.jsonl --dev dev.jsonl --set training.epochs=40 --out runs/e2e
    speechbench train --mode e2e --train car.jsonl --dev dev.jsonl --init-from runs/e2e --out runs/e2e-car
    speechbench train --mode e2e --train few.jsonl --dev dev.jsonl --init-from runs/e2e --freeze encoder --out runs/e2e-few
    speechbench train --mode e2e --train train.jsonl --dev dev.jsonl --noise cars.jsonl --out runs/e2e-live
    torchrun --nproc-per-node 8 -m speechbench train --mode e2e --train train.jsonl --dev dev.jsonl --out runs/e2e-large
    """  # noqa: D301
    if mode != "e2e":
        if init_from is not None:
            raise click.UsageError("--init-from is for --mode e2e; the pipeline always begins with a flat start")
        if noise:
            raise click.UsageError("--noise is for --mode e2e; the pipeline trains on what 'speechbench synth' has written")
    if freeze and init_from is None:
        raise click.UsageError("--freeze keeps what --init-from brings; name a run there")
    from pipelines.parallel import joined
    from speechbench.cli import training

    overrides = settings if seed is None else (*settings, f"seed={seed}")
    order = training.Order(mode, train_path, dev_path, out, config_path, overrides, init_from, freeze, noise, recipe)
    with joined():
        training.train(order, resume, overwrite)
    click.echo(out)


@click.command()
@click.argument("run_path", metavar="RUN", type=options.FILE)
@click.option("--data", "data_path", type=options.FILE, required=True, help="Manifest to transcribe.")
@click.option("--out", type=options.FILE, required=True, help="The new file, one hypothesis a line.")
@click.option("--nbest", type=click.IntRange(1), help="Tell this many texts, and how sure each word is; takes longer.")
@click.option("--beam", type=click.FloatRange(0, min_open=True), help="Of the search; the run's otherwise.")
@click.option(
    "--oracle",
    type=click.Choice(["phonemes", "words", "language-model", "search"]),
    help="Make one part perfect with the reference's help.",
)
@click.option("--greedy", is_flag=True, help="The network's own text alone, without lexicon and language model (e2e).")
@click.option(
    "--prefixes",
    type=click.IntRange(1),
    help="Also tell the network's own text by prefix beam search over this many prefixes, as `beam` (e2e).",
)
@options.overwrite
def decode(
    run_path: Path,
    data_path: Path,
    out: Path,
    nbest: int | None,
    beam: float | None,
    oracle: str | None,
    greedy: bool,
    prefixes: int | None,
    overwrite: bool,
) -> None:
    """Transcribe a manifest with a trained recogniser.

    Lines hold id, text, score, words and phonemes with times (s), duration; `greedy` and `beam` (the end-to-end network's
    own text, without language model). docs/decoding.md says what they mean, and what the oracles are.

    \b
    speechbench decode runs/e2e --data dev.jsonl --prefixes 8 --out dev-hypotheses.jsonl
    speechbench decode runs/pipeline --data dev.jsonl --nbest 10 --out dev-nbest.jsonl
    speechbench decode runs/pipeline --data dev.jsonl --oracle phonemes --out dev-phonemes.jsonl
    """  # noqa: D301
    from speechbench import files, manifest
    from speechbench.recognizer import Request
    from speechbench.run import Run

    if oracle and nbest:
        raise click.UsageError("--nbest is for what was heard; leave it out with --oracle")
    if greedy and (nbest or beam or oracle):
        raise click.UsageError("--nbest, --beam and --oracle are for the search, which --greedy leaves out")
    run = Run.open(run_path)
    for name, asked in (("--greedy", greedy), ("--prefixes", prefixes)):
        if asked and run.mode != "e2e":
            raise click.UsageError(f"{name} is for runs of --mode e2e; a pipeline's words come from its lexicon")
    data = manifest.read(data_path)
    files.keep_inputs(out, [run_path, *manifest.inputs([data])])
    files.claim_file(out, overwrite)
    _transcribe(run, data.with_text() if oracle else data, out, Request(nbest or 0, beam, oracle, greedy, prefixes or 0))
    click.echo(out)


def _transcribe(run: Run, data: Manifest, out: Path, request: Request | None = None) -> None:
    from pipelines.modes import open_recognizer
    from speechbench.errors import name_some
    from speechbench.manifest import Skipped
    from speechbench.progress import say
    from speechbench.recognizer import BEST, write_hypotheses

    skipped = Skipped()
    hypotheses = list(open_recognizer(run).transcribe(data, skipped, request or BEST))
    skipped.close(len(data), out.with_suffix(".skipped.jsonl"))
    write_hypotheses(out, hypotheses)
    beyond = [hypothesis.id for hypothesis in hypotheses if request and hypothesis.oracle != request.oracle]
    if beyond:
        say(f"{len(beyond)} of {len(hypotheses)} utterances are beyond the oracle: {name_some(beyond)}")


def decoded(run: Run, name: str, data: Manifest, request: Request | None = None) -> dict[str, Hypothesis]:
    """The hypotheses of a run for a set: decoded into the run folder, unless they are there for these utterances."""
    from speechbench.recognizer import read_hypotheses

    out = run.path / "hypotheses" / f"{name}-{data.digest()[:12]}.jsonl"
    if not out.is_file():
        _transcribe(run, data, out, request)
    return read_hypotheses(out)


@click.command()
@click.option("--reference", type=options.FILE, required=True, help="Manifest with texts.")
@click.option("--hypothesis", type=options.FILE, required=True, help="JSON lines with id and text.")
@click.option("--normalizer", default="none", show_default=True, help="none, or plain (case and punctuation folded).")
@click.option(
    "--missing", type=click.Choice(["error", "deletions"]), default="error", show_default=True, help="Without hypothesis."
)
@click.option("--where", metavar="KEY=VALUE", help="Only utterances whose manifest key has this value, for example grade=A.")
@options.output_format
def score(reference: Path, hypothesis: Path, normalizer: str, missing: str, where: str | None, output_format: str) -> None:
    """Word and character error rate of hypotheses, pooled over the set, paired by id.

    \b
    speechbench score --reference dev.jsonl --hypothesis dev-hypotheses.jsonl
    """  # noqa: D301
    from speechbench import manifest
    from speechbench.recognizer import read_hypotheses

    data = manifest.read(reference)
    found = read_hypotheses(hypothesis)
    if where is not None:
        data = data.where(where)
        found = {key: found[key] for key in data.by_id if key in found}
    references = {utterance.id: utterance.text or "" for utterance in data.with_text()}
    rows, absent = _rates(references, found, normalizer, missing)
    document = {"utterances": len(references), "missing": list(absent), "rates": rows}
    if output_format == "json":
        options.show(document, output_format)
        return
    for row in rows:
        click.echo(f"%{row['name']} {row['line']}")
    click.echo(f"Scored {len(references)}, {len(absent)} missing")


def _rates(
    references: dict[str, str], found: dict[str, Hypothesis], normalizer: str, missing: str
) -> tuple[list[dict[str, object]], tuple[str, ...]]:
    """A row for each rate: words, characters and, where a network has given its own texts, those."""
    from speechbench import score as scoring

    texts = {key: hypothesis.text for key, hypothesis in found.items()}
    views = [("WER", texts, "word"), ("CER", texts, "character")]
    for name in ("greedy", "beam"):
        own = {key: getattr(hypothesis, name) for key, hypothesis in found.items() if getattr(hypothesis, name) is not None}
        if own:
            views.append((f"WER {name}", own, "word"))
    rows: list[dict[str, object]] = []
    for name, hypotheses, unit in views:
        result = scoring.score(references, hypotheses, unit, normalizer, missing)
        total = result.total
        counts = {
            "rate": total.rate,
            "errors": total.errors,
            "tokens": total.words,
            "insertions": total.insertions,
            "deletions": total.deletions,
            "substitutions": total.substitutions,
        }
        rows.append({"name": name, **counts, "line": str(total)})
    return rows, result.missing
