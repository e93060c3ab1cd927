"""The end-to-end network's config."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf

from pipelines.words import LanguageModelConfig
from speechbench.config import check_ranges


@dataclass(frozen=True)
class EncoderConfig:
    """Convolution with batch norm, then bidirectional recurrence."""

    bands: int = 80  # of the log-mel features
    channels: int = 192  # of each convolution
    recurrent: int = 128  # units of each direction of each LSTM
    layers: int = 2  # LSTMs
    dropout: float = 0.1

    def __post_init__(self) -> None:
        check_ranges(self, bands=(1, 128), channels=(1, inf), recurrent=(1, inf), layers=(1, inf), dropout=(0, 0.99))


@dataclass(frozen=True)
class AugmentConfig:
    """What each epoch changes in the features, so that no utterance is seen twice alike."""

    stretch: float = 0.1  # the most by which time is stretched or squeezed
    frequency_masks: int = 1  # SpecAugment (Park et al. 2019)
    frequency_width: int = 15  # bands, the most
    time_masks: int = 1
    time_width: int = 25  # frames, the most

    def __post_init__(self) -> None:
        check_ranges(self, stretch=(0, 0.9), frequency_masks=(0, inf), frequency_width=(0, inf))
        check_ranges(self, time_masks=(0, inf), time_width=(0, inf))


@dataclass(frozen=True)
class TrainingConfig:
    """The optimiser and its schedule."""

    epochs: int = 30
    batch_seconds: float = 16.0  # of audio in a batch, padding counted
    learning_rate: float = 1.5e-3  # the highest; warmed up, then lowered along a cosine
    warmup: float = 0.15  # share of the steps
    weight_decay: float = 0.01
    gradient_norm: float = 5.0  # above it gradients are scaled down

    def __post_init__(self) -> None:
        check_ranges(self, epochs=(1, inf), batch_seconds=(0.1, inf), warmup=(0, 0.99))
        check_ranges(self, learning_rate=(1e-9, 1), weight_decay=(0, 1), gradient_norm=(1e-3, inf))


@dataclass(frozen=True)
class E2eConfig:
    """`train --mode e2e`."""

    seed: int = 0
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    language_model: LanguageModelConfig = field(default_factory=LanguageModelConfig)
    beam: float = 11.0  # of the search, in scaled log-likelihood

    def __post_init__(self) -> None:
        check_ranges(self, beam=(0.1, inf))
