"""Strings of digits, joined from recordings of single ones, so that it is known when each is said."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from speechbench import audio, manifest
from speechbench.audio import Samples
from speechbench.manifest import Manifest, Utterance
from speechbench.seeds import generator_of

DIGITS = (3, 7)  # in a string
PAUSE = (0.0, 0.2)  # s, between digits
EDGE = (0.1, 0.3)  # s, before the first and after the last
LEVEL_DBFS = -28.0  # RMS of each digit: some recordings are at full scale, some 20 dB lower
NOISE_DBFS = -68.0  # of the pauses; white
QUIET_DB = -40.0  # under a digit's loudest frame: what is as quiet at its ends is silence that was not trimmed
FRAME = 80  # samples, 5 ms


def join_digits(whole: Path, out: Path) -> Manifest:
    """Strings of one speaker each, every recording in one of them; written into a folder."""
    read = manifest.read(whole)
    made = []
    for speaker in sorted({utterance.speaker or "" for utterance in read}):
        rng = generator_of(0, "digit strings", speaker)
        digits = read.where(f"speaker={speaker}").utterances
        shuffled = [digits[number] for number in rng.permutation(len(digits))]
        made += [
            _join(out / "audio" / f"{speaker}-{number:03d}.flac", group, rng)
            for number, group in enumerate(_groups(shuffled, rng))
        ]
    return Manifest(tuple(made))


def _groups(digits: list[Utterance], rng: np.random.Generator) -> Iterator[list[Utterance]]:
    start = 0
    while start < len(digits):
        end = start + int(rng.integers(*DIGITS, endpoint=True))
        yield digits[start:end]
        start = end


def _join(path: Path, digits: list[Utterance], rng: np.random.Generator) -> Utterance:
    pieces = [_pause(EDGE, rng)]
    words: list[list[float | str]] = []
    for number, digit in enumerate(digits):
        pieces += [_pause(PAUSE, rng)] if number else []
        start = sum(map(len, pieces)) / audio.SAMPLING_RATE
        pieces.append(_trimmed(digit.samples()))
        end = sum(map(len, pieces)) / audio.SAMPLING_RATE
        words.append([round(start, 4), round(end, 4), digit.text or ""])
    samples = np.concatenate([*pieces, _pause(EDGE, rng)])
    audio.write(path, samples)
    return Utterance(
        id=path.stem,
        audio_filepath=path.absolute(),
        duration=len(samples) / audio.SAMPLING_RATE,
        sampling_rate=audio.SAMPLING_RATE,
        text=" ".join(digit.text or "" for digit in digits),
        speaker=digits[0].speaker,
        extra={"alignments": {"words": words}},
    )


def _trimmed(samples: Samples) -> Samples:
    """A digit without silence at its ends, at the level of all: (N,) -> (N',)."""
    frames = samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME)
    energies = np.mean(frames**2, axis=1)
    loud = np.flatnonzero(energies > energies.max() * 10.0 ** (QUIET_DB / 10.0))
    kept = samples[loud[0] * FRAME : (loud[-1] + 1) * FRAME]
    return np.asarray(kept * (10.0 ** (LEVEL_DBFS / 20.0) / np.sqrt(np.mean(kept**2))), dtype=np.float32)


def _pause(seconds: tuple[float, float], rng: np.random.Generator) -> Samples:
    length = round(rng.uniform(*seconds) * audio.SAMPLING_RATE)
    return (10.0 ** (NOISE_DBFS / 20.0) * rng.standard_normal(length)).astype(np.float32)
