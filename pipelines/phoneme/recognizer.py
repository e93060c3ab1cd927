"""The trained pipeline as a recogniser: MFCC -> scores of HMM states -> best path through lexicon and language model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from safetensors.torch import load_file
from torch import Tensor

from pipelines.batches import extract
from pipelines.decoding import Decoder
from pipelines.graph import Topology
from pipelines.phoneme.config import PipelineConfig
from pipelines.phoneme.gmm import Mixtures
from pipelines.phoneme.network import TimeDelayNetwork
from pipelines.tuning import Candidates
from speechbench.audio import Samples
from speechbench.config import build
from speechbench.features import FRAME_SHIFT, cmvn, mfcc, with_deltas
from speechbench.files import read_json
from speechbench.manifest import Manifest, Skipped
from speechbench.recognizer import BEST, Hypothesis, Request
from speechbench.run import Run

MIXTURES, NETWORK = "mixtures.safetensors", "network.safetensors"
STATES = 3  # per phoneme
# Small scales, for neighbouring frames tell much the same. Mixtures give p(sound | state) as it is: no priors to divide by.
WORD_COSTS = (0.0, -0.7, -1.4, 0.7)
CANDIDATES = Candidates((0.15, 0.1, 0.2, 0.3), (1.0, 0.6), WORD_COSTS)
MIXTURE_CANDIDATES = Candidates((0.1, 0.07, 0.15, 0.05), (0.0,), WORD_COSTS)


def front_end(coefficients: int) -> Callable[[Samples], Tensor]:
    """The features of both acoustic models: MFCC with deltas, CMVN over the utterance."""
    return lambda samples: cmvn(with_deltas(mfcc(samples, coefficients)))


@dataclass(frozen=True)
class Acoustic:
    """An acoustic model: features (T, F) to scores (T, S) of the topology's states, and the log priors (S,) of the states."""

    score: Callable[[Tensor], Tensor]
    log_priors: Tensor


class PipelineRecognizer:
    """Opens a run of `train --mode pipeline`."""

    def __init__(self, run: Run) -> None:
        config = {key: value for key, value in run.config.items() if key != "mode"}
        self.config = build(PipelineConfig, config, str(run.path / "config.json"))
        units = tuple(read_json(run.path / "units.json"))
        self.topology = Topology(units, units[0], STATES)
        self.front_end = front_end(self.config.mfcc)
        self.acoustic = self._network(run) if self.config.acoustic == "network" else self._mixtures(run)
        self.decoder = Decoder(run.path, self.topology, FRAME_SHIFT, self.acoustic.log_priors.numpy())

    def transcribe(self, manifest: Manifest, skipped: Skipped, request: Request = BEST) -> Iterator[Hypothesis]:
        """The best words for each utterance, with their phonemes, and what else is asked for."""
        for utterance, features in extract(manifest, self.front_end, skipped, f"decode {manifest.name}"):
            yield self.decoder.hear(utterance, self.acoustic.score(features).numpy(), request)

    def _mixtures(self, run: Run) -> Acoustic:
        return Acoustic(Mixtures(**load_file(run.path / MIXTURES)).log_likelihoods, torch.zeros(self.topology.columns))

    def _network(self, run: Run) -> Acoustic:
        state = load_file(run.path / NETWORK)
        log_priors = state.pop("log_priors")
        network = TimeDelayNetwork(3 * self.config.mfcc, self.topology.columns, self.config.network)
        network.load_state_dict(state)
        network.eval()
        return Acoustic(network.log_posteriors, log_priors)
