"""Boundaries between phonemes, set more exactly than the frames that found them.

A frame sees 25 ms. Where a hiss meets a vowel, or sound meets silence, the frames that see both look like the louder one, so
that the path changes up to half a frame late or early, always to the same side. So each boundary goes to where the sound
changes most in a finer spectrum, not farther than a frame can be wrong.

A stop begins with its closure, which falls silent, and changes more where it bursts: behind another sound it begins at the
largest fall. The path often gives much of the closure to the sound before.

Source: Kim and Conkie 2002, "Automatic segmentation combining an HMM-based approach and spectral boundary correction".
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray

from speechbench.audio import SAMPLING_RATE, Samples
from speechbench.features import FRAME_LENGTH, FRAME_SHIFT
from speechbench.lexicon import STOPS
from speechbench.recognizer import Hypothesis, Timed
from speechbench.torch_audio import torchaudio

STEP = 0.002  # s, between two places where a boundary may be
WINDOW = 0.01  # s, of the finer spectrum: a period of a low voice
SIDE = 0.01  # s, on either side of a boundary that are compared
REACH = (FRAME_LENGTH + FRAME_SHIFT) / 2  # s: half of what a frame sees, and half a step between frames
CLOSURE = 0.04  # s: how far a closure reaches back into the sound before it
AROUND = CLOSURE + SIDE + WINDOW  # s, of audio that a boundary needs on either side
BANDS = 24
FLOOR = 1e-7  # energy of a band far under any recording's noise, so that digital silence is no farther from sound than that is
PULL = 0.5  # change of a band's log energy that outweighs the whole reach: where nothing changes much, the path is right


def refine(hypothesis: Hypothesis, samples: Samples) -> Hypothesis:
    """The hypothesis with its words' and phonemes' times set to where the sound changes.

    Args:
        hypothesis: With the times of a path through HMM states.
        samples: What it was heard in, (N,).
    """
    timed = (*(hypothesis.words or ()), *(hypothesis.phonemes or ()))
    times = sorted({time for one in timed for time in (one.start, one.end)})
    if not times:
        return hypothesis
    sounding = {one.end for one in hypothesis.phonemes or ()}
    closing = {one.start for one in hypothesis.phonemes or () if one.text in STOPS} & sounding
    # The silence before and behind the speech has no boundaries.
    first = max(0, round((times[0] - AROUND) / STEP))
    last = round((times[-1] + AROUND) / STEP)
    start, step = first * STEP, round(STEP * SAMPLING_RATE)
    spectrum = _spectrum(samples[first * step : last * step])
    found = _moved([time - start for time in times], [time in closing for time in times], spectrum)
    moved = {time: round(start + place, 3) for time, place in zip(times, found, strict=True)}

    def at(tier: tuple[Timed, ...] | None) -> tuple[Timed, ...] | None:
        return tier and tuple(replace(one, start=moved[one.start], end=moved[one.end]) for one in tier)

    return replace(hypothesis, words=at(hypothesis.words), phonemes=at(hypothesis.phonemes))


def _moved(times: Sequence[float], closing: Sequence[bool], spectrum: NDArray[np.float64]) -> list[float]:
    """The times after they moved, in the same order: none passes the middle between two.

    Args:
        times: In s, ascending.
        closing: Which of them are starts of stops behind another sound.
        spectrum: A row each `STEP`, (T, bands).
    """
    sums = np.concatenate([np.zeros((1, spectrum.shape[1])), np.cumsum(spectrum, axis=0)])
    side = round(SIDE / STEP)
    middles = [-np.inf, *((a + b) / 2 for a, b in itertools.pairwise(times)), np.inf]
    moved = []
    for time, closes, low, high in zip(times, closing, middles, middles[1:], strict=False):
        earliest = max(side, round((time - (CLOSURE if closes else REACH)) / STEP))
        places = np.arange(earliest, min(len(spectrum) - side, round((time + REACH) / STEP)) + 1)
        places = places[(places * STEP > low) & (places * STEP < high)]
        if places.size == 0:
            moved.append(time)
            continue
        changes = (sums[places + side] - 2 * sums[places] + sums[places - side]) / side
        if closes:
            changes = np.minimum(changes, 0.0)
        gains = np.sqrt(np.mean(changes**2, axis=1)) - PULL * ((places * STEP - time) / REACH) ** 2
        moved.append(float(places[gains.argmax()] * STEP))
    return moved


def _spectrum(samples: Samples) -> NDArray[np.float64]:
    """Log energies of mel bands; row t is centred half a step behind t times `STEP`, so that a boundary lies between rows."""
    half_step = round(STEP / 2 * SAMPLING_RATE)
    padded = np.pad(samples, (0, max(0, SAMPLING_RATE // 50 - len(samples))))[half_step:].astype(np.float32)
    with torch.no_grad():
        energies: NDArray[np.float32] = _mel()(torch.from_numpy(padded)).numpy()
    return np.asarray(np.log(energies.T.astype(np.float64) + FLOOR))


@cache
def _mel() -> torch.nn.Module:
    transform: torch.nn.Module = torchaudio.transforms.MelSpectrogram(
        SAMPLING_RATE,
        n_fft=256,
        win_length=round(WINDOW * SAMPLING_RATE),
        hop_length=round(STEP * SAMPLING_RATE),
        f_min=20.0,
        f_max=7600.0,
        n_mels=BANDS,
        mel_scale="htk",
    )
    return transform
