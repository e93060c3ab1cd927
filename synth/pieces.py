"""Pieces of noise as they lie under the speech: read, freed of their offset, faded and laid in their places."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from speechbench import levels
from speechbench.audio import SAMPLING_RATE, Samples
from synth.noise import FADE, Piece
from synth.recordings import RECORDINGS, Recordings

OVERLAP = round(FADE * SAMPLING_RATE)
FADE_IN = np.sin(np.linspace(0.0, np.pi / 2.0, OVERLAP, dtype=np.float32))


def join(pieces: tuple[Piece, ...], samples: int, recordings: Recordings = RECORDINGS) -> Samples:
    """Read the pieces and lay them end to end.

    Each fades into the next along a quarter of a sine: the powers of two sounds that do not know each other then add
    up to a constant.

    Args:
        pieces: The noise.
        samples: How long the result is.
        recordings: What they are read with.

    Raises:
        AudioError: A piece that cannot be read.

    Shape:
        (samples,)
    """
    if len(pieces) == 1:
        return _read(pieces[0], samples, recordings)
    laid = np.zeros(samples, dtype=np.float32)
    position = 0
    before = 0  # samples of overlap with the piece before
    for number, piece in enumerate(pieces):
        last = number == len(pieces) - 1
        wanted = samples - position if last else min(round(piece.duration * SAMPLING_RATE), samples - position)
        if wanted <= 0:
            break
        block = _read(piece, wanted, recordings)
        after = 0 if last else OVERLAP
        block[:before] *= FADE_IN[: min(before, wanted)]
        if after:
            block[-after:] *= FADE_IN[::-1][-min(after, wanted) :]
        laid[position : position + wanted] += block
        position += wanted - after
        before = after
    return laid


def sounding(piece: Piece, start: int, samples: int, recordings: Recordings = RECORDINGS) -> Samples:
    """An event alone, faded in and out, cut off where `samples` end.

    Raises:
        AudioError: It cannot be read.

    Shape:
        (N,), N <= samples - start
    """
    block = _read(piece, min(round(piece.duration * SAMPLING_RATE), samples - start), recordings)
    fade = min(OVERLAP, block.size // 2)
    block[:fade] *= FADE_IN[:fade]
    block[block.size - fade :] *= FADE_IN[:fade][::-1]
    return block


def _read(piece: Piece, samples: int, recordings: Recordings) -> Samples:
    """A piece's audio without its mean: an offset is no sound, but would count in the level.

    Its last value is held for the few samples that rounding or the speech's end may ask beyond it.
    """
    block = recordings.read(Path(piece.audio_filepath), piece.offset, piece.duration)[:samples]
    block = levels.without_offset(block)
    return block if block.size == samples else np.pad(block, (0, samples - block.size), mode="edge")
