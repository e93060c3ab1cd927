"""Training that begins with the network of another run: what is copied, what is left, and what is new."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from pipelines import tensors
from pipelines.ctc.config import EncoderConfig
from pipelines.ctc.network import Network
from pipelines.e2e.config import E2eConfig
from pipelines.e2e.labels import Classes
from pipelines.e2e.recognizer import NETWORK
from speechbench.config import build
from speechbench.errors import SpeechbenchError, name_some
from speechbench.files import read_json, sha256
from speechbench.progress import say
from speechbench.run import Run

UNITS, HEADS = "units.json", "heads.safetensors"


@dataclass(frozen=True)
class Start:
    """The run whose network is trained on, and how many layers of its encoder stay as they are."""

    run: Run
    freeze: int | str = 0  # so many, or "encoder" for all

    @property
    def facts(self) -> dict[str, Any]:
        """For the provenance of what comes out."""
        path = self.run.path / NETWORK
        digest = sha256(path) if path.is_file() else None
        return {"path": str(self.run.path.absolute()), "sha256": digest, "freeze": self.freeze}

    @cached_property
    def units(self) -> tuple[str, ...]:
        """The run's alphabet."""
        return tuple(read_json(self.run.path / UNITS))

    def check(self, config: E2eConfig) -> None:
        """Refuse a run whose encoder is of another kind or size.

        Raises:
            SpeechbenchError: It is; or there are not so many layers to freeze.
        """
        path, ours = self.run.path, config.encoder
        if self.run.mode != "e2e":
            raise SpeechbenchError(f"{path}: is a {self.run.mode} run; name one of --mode e2e to start from")
        theirs = build(EncoderConfig, self.run.config["encoder"], str(path / "config.json"))
        if _described(theirs) != _described(ours):
            raise SpeechbenchError(
                f"{path}: its encoder is {_described(theirs)}, not {_described(ours)}; "
                "set the same [encoder] in this training, or train from scratch"
            )
        layers = len(Network(1, ours).encoder_layers)
        if isinstance(self.freeze, int) and self.freeze > layers:
            raise SpeechbenchError(f"--freeze {self.freeze}: the encoder has {layers} layers; 'encoder' freezes all")

    def apply(self, network: Network, units: Sequence[str], classes: Classes | None) -> dict[str, Any]:
        """Copy weights into a new network, freeze layers, and tell what was done.

        The encoder is copied whole. The output layer's weights are copied for the blank and each token that both alphabets
        have, for a letter sounds in the one as in the other; those of new tokens stay as they were drawn. A head is copied
        where it tells the same classes.

        Args:
            network: As `check` has seen it; changed.
            units: Its alphabet.
            classes: Of its heads; None where it has none.

        Returns:
            A row of metrics.

        Raises:
            SpeechbenchError: The run's file was written by a version that made other layers.
        """
        path = self.run.path / NETWORK
        old, _ = tensors.load(path)
        del old["log_priors"]
        new = {name: value for name, value in network.state_dict().items() if not name.startswith("heads.")}
        if odd := sorted(old.keys() ^ new.keys()):
            raise SpeechbenchError(
                f"{path}: was written by a version with other layers, which differ in {name_some(odd)}; train it again"
            )
        shared = [unit for unit in units if unit in self.units]
        taken = torch.tensor([0, *(1 + units.index(unit) for unit in shared)])
        given = torch.tensor([0, *(1 + self.units.index(unit) for unit in shared)])
        for name in ("output.weight", "output.bias"):
            new[name] = new[name].index_copy(0, taken, old.pop(name)[given])
        heads = self._heads(network, classes)
        network.load_state_dict({**new, **old, **heads}, strict=False)  # of heads some may be new
        network.freeze(self.freeze if isinstance(self.freeze, int) else len(network.encoder_layers))
        return self._report(network, units, shared, sorted({name.split(".")[1] for name in heads}))

    def _heads(self, network: Network, classes: Classes | None) -> dict[str, Tensor]:
        path = self.run.path / HEADS
        if classes is None or not path.is_file():
            return {}
        weights, facts = tensors.load(path)
        theirs = Classes.of_facts(facts)
        same = [name for name in network.heads if theirs.of_head(name) == classes.of_head(name)]
        return {f"heads.{name}": value for name, value in weights.items() if name.partition(".")[0] in same}

    def _report(self, network: Network, units: Sequence[str], shared: list[str], heads: list[str]) -> dict[str, Any]:
        new = [unit for unit in units if unit not in shared]
        left = [unit for unit in self.units if unit not in shared]
        columns = network.output.in_features + 1
        fresh = len(new) * columns + sum(
            parameter.numel() for name, head in network.heads.items() if name not in heads for parameter in head.parameters()
        )
        trained = sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
        row: dict[str, Any] = {
            "init_from": str(self.run.path.absolute()),
            "parameters_copied": network.parameter_count - fresh,
            "parameters_new": fresh,
            "parameters_trained": trained,
            "layers_frozen": len(network.frozen),
            "tokens_copied": shared,
            "tokens_new": new,
            "tokens_left": left,
            "heads_copied": heads,
            "heads_new": [name for name in network.heads if name not in heads],
        }
        say(
            f"starts from {self.run.path}: {row['parameters_copied']:,} parameters are copied, {fresh:,} are new, "
            f"{trained:,} are trained ({len(network.frozen)} of {len(network.encoder_layers)} layers of the encoder frozen)"
        )
        for title, tokens in (("new", new), ("left", left)):
            if tokens:
                say(f"{len(tokens)} tokens are {title}: {name_some(map(repr, tokens))}; {len(shared)} keep their weights")
        if network.heads:
            say(f"heads that are copied: {', '.join(heads) or 'none'}; new: {', '.join(row['heads_new']) or 'none'}")
        return row


def _described(encoder: EncoderConfig) -> str:
    """All that decides which weights fit."""
    shape = encoder.shape
    units = f", {shape.recurrent} units" if encoder.kind == "recurrent" else ""
    return (
        f"{encoder.kind} ({shape.channels} channels, {shape.layers} layers{units}, norm {encoder.norm}, {encoder.bands} bands)"
    )
