"""What a network trained by CTC can be told."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from pipelines.ctc.sizes import HEAD, SIZES, Kind, Shape, Size
from speechbench.config import check_bounds

Norm = Literal["batch", "layer", "none"]
Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "float32", "bfloat16"]
Switch = Literal["auto", "on", "off"]

SILENCE = 0.3  # s before and behind the speech that a network hears, in training and in use
SPEAKER_FRAMES = 5.0  # that all of its speaker's speech counts for beside an utterance that is normalised
STEPS = 200  # of an epoch; with fewer a small training set takes many epochs
UTTERANCES = 4  # of a batch, about, that batch norm wants however few steps that leaves
BATCH_SECONDS = 4.0, 16.0  # the least and the most that these may make of a batch


@dataclass(frozen=True)
class EncoderConfig:
    """Strided convolutions, then recurrence in both directions of time or Conformer blocks."""

    kind: Kind = "recurrent"  # or "conformer"
    size: Size = "1M"  # parameters, about; says how large the three are that are not given
    norm: Norm = "batch"  # behind each layer of "recurrent", before and within each block of "conformer"
    bands: int = 80  # of the log-mel features
    channels: int | None = None  # of each convolution; the width of a Conformer's blocks
    recurrent: int | None = None  # units of each direction of each LSTM
    layers: int | None = None  # LSTMs or Conformer blocks
    dropout: float = 0.1

    def __post_init__(self) -> None:
        check_bounds(self, bands=(1, 128), dropout=(0, 0.95))
        many = (1, math.inf)
        check_bounds(self, **{name: many for name in ("channels", "recurrent", "layers") if getattr(self, name) is not None})
        if self.kind == "conformer" and self.recurrent is not None:
            raise ValueError("'recurrent' is given, but a conformer has no recurrence; set 'channels' and 'layers'")
        if self.kind == "conformer" and self.shape.channels % HEAD:
            raise ValueError(f"'channels' is {self.shape.channels}; a conformer takes a multiple of {HEAD}")

    @property
    def shape(self) -> Shape:
        """As large as the size says, but for what is given."""
        told = SIZES[self.kind][self.size]
        return Shape(self.channels or told.channels, self.layers or told.layers, self.recurrent or told.recurrent)


@dataclass(frozen=True)
class AugmentConfig:
    """What each epoch changes in the features, so that no utterance is seen twice alike."""

    stretch: float = 0.1  # the most by which time is stretched or squeezed
    warp: float = 0.1  # the most by which frequencies are raised or lowered
    frequency_masks: int = 1  # SpecAugment (Park et al. 2019)
    frequency_width: int = 15  # bands, the most
    time_masks: int = 1
    time_width: int = 25  # frames, the most

    def __post_init__(self) -> None:
        any_number = (0, math.inf)
        check_bounds(self, stretch=(0, 0.9), warp=(0, 0.9), frequency_masks=any_number, frequency_width=any_number)
        check_bounds(self, time_masks=any_number, time_width=any_number)


@dataclass(frozen=True)
class TrainingConfig:
    """The optimiser and its schedule."""

    epochs: int = 60
    batch_seconds: float | None = None  # of audio in a batch, padding counted; else see `batch_of`
    learning_rate: float = 1.5e-3  # the highest; warmed up, then lowered along a cosine
    encoder_rate: float = 1.0  # the encoder's share of it, for an encoder that knows something already
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
    tensorboard: bool = False  # the figures of each epoch for TensorBoard too, in a folder of the run

    def __post_init__(self) -> None:
        check_bounds(self, epochs=(1, math.inf), learning_rate=(1e-8, 1))
        if self.batch_seconds is not None:
            check_bounds(self, batch_seconds=(0.1, math.inf))
        check_bounds(self, encoder_rate=(1e-6, 1), warmup=(0, 0.99), weight_decay=(0, 1), gradient_norm=(1e-6, math.inf))
        check_bounds(self, look_every=(1, math.inf), patience=(0, math.inf), average=(1, 50))
        check_bounds(self, checkpoint_seconds=(0, math.inf))

    def batch_of(self, seconds: float, utterances: int) -> float:
        """Seconds of audio in a batch, for so much training speech: a 200th of it or four utterances, from 4 to 16."""
        least, most = BATCH_SECONDS
        return self.batch_seconds or min(max(seconds / STEPS, UTTERANCES * seconds / utterances, least), most)
