"""The work behind `train`: a new run or one that was stopped, by one process or by those that torchrun starts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipelines import parallel
from pipelines.ctc.device import chosen_device
from pipelines.e2e.transfer import Start
from pipelines.modes import mode_of
from speechbench import config as configs
from speechbench import files, manifest
from speechbench.manifest import Manifest, Skipped
from speechbench.progress import say
from speechbench.run import Run
from synth import recipe
from synth.apart import POSSIBLE, apart
from synth.build import Plan
from synth.live import Live

APART = {"cuda"}  # devices beside which processes of their own read scenes; on a CPU threads wait for a core, not for the lock


@dataclass(frozen=True)
class Order:
    """What is to be trained, as the command line says it."""

    mode: str
    train: Path
    dev: Path
    out: Path
    config: Path | None
    settings: tuple[str, ...]
    init_from: Path | None
    freeze: int | str
    noise: tuple[Path, ...]
    recipe: str


def train(order: Order, resume: bool, overwrite: bool) -> None:
    """Make the run.

    Args:
        order: What.
        resume: Go on with a run that was stopped.
        overwrite: Replace a run.

    Raises:
        SpeechbenchError: Bad input, an output that exists, another training than was begun.
    """
    chosen = mode_of(order.mode)
    config = configs.load(chosen.config, order.config, order.settings)
    manifests = {"train": manifest.read(order.train).with_text(), "dev": manifest.read(order.dev).with_text()}
    noises = {f"noise-{number}": manifest.read(path) for number, path in enumerate(order.noise, start=1)}
    parts: dict[str, Any] = {} if order.init_from is None else {"init": Start(Run.open(order.init_from), order.freeze)}
    described, facts = manifests | noises, _facts(order, parts.get("init"))
    inputs = [*manifest.inputs(described.values()), *configs.files_named(config), *filter(None, [order.init_from])]
    files.keep_inputs(order.out, inputs)
    skipped = Skipped()
    begun = False
    if parallel.is_first():
        begun = _begun(order, resume, overwrite, config, described, facts)
        if begun and files.is_finished(order.out, "run"):
            say(f"{order.out}: is finished already")
    if parallel.agreed(begun and files.is_finished(order.out, "run")):
        return
    with (
        _renderer(order, manifests["train"], config, skipped) as further,
        # The first process alone makes the folder: it marks it as finished when the others are done too.
        files.making(order.out, "run", keep=begun) if parallel.is_first() else nullcontext(),
    ):
        run = Run(order.out)
        if parallel.is_first():
            run = Run.create(order.out, order.mode, config, config.seed, described, facts)
        chosen.train(run, config, manifests["train"], manifests["dev"], skipped, **parts, **further)
        if parallel.is_first():
            skipped.close(sum(map(len, manifests.values())), order.out / "skipped.jsonl")
            run.finish(utterances=len(manifests["train"]), skipped=len(skipped.reasons), dev_looks=run.dev_looks())


def _begun(
    order: Order, resume: bool, overwrite: bool, config: Any, manifests: dict[str, Manifest], facts: dict[str, Any]
) -> bool:
    """Whether there is a run to go on with; otherwise the place for a new one is made free."""
    out = order.out
    if resume and files.is_begun(out, "run") and (out / "provenance.json").is_file():
        Run.check_begun(out, order.mode, config, manifests, facts)
        if not files.is_finished(out, "run"):
            files.remove_asides(out)
        return True
    files.claim(out, overwrite or (resume and files.is_begun(out, "run")))
    return False


def _facts(order: Order, init: Start | None) -> dict[str, Any]:
    """What a run is made from beside its config and manifests."""
    facts: dict[str, Any] = {} if init is None else {"init_from": init.facts}
    if order.noise:
        facts["recipe"] = asdict(recipe.load(order.recipe))
    return facts


@contextmanager
def _renderer(order: Order, speech: Manifest, config: Any, skipped: Skipped) -> Iterator[dict[str, Any]]:
    """The renderer, where there is noise to be laid under the speech."""
    if not order.noise:
        yield {}
        return
    device = chosen_device(config.training.device).type
    with apart() if device in APART and POSSIBLE else nullcontext() as reader:
        plan = Plan(speech, order.noise, recipe.load(order.recipe), config.seed)
        yield {"renderer": Live(plan, skipped, device, reader)}
