"""Changes to features during training: time stretch and SpecAugment."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pipelines.ctc.config import AugmentConfig
from speechbench.torch_audio import torchaudio


def augment(features: Tensor, config: AugmentConfig) -> Tensor:
    """A changed copy of one utterance's features (T, F); T changes with the stretch. Chance comes from torch's generator.

    Source: Ko et al. 2015 (speed), here without change of pitch; Park et al. 2019 (SpecAugment).
    """
    if config.stretch > 0:
        factor = 1.0 + config.stretch * (2.0 * float(torch.rand(())) - 1.0)
        size = max(1, round(len(features) * factor))
        features = nn.functional.interpolate(features.T.unsqueeze(0), size=size, mode="linear")[0].T
    masked = features.T.unsqueeze(0).clone()  # (1, F, T); CMVN makes 0 the mean
    for _ in range(config.frequency_masks):
        masked = torchaudio.functional.mask_along_axis(masked, config.frequency_width, 0.0, 1)
    for _ in range(config.time_masks):
        masked = torchaudio.functional.mask_along_axis(masked, config.time_width, 0.0, 2, p=0.2)
    return masked[0].T
