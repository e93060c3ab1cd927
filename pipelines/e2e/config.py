"""The end-to-end network's config."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

from pipelines.ctc.config import SILENCE, SPEAKER_FRAMES, AugmentConfig, EncoderConfig, TrainingConfig
from pipelines.words import LanguageModelConfig
from speechbench.config import check_bounds


@dataclass(frozen=True)
class HeadsConfig:
    """Further tasks for the encoder: the weight of each one's loss beside the text's, which counts 1; 0 is off."""

    phonemes: float = 0.0  # of the text, in their order
    speaker: float = 0.0  # who of the training set's
    condition: float = 0.0  # of the noise; several may hold at once
    snr: float = 0.0
    lexicon: Path | None = None  # pronunciations that go before cmudict's

    def __post_init__(self) -> None:
        any_weight = (0, math.inf)
        check_bounds(self, phonemes=any_weight, speaker=any_weight, condition=any_weight, snr=any_weight)

    @property
    def any(self) -> bool:
        """Whether one is on."""
        return max(self.phonemes, self.speaker, self.condition, self.snr) > 0


@dataclass(frozen=True)
class E2eConfig:
    """`train --mode e2e`."""

    seed: int = 0
    pieces: int = 0  # times that neighbouring characters must occur in the texts to become one token; 0: characters alone
    silence: float = SILENCE  # s before and behind the speech that the network hears
    speaker_frames: float = SPEAKER_FRAMES  # that all of its speaker's speech counts for beside an utterance that is normalised
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    heads: HeadsConfig = field(default_factory=HeadsConfig)
    language_model: LanguageModelConfig = field(default_factory=LanguageModelConfig)
    beam: float = 11.0  # of the search, in scaled log-likelihood

    def __post_init__(self) -> None:
        check_bounds(self, beam=(1, math.inf), pieces=(0, math.inf), silence=(0, math.inf), speaker_frames=(0, math.inf))
