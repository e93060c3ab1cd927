"""Log-mel and MFCC features, deltas and CMVN.

Frames are 25 ms long and 10 ms apart; frame t is centred on sample 160 t. B utterances, F features, T frames, N samples.
"""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from speechbench.audio import SAMPLING_RATE, Samples
from speechbench.torch_audio import torchaudio

FRAME_SHIFT = 0.010  # s
FRAME_LENGTH = 0.025  # s
FRAME_SAMPLES = round(FRAME_SHIFT * SAMPLING_RATE)
WINDOW = 512  # samples of the Fourier transform
LOWEST, HIGHEST = 20.0, 7600.0  # Hz, edges of the outermost mel bands
FLOOR = 1e-6  # added to mel energies before the logarithm: about the energy of 16-bit rounding noise


@cache
def _window(device: torch.device) -> Tensor:
    return torch.hann_window(round(FRAME_LENGTH * SAMPLING_RATE), device=device)


@cache
def _filters(bands: int, device: torch.device) -> Tensor:
    """The weights of frequencies in mel bands, (WINDOW // 2 + 1, bands)."""
    frequencies = WINDOW // 2 + 1
    weights: Tensor = torchaudio.functional.melscale_fbanks(frequencies, LOWEST, HIGHEST, bands, SAMPLING_RATE, mel_scale="htk")
    return weights.to(device)


@cache
def _dct(coefficients: int, bands: int) -> Tensor:
    matrix: Tensor = torchaudio.functional.create_dct(coefficients, bands, norm="ortho")
    return matrix


def frames_of(samples: int) -> int:
    """T, the frames of so many samples."""
    return samples // FRAME_SAMPLES + 1


def log_mel(samples: Samples | Tensor, bands: int = 80) -> Tensor:
    """The natural logarithm of mel-band energies; computed where the samples are.

    Shape:
        (N,) -> (T, bands), T = N // 160 + 1.
    """
    given = torch.from_numpy(np.array(samples, np.float32)) if isinstance(samples, np.ndarray) else samples
    return log_mels(given.unsqueeze(0), torch.tensor([len(given)]), bands)[0]


def log_mels(samples: Tensor, lengths: Tensor, bands: int = 80) -> Tensor:
    """As `log_mel` of each utterance of a batch; what lies behind an utterance's frames means nothing.

    Args:
        samples: Zero behind each utterance.
        lengths: Of the utterances in samples, at least 1.
        bands: F.

    Shape:
        (B, N), (B,) -> (B, T, F), T of the longest
    """
    window = _window(samples.device)
    spectra = torch.stft(  # (B, WINDOW // 2 + 1, T); `_mirrored` centres, for each utterance of a batch
        _mirrored(samples, lengths), WINDOW, FRAME_SAMPLES, len(window), window, center=False, return_complex=True
    )
    power = spectra.real.square() + spectra.imag.square()  # `abs` takes as long as the transform
    energies: Tensor = power.transpose(1, 2)[:, : frames_of(samples.shape[1])] @ _filters(bands, samples.device)
    return (energies + FLOOR).log()


def _mirrored(samples: Tensor, lengths: Tensor) -> Tensor:
    """With half a window before and behind each utterance, which mirrors its edge.

    For this half a window is needed: a shorter recording gets silence behind it.
    """
    half = WINDOW // 2
    padded = torch.nn.functional.pad(samples, (half, half + max(0, half + 1 - samples.shape[1])))
    ends = lengths.to(samples.device, non_blocking=True).clamp_min(half + 1).unsqueeze(1) + half
    behind = torch.arange(half, device=samples.device)
    padded[:, :half] = padded[:, half + 1 : 2 * half + 1].flip(1)
    return padded.scatter(1, ends + behind, padded.gather(1, ends - 2 - behind))


def band_frequencies(bands: int) -> Tensor:
    """The centre of each mel band in Hz, (bands,)."""
    mels = torch.linspace(_mels(torch.tensor(LOWEST)).item(), _mels(torch.tensor(HIGHEST)).item(), bands + 2)[1:-1]
    hertz: Tensor = 700.0 * ((mels / 2595.0 * math.log(10.0)).exp() - 1.0)
    return hertz


def band_places(frequencies: Tensor, bands: int) -> Tensor:
    """Which mel band has its centre at a frequency in Hz, from 0, with fractions; the inverse of `band_frequencies`."""
    low, high = _mels(torch.tensor([LOWEST, HIGHEST])).tolist()
    places: Tensor = (_mels(frequencies) - low) / (high - low) * (bands + 1) - 1.0
    return places


def _mels(frequencies: Tensor) -> Tensor:
    return 2595.0 * (1.0 + frequencies / 700.0).log10()


def mfcc(samples: Samples, coefficients: int = 13, bands: int = 40) -> Tensor:
    """Mel-frequency cepstral coefficients, the zeroth included.

    Source: Davis and Mermelstein 1980; orthonormal DCT-II of the log-mel energies.

    Shape:
        (N,) -> (T, coefficients)
    """
    return cepstra(log_mel(samples, bands), coefficients)


def cepstra(log_mel_energies: Tensor, coefficients: int) -> Tensor:
    """The MFCC of log-mel energies.

    Shape:
        (T, bands) -> (T, coefficients)
    """
    return log_mel_energies @ _dct(coefficients, log_mel_energies.shape[1])


def with_deltas(features: Tensor) -> Tensor:
    """Features, their first and their second time derivatives (regression over 5 frames).

    Shape:
        (T, F) -> (T, 3 F)
    """
    first = _slopes(features)
    return torch.cat([features, first, _slopes(first)], dim=1)


def _slopes(values: Tensor) -> Tensor:
    """The slope of the line through each frame and two on either side, edges repeated; torchaudio's take four times as long."""
    padded = torch.cat([values[:1], values[:1], values, values[-1:], values[-1:]])
    near, far = padded[3:-1] - padded[1:-3], padded[4:] - padded[:-4]
    return (near + 2.0 * far) / 10.0


class Moments(NamedTuple):
    """Mean and variance of features over many frames, each (F,)."""

    mean: Tensor
    variance: Tensor


def cmvn(features: Tensor, speaker: Moments | None = None, weight: float = 0.0) -> Tensor:
    """Cepstral (or mel) mean and variance normalisation over the utterance.

    Args:
        features: Of the utterance.
        speaker: Of all that its speaker says: an utterance of a word or two says more of the word than of the speaker.
        weight: How many frames these count for beside the utterance's own.

    Shape:
        (T, F) -> (T, F)

    Source: means drawn towards what is known before, as in Gauvain and Lee 1994.
    """
    mean, deviation = features.mean(dim=0), features.std(dim=0, correction=0)
    if speaker is not None:
        share = weight / (weight + len(features))
        apart = speaker.mean - mean
        variance = torch.lerp(deviation.square(), speaker.variance, share) + share * (1.0 - share) * apart.square()
        mean, deviation = mean + share * apart, variance.sqrt()
    return (features - mean) / deviation.clamp_min(1e-3)


def cmvns(features: Tensor, lengths: Tensor, speakers: Moments | None = None, weights: Tensor | None = None) -> Tensor:
    """As `cmvn` of each utterance of a batch; zero behind them.

    Args:
        features: Of the utterances.
        lengths: Their frames.
        speakers: Moments of each utterance's speaker, (B, F).
        weights: With them, how many frames these count for, (B,): 0 where no speaker is known.

    Shape:
        (B, T, F), (B,) -> (B, T, F)
    """
    count = lengths.to(features.device, non_blocking=True)[:, None, None]
    heard = torch.arange(features.shape[1], device=features.device)[None, :, None] < count
    mean = (features * heard).sum(1, keepdim=True) / count
    centred = (features - mean) * heard
    variance = centred.square().sum(1, keepdim=True) / count
    if speakers is not None and weights is not None:
        share = weights[:, None, None] / (weights[:, None, None] + count)
        apart = speakers.mean.unsqueeze(1) - mean
        variance = torch.lerp(variance, speakers.variance.unsqueeze(1), share) + share * (1.0 - share) * apart.square()
        centred = (centred - share * apart) * heard
    return centred / variance.sqrt().clamp_min(1e-3)
