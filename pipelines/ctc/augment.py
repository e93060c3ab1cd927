"""Changes to features during training: tempo, vocal tract and SpecAugment."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pipelines.ctc.config import AugmentConfig
from speechbench.features import band_frequencies, band_places
from speechbench.torch_audio import torchaudio


def augment(features: Tensor, config: AugmentConfig) -> Tensor:
    """A changed copy of one utterance's log-mel features (T, F); T changes with the stretch. Chance is torch's.

    Source: Ko et al. 2015 (speed), here its tempo and its frequencies apart; Jaitly and Hinton 2013 (frequencies); Park et
    al. 2019 (SpecAugment).
    """
    changed = features
    if config.stretch > 0:
        size = max(1, round(len(features) * _factor(config.stretch)))
        changed = nn.functional.interpolate(changed.T.unsqueeze(0), size=size, mode="linear")[0].T
    if config.warp > 0:
        changed = warped(changed, _factor(config.warp))
    masked = changed.T.unsqueeze(0).clone()  # (1, F, T); CMVN makes 0 the mean
    for _ in range(config.frequency_masks):
        masked = torchaudio.functional.mask_along_axis(masked, config.frequency_width, 0.0, 1)
    for _ in range(config.time_masks):
        masked = torchaudio.functional.mask_along_axis(masked, config.time_width, 0.0, 2, p=0.2)
    return masked[0].T


def warped(features: Tensor, factor: float) -> Tensor:
    """The log-mel features (T, F) of a voice with all frequencies times the factor, as of a shorter vocal tract above 1."""
    bands = features.shape[1]
    places = band_places(band_frequencies(bands) / factor, bands).clamp(0, bands - 1).to(features.device)
    below = places.long().clamp_max(max(0, bands - 2))
    share = places - below
    return features[:, below] * (1 - share) + features[:, (below + 1).clamp_max(bands - 1)] * share


def _factor(most: float) -> float:
    return 1.0 + most * (2.0 * float(torch.rand(())) - 1.0)
