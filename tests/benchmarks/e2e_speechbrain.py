"""The parts of SpeechBrain's CTC recipe, trained on the manifests and characters of a run of ours; `e2e_rivals.py` starts it.

Fbank, normalisation of each utterance, CRDNN with LSTMs, linear layer, CTC loss, and Brain's loop, with the settings of the
recipe for TIMIT (Adadelta, batch of 8, batch norm) but for the sizes. It writes the scores of other manifests as (T, V).

Needs: pip install speechbrain==1.1.2
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from pipelines.e2e.tokens import Tokens
from speechbench import manifest
from speechbench.files import read_json, write_json
from speechbench.torch_audio import torchaudio  # before speechbrain, which imports it

assert torchaudio
from speechbrain.core import Brain, Stage  # noqa: E402
from speechbrain.dataio.batch import PaddedBatch  # noqa: E402
from speechbrain.lobes.features import Fbank  # noqa: E402
from speechbrain.lobes.models.CRDNN import CRDNN  # noqa: E402
from speechbrain.nnet.linear import Linear  # noqa: E402
from speechbrain.nnet.losses import ctc_loss  # noqa: E402
from speechbrain.nnet.RNN import LSTM  # noqa: E402
from speechbrain.processing.features import InputNormalization  # noqa: E402

BATCH = 8  # utterances


class Recipe(Brain):  # type: ignore[misc]
    """What the recipe computes of a batch."""

    def compute_forward(self, batch: Any, stage: Any) -> tuple[Tensor, Tensor]:
        """Log-probabilities (B, T, V), and what share of T each utterance fills."""
        samples, shares = batch.to(self.device).samples
        features = self.modules.normalize(self.hparams.features(samples), shares)
        return torch.log_softmax(self.modules.output(self.modules.encoder(features)), -1), shares

    def compute_objectives(self, predictions: tuple[Tensor, Tensor], batch: Any, stage: Any) -> Tensor:
        """The CTC loss."""
        tokens, sizes = batch.tokens
        loss: Tensor = ctc_loss(predictions[0], tokens, predictions[1], sizes, blank_index=0)
        return loss


def batches(path: Path, tokens: Tokens) -> list[Any]:
    """A manifest in batches of like length."""
    rows = sorted(manifest.read(path), key=lambda utterance: utterance.duration)
    items = [
        {"id": row.id, "samples": torch.from_numpy(row.samples()).float(), "tokens": tokens.numbers(row.words)} for row in rows
    ]
    return [PaddedBatch(items[first : first + BATCH]) for first in range(0, len(items), BATCH)]


def main() -> None:
    """Train, and write scores."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--train", "--units", "--out"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--score", type=Path, nargs="*", default=[], help="manifests")
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--neurons", type=int, default=108, help="of each direction of each LSTM; 108 makes 1 M parameters")
    given = parser.parse_args()
    torch.manual_seed(0)
    tokens = Tokens(tuple(read_json(given.units)))
    encoder = CRDNN(
        input_shape=[None, None, 80],
        cnn_channels=(32, 32),
        time_pooling=True,
        time_pooling_size=4,
        rnn_class=LSTM,
        rnn_layers=2,
        rnn_neurons=given.neurons,
        dnn_blocks=1,
        dnn_neurons=128,
    )
    output = Linear(input_size=128, n_neurons=tokens.columns)
    modules = {"encoder": encoder, "output": output, "normalize": InputNormalization(norm_type="sentence")}
    brain = Recipe(
        modules,
        lambda parameters: torch.optim.Adadelta(parameters, lr=1.0, rho=0.95, eps=1e-8),
        {"features": Fbank(sample_rate=16000, n_mels=80)},
        {"noprogressbar": True, "device": "cpu"},
    )
    given.out.mkdir(parents=True, exist_ok=True)
    write_json(given.out / "size.json", sum(p.numel() for p in brain.modules.parameters()))
    brain.fit(range(given.epochs), DataLoader(batches(given.train, tokens), batch_size=None, shuffle=True))
    brain.modules.eval()
    for path in given.score:
        scores = {}
        for batch in batches(path, tokens):
            with torch.no_grad():
                predictions, shares = brain.compute_forward(batch, Stage.TEST)
            for name, one, share in zip(batch.id, predictions, shares, strict=True):
                scores[name] = one[: max(1, round(float(share) * len(one)))].numpy()
        np.savez(given.out / f"{path.stem}.npz", **scores)


if __name__ == "__main__":
    main()
