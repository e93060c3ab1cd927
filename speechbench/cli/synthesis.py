"""Commands on synthesised speech: synth, explain, rebuild."""

from __future__ import annotations

import json
from pathlib import Path

import click

from speechbench.cli import options
from speechbench.errors import SpeechbenchError


@click.command()
@click.option("--speech", type=options.FILE, required=True, help="Manifest of clean speech.")
@click.option("--noise", type=options.FILE, required=True, multiple=True, help="Manifest of noise; may be given again.")
@click.option("--out", type=options.FILE, required=True, help="Folder to make.")
@click.option(
    "--recipe", default="car", show_default=True, help="car, plain, city, highway, rain, parked, mixed, or a TOML file."
)
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="A key of the recipe, for example cabin.count=8.")
@click.option("--snr", metavar="LOW:HIGH", help="SNR range in dB: active speech level over noise RMS.")
@click.option("--copies", type=click.IntRange(1), help="Noisy copies of each utterance.")
@click.option(
    "--container",
    type=click.Choice(["flac", "wav", "tar", "shar"]),
    default="flac",
    show_default=True,
    help="A FLAC or WAV file each, or shards of FLAC: tar for WebDataset, shar for lhotse; training reads all of them.",
)
@click.option(
    "--dry-run", is_flag=True, help="Only the noise budget; writes nothing, reads no audio unless there is a --target."
)
@click.option("--resume", is_flag=True, help="Go on with a build that was stopped.")
@click.option("--strict", is_flag=True, help="Any warning is an error, before rendering.")
@click.option("--against", type=options.FILE, multiple=True, help="A built folder that shall share no noise with this one.")
@click.option("--target", type=options.FILE, help="Manifest of noisy recordings that the noise shall resemble.")
@options.seed
@options.jobs
@options.engine
@options.address
@options.overwrite
@options.output_format
def synth(
    speech: Path,
    noise: tuple[Path, ...],
    out: Path,
    recipe: str,
    settings: tuple[str, ...],
    snr: str | None,
    copies: int | None,
    container: str,
    dry_run: bool,
    resume: bool,
    strict: bool,
    against: tuple[Path, ...],
    target: Path | None,
    seed: int,
    jobs: int,
    engine: str,
    address: str | None,
    overwrite: bool,
    output_format: str,
) -> None:
    """Lay noise under clean speech, as heard in a car.

    Example: speechbench synth --speech clean.jsonl --noise car.jsonl --out noisy --snr -5:20 --strict
    """
    if resume and overwrite:
        raise click.UsageError("--resume keeps what is there, --overwrite removes it: give one of them")
    from speechbench import manifest
    from synth import budget, build, cabin
    from synth import recipe as recipes

    wanted = [*settings, *([f"snr_db={_range(snr)}"] if snr else []), *([f"copies={copies}"] if copies else [])]
    wish = recipes.load(recipe, wanted)
    wish = wish.with_one_snr() if snr else wish
    plan = build.Plan(manifest.read(speech), noise, wish, seed, against, manifest.read(target) if target else None)
    if dry_run:
        found = build.preview(plan, strict)
    else:
        with options.running(engine, address, jobs, "synth.chunk", *cabin.modules(wish.cabin)) as run:
            found = build.build(plan, out, jobs, resume, strict, overwrite, container, run)
    options.show(found, output_format, budget.lines(found), title=f"{out}" + (" (dry run)" if dry_run else ""))
    if output_format == "table":
        for warning in found["warnings"]:
            click.echo(f"warning {warning['code']}: {warning['message']}")


def _range(text: str) -> list[float]:
    try:
        bounds = [float(part) for part in text.split(":")]
    except ValueError:
        bounds = []
    if len(bounds) not in (1, 2):
        raise click.BadParameter(f"'{text}'; expected LOW:HIGH in dB, for example -5:20", param_hint="--snr")
    return [bounds[0], bounds[-1]]


@click.command()
@click.argument("folder", type=options.FILE)
@click.argument("utterance_id", metavar="ID")
@options.output_format
def explain(folder: Path, utterance_id: str, output_format: str) -> None:
    """Everything about one synthesised utterance.

    Example: speechbench explain noisy utterance7-noisy1
    """
    from synth import rebuild as rebuilding

    facts = rebuilding.explain(folder, utterance_id)
    shown = ((key, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)) for key, value in facts.items())
    options.show(facts, output_format, [{"key": key, "value": value} for key, value in shown], title=utterance_id)


@click.command()
@click.argument("folder", type=options.FILE)
@click.argument("ids", nargs=-1, metavar="[ID]...")
@options.jobs
@options.engine
@options.address
@options.output_format
def rebuild(folder: Path, ids: tuple[str, ...], jobs: int, engine: str, address: str | None, output_format: str) -> None:
    """Verify the audio of a built folder; write what is missing or wrong from its scenes, byte for byte.

    Example: speechbench rebuild noisy
    """
    from synth import rebuild as rebuilding

    with options.running(engine, address, jobs, "synth.rebuild") as run:
        rows = rebuilding.rebuild(folder, ids, jobs, run)
    states = {state: sum(row["state"] == state for row in rows) for state in rebuilding.STATES}
    changed = [row for row in rows if row["state"] != "verified"]
    options.show(
        {"counts": states, "utterances": rows},
        output_format,
        [{"state": state, "utterances": count} for state, count in states.items()],
        title=str(folder),
    )
    if output_format == "table":
        for row in changed:
            click.echo(f"{row['state']} {row['id']}" + (f": {row['reason']}" if row["reason"] else ""))
    failed = [row for row in rows if row["state"] == "failed"]
    if failed:
        raise SpeechbenchError(
            f"{folder}: {len(failed)} of {len(rows)} utterances cannot be rebuilt; first: {failed[0]['reason']}"
        )
