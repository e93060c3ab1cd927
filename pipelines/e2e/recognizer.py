"""The trained network as a recogniser: greedy text, and the best path through lexicon and language model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from safetensors.torch import load_file
from torch import Tensor

from pipelines.batches import extract
from pipelines.ctc.network import STEP, Network, greedy_tokens, score_all
from pipelines.decoding import Decoder
from pipelines.e2e.config import E2eConfig
from pipelines.e2e.pieces import split_word
from pipelines.graph import Topology
from speechbench.audio import Samples
from speechbench.config import build
from speechbench.features import cmvn, log_mel
from speechbench.files import read_json
from speechbench.lexicon import Lexicon
from speechbench.manifest import Manifest, Skipped
from speechbench.recognizer import BEST, Hypothesis, Request
from speechbench.run import Run

NETWORK = "network.safetensors"
SPACE = " "


def front_end(bands: int) -> Callable[[Samples], Tensor]:
    """The features: log-mel with CMVN over the utterance."""
    return lambda samples: cmvn(log_mel(samples, bands))


@dataclass(frozen=True)
class Tokens:
    """The network's alphabet: characters, pieces of words, and the space between words; token 0 is the blank."""

    units: tuple[str, ...]

    @classmethod
    def of(cls, lexicon: Lexicon) -> Tokens:
        """All characters and pieces of a lexicon of spellings."""
        return cls((SPACE, *sorted({u for variants in lexicon.values() for spelling in variants for u in spelling})))

    @property
    def topology(self) -> Topology:
        """CTC over these tokens."""
        return Topology(self.units, SPACE, 0)

    def numbers(self, words: Sequence[str]) -> Tensor:
        """The token numbers of words; characters that the alphabet lacks are left out, for no output could match them."""
        known = {unit: number for number, unit in enumerate(self.units, start=1)}
        cuts = [unit for word in words for unit in (SPACE, *split_word(word, known))][1:]
        return torch.tensor([known[unit] for unit in cuts], dtype=torch.long)

    def text(self, numbers: Iterable[int]) -> str:
        """The text of token numbers without blanks, spaces single."""
        return SPACE.join("".join(self.units[n - 1] for n in numbers).split())


def greedy(scores: Tensor, tokens: Tokens) -> str:
    """The text of the likeliest tokens, (T, V)."""
    return tokens.text(greedy_tokens(scores))


class E2eRecognizer:
    """Opens a run of `train --mode e2e`."""

    def __init__(self, run: Run) -> None:
        config = {key: value for key, value in run.config.items() if key != "mode"}
        self.config = build(E2eConfig, config, str(run.path / "config.json"))
        self.tokens = Tokens(tuple(read_json(run.path / "units.json")))
        self.front_end = front_end(self.config.encoder.bands)
        self.network = Network(self.tokens.topology.columns, self.config.encoder)
        state = load_file(run.path / NETWORK)
        log_priors = state.pop("log_priors").numpy()
        self.network.load_state_dict(state)
        self.decoder = Decoder(run.path, self.tokens.topology, STEP, log_priors)

    def transcribe(self, manifest: Manifest, skipped: Skipped, request: Request = BEST) -> Iterator[Hypothesis]:
        """For each utterance the best words with the language model, the network's own text, and what else is asked for."""
        for utterance, features in extract(manifest, self.front_end, skipped, f"decode {manifest.name}"):
            (scores,) = score_all(self.network, [features])
            heard = self.decoder.hear(utterance, scores.numpy(), request)
            yield replace(heard, phonemes=None, greedy=greedy(scores, self.tokens))  # its units are characters
