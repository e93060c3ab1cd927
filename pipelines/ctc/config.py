"""What a network trained by CTC can be told."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from speechbench.config import check_bounds

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "float32", "bfloat16"]
Switch = Literal["auto", "on", "off"]


@dataclass(frozen=True)
class EncoderConfig:
    """Convolution with batch norm, then bidirectional recurrence."""

    bands: int = 80  # of the log-mel features
    channels: int = 192  # of each convolution
    recurrent: int = 128  # units of each direction of each LSTM
    layers: int = 2  # LSTMs
    dropout: float = 0.1

    def __post_init__(self) -> None:
        many = (1, math.inf)
        check_bounds(self, bands=(1, 128), channels=many, recurrent=many, layers=many, dropout=(0, 0.95))


@dataclass(frozen=True)
class AugmentConfig:
    """What each epoch changes in the features, so that no utterance is seen twice alike."""

    stretch: float = 0.1  # the most by which time is stretched or squeezed
    frequency_masks: int = 1  # SpecAugment (Park et al. 2019)
    frequency_width: int = 15  # bands, the most
    time_masks: int = 1
    time_width: int = 25  # frames, the most

    def __post_init__(self) -> None:
        any_number = (0, math.inf)
        check_bounds(self, stretch=(0, 0.9), frequency_masks=any_number, frequency_width=any_number)
        check_bounds(self, time_masks=any_number, time_width=any_number)


@dataclass(frozen=True)
class TrainingConfig:
    """The optimiser and its schedule."""

    epochs: int = 30
    batch_seconds: float = 16.0  # of audio in a batch, padding counted
    learning_rate: float = 1.5e-3  # the highest; warmed up, then lowered along a cosine
    warmup: float = 0.15  # share of the steps
    weight_decay: float = 0.01
    gradient_norm: float = 5.0  # above it gradients are scaled down
    look_every: int = 5  # epochs between two looks at dev
    patience: int = 0  # looks at dev without a better one after which training ends; 0 is never
    average: int = 1  # of the best looks' weights; kept if dev has no more errors than with the best alone
    checkpoint_seconds: float = 300.0  # between two checkpoints within an epoch
    device: Device = "auto"  # a GPU where there is one
    precision: Precision = "auto"  # bfloat16 on a GPU
    compile: Switch = "auto"  # torch.compile, on a GPU

    def __post_init__(self) -> None:
        check_bounds(self, epochs=(1, math.inf), batch_seconds=(0.1, math.inf), learning_rate=(1e-8, 1))
        check_bounds(self, warmup=(0, 0.99), weight_decay=(0, 1), gradient_norm=(1e-6, math.inf))
        check_bounds(self, look_every=(1, math.inf), patience=(0, math.inf), average=(1, 50))
        check_bounds(self, checkpoint_seconds=(0, math.inf))
