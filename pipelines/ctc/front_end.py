"""What a network trained by CTC hears: log-mel energies with CMVN over the whole utterance, its silence too."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from speechbench.audio import Samples
from speechbench.features import cmvn, cmvns, frames_of, log_mel, log_mels


def front_end(bands: int) -> Callable[[Samples | Tensor], Tensor]:
    """The features of an utterance, (N,) -> (T, F)."""
    return lambda samples: cmvn(log_mel(samples, bands))


def batch_front_end(bands: int) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """The features of a batch, (B, N) and lengths (B,) in samples -> (B, T, F) and lengths (B,) in frames, on the CPU."""

    def features(samples: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        frames = torch.tensor([frames_of(length) for length in lengths.tolist()])
        return cmvns(log_mels(samples, lengths, bands), frames), frames

    return features
