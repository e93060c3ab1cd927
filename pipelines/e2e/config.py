"""The end-to-end network's config."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from pipelines.ctc.config import AugmentConfig, EncoderConfig, TrainingConfig
from pipelines.words import LanguageModelConfig
from speechbench.config import check_bounds


@dataclass(frozen=True)
class E2eConfig:
    """`train --mode e2e`."""

    seed: int = 0
    pieces: int = 0  # times that neighbouring characters must occur in the texts to become one token; 0: characters alone
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    language_model: LanguageModelConfig = field(default_factory=LanguageModelConfig)
    beam: float = 11.0  # of the search, in scaled log-likelihood

    def __post_init__(self) -> None:
        check_bounds(self, beam=(1, math.inf), pieces=(0, math.inf))
