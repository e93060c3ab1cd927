"""The trained network as a recogniser: greedy text, and the best path through lexicon and language model."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from pipelines import tensors
from pipelines.ctc.beam import prefix_beam
from pipelines.ctc.edges import score_spoken
from pipelines.ctc.network import STEP, Network
from pipelines.e2e.config import E2eConfig
from pipelines.e2e.tokens import SPACE, Tokens, greedy
from pipelines.packages import missing_packages
from pipelines.speakers import heard_of
from speechbench.config import build
from speechbench.errors import SpeechbenchError
from speechbench.files import read_json
from speechbench.manifest import Manifest, Skipped, Utterance
from speechbench.recognizer import BEST, Hypothesis, Request
from speechbench.run import Run

if TYPE_CHECKING:
    from pipelines.decoding import Decoder
    from pipelines.graph import Topology

NETWORK = "network.safetensors"


def topology_of(tokens: Tokens) -> Topology:
    """CTC over the alphabet."""
    from pipelines.graph import Topology  # here, for a machine without its packages can decode greedily

    return Topology(tokens.units, SPACE, 0)


class E2eRecognizer:
    """Opens a run of `train --mode e2e`."""

    def __init__(self, run: Run) -> None:
        self.run = run
        config = {key: value for key, value in run.config.items() if key != "mode"}
        self.config = build(E2eConfig, config, str(run.path / "config.json"))
        self.tokens = Tokens(tuple(read_json(run.path / "units.json")))
        self.network = Network(self.tokens.columns, self.config.encoder)
        state, _ = tensors.load(run.path / NETWORK)
        try:
            self.log_priors = state.pop("log_priors").numpy()
            self.network.load_state_dict(state)
        except (KeyError, RuntimeError) as error:
            raise SpeechbenchError(f"{run.path / NETWORK}: does not fit the run's config and alphabet; train again") from error

    @cached_property
    def decoder(self) -> Decoder:
        """With lexicon and language model.

        Raises:
            SpeechbenchError: Its packages are missing.
        """
        if missing := missing_packages():
            raise SpeechbenchError(
                f"{self.run.path}: {' and '.join(missing)} must be installed to decode with lexicon and language model; "
                "decode with --greedy for the network's own text"
            )
        from pipelines.decoding import Decoder

        return Decoder(self.run.path, topology_of(self.tokens), STEP, self.log_priors)

    def score(self, features: Tensor) -> Tensor:
        """The network's log-probabilities, of all steps of an utterance, (T, F) -> (T / 4, V)."""
        return score_spoken(self.network, features, self.config.silence)

    def transcribe(self, manifest: Manifest, skipped: Skipped, request: Request = BEST) -> Iterator[Hypothesis]:
        """For each utterance the best words with the language model, the network's own text, and what else is asked for.

        All that a speaker says in the manifest tells how the speaker sounds.
        """
        bands, frames = self.config.encoder.bands, self.config.speaker_frames
        waiting: deque[tuple[str, str | None]] = deque()

        def scored() -> Iterator[tuple[Utterance, NDArray[np.float32]]]:
            for utterance, features in heard_of(manifest, bands, frames, skipped, f"decode {manifest.name}"):
                scores = self.score(features)
                beam = self.tokens.text(prefix_beam(scores.numpy(), request.prefixes)[0][0]) if request.prefixes else None
                waiting.append((greedy(scores, self.tokens), beam))
                yield utterance, scores.numpy()

        if request.greedy:
            for utterance, _ in scored():
                text, beam = waiting.popleft()
                yield Hypothesis(utterance.id, text, greedy=text, beam=beam, duration=utterance.duration)
        else:
            for heard in self.decoder.hear_all(scored(), request, manifest.seconds):
                text, beam = waiting.popleft()
                yield replace(heard, phonemes=None, greedy=text, beam=beam)  # its units are characters
