"""Fingerprints of noise: find the stretch that two recordings share, whatever was done to either since.

How a recording's spectrum moves tells it from every other, even in stationary noise: the power in a band goes up and down
by chance, and no second recording has the same chances. A fingerprint keeps only the signs of these movements, so that
gain, sampling rate and coding change few of its bits. It finds shared audio. Two stretches of one recording that share
no moment are as different to it as two recordings.

Measured on the 162 recordings of ESC-10, Blanket, TORCS, air conditioners, streets and a car game that are long enough:
a stretch of each was coded as WAV, FLAC, Ogg Vorbis or MP3 at 8 to 48 kHz with 0 to -20 dB, 8 ways. Of 3 s 1,248 of
1,280 were found, of 5 s 1,122 of 1,136, none in a wrong recording. 28 and all of the 14 that were missed come from
recordings that are digitally silent for over a tenth of the time. None of 12,990 pairs of different sources, nor of
18,336 pairs of drawn drives, half of them the same drive with another seed, was taken for shared.

After coding a median of 7 % of the bits differ, in 95 % of the stretches 12 %; the nearest stretches of different
sources differ by 41 % or more (median 45 %). The constants were chosen on these recordings, so that others may do
somewhat worse. What a coder leaves out is lost: noise 13 dB under a steady hum was found in 23 of 24 pieces after Ogg
Vorbis, noise 19 dB under it in 11.

Source: J. Haitsma, T. Kalker, "A highly robust audio fingerprinting system", ISMIR 2002: signs of the differences of band
powers, along frequency and time; exact words looked up, bit errors counted. Ours differs in its bands, and compares spans
that follow each other instead of frames: a cut between two steps then changes less.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechbench.audio import Samples
from synth.recordings import RECORDINGS

Words = NDArray[np.uint32]
Places = NDArray[np.int64]

SAMPLING_RATE = 8_000  # Hz: the lowest that recordings come in
WINDOW, STEP = 512, 128  # samples: 64 ms, every 16 ms
SPAN = 12  # steps, over which the power is summed: 192 ms
BITS = 32
LOWEST, HIGHEST = 120.0, 3300.0  # Hz; telephone speech and music coders keep these
SILENCE = 1e-9  # power in a band and span, below what 16 bits leave of any sound: digital silence

STRETCH = 150  # steps that are compared: with the spans at its ends 2.8 s
EDGE = 30  # steps, about half a second: by so many the ends of what is shared are found
MOST_ERRORS = 0.25  # share of a stretch's bits that may differ: between the 12 % of one sound and the 41 % of two
QUERY_EVERY = 2  # steps; words overlap, so that those between say little new
DOUBTFUL = 3  # of a word's bits are tried both ways: those whose difference is nearest to 0
MOST_ALIKE = 4  # places of one word in one recording that are looked up: a loop says the same again and again
PLACES_AT_ONCE = 20_000  # that are compared bit by bit; 50 MB
ONES = np.array([number.bit_count() for number in range(1 << 16)], np.uint8)  # in each number of 16 bits


@dataclass(frozen=True)
class Fingerprint:
    """What is kept of a recording; STEP / SAMPLING_RATE seconds a word."""

    words: Words  # (T,)
    doubtful: NDArray[np.uint8]  # (T, DOUBTFUL), places of the bits that are nearest to tipping over
    sounding: NDArray[np.bool_]  # (T,), false where a band is digitally silent

    @classmethod
    def of_nothing(cls) -> Fingerprint:
        """Without words, of audio that is too short."""
        return cls(np.zeros(0, np.uint32), np.zeros((0, DOUBTFUL), np.uint8), np.zeros(0, np.bool_))


@dataclass(frozen=True)
class Match:
    """A stretch that two recordings share; times in seconds from where each fingerprint starts."""

    first: int  # place in the list of first recordings
    second: int
    first_start: float
    second_start: float
    seconds: float
    error_share: float  # of the bits


def read(path: Path, offset: float, duration: float) -> Fingerprint:
    """The fingerprint of a stretch of a file.

    Raises:
        AudioError: The audio cannot be used.
    """
    return of(RECORDINGS.look(path, offset, duration, SAMPLING_RATE))


def of(samples: Samples) -> Fingerprint:
    """The fingerprint of audio at `SAMPLING_RATE`; it has no words where that is shorter than two spans.

    Shape:
        (N,)
    """
    steps = (samples.size - WINDOW) // STEP + 1
    if steps <= 2 * SPAN:
        return Fingerprint.of_nothing()
    bands = np.concatenate([_band_powers(samples, start, min(start + 4096, steps)) for start in range(0, steps, 4096)])
    sums = np.cumsum(np.vstack([np.zeros((1, BITS + 1)), bands]), axis=0)
    spans = sums[SPAN:] - sums[:-SPAN]
    log_power = np.log(np.maximum(spans, SILENCE))
    movement = log_power[SPAN:] - log_power[:-SPAN]
    difference = np.diff(movement, axis=1)
    words = (difference > 0) @ (np.uint32(1) << np.arange(BITS, dtype=np.uint32))
    doubtful = np.argpartition(np.abs(difference), DOUBTFUL, axis=1)[:, :DOUBTFUL].astype(np.uint8)
    loud = (spans > SILENCE).all(axis=1)
    return Fingerprint(words.astype(np.uint32), doubtful, loud[SPAN:] & loud[:-SPAN])


def _band_powers(samples: Samples, start: int, end: int) -> NDArray[np.float64]:
    """Power in BITS + 1 bands, evenly spaced on a logarithmic scale, at steps `start` to `end`.

    Shape:
        (end - start, BITS + 1)
    """
    from scipy.fft import rfft  # takes longer to import than all else

    frames = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[start * STEP : (end - 1) * STEP + 1 : STEP]
    spectrum = rfft(frames * np.hanning(WINDOW + 1)[:-1].astype(np.float32), axis=1)
    edges = np.rint(np.geomspace(LOWEST, HIGHEST, BITS + 2) * WINDOW / SAMPLING_RATE).astype(int)
    for band in range(1, edges.size):
        edges[band] = max(edges[band], edges[band - 1] + 1)  # the lowest bands are narrower than a bin
    power = np.square(spectrum.real) + np.square(spectrum.imag)
    return np.add.reduceat(power[:, : edges[-1]], edges[:-1], axis=1).astype(np.float64)


def matches(first: Sequence[Fingerprint], second: Sequence[Fingerprint]) -> list[Match]:
    """The pairs of a first and a second recording that share a stretch of about 3 s or more, each with its longest.

    Words that are equal, or would be if a doubtful bit tipped over, say where to look; there the bits are counted.
    """
    one, two = _Shelf.of(first), _Shelf.of(second)
    best: dict[tuple[int, int], Match] = {}
    known, query = _look_up(one, two)
    for begin in range(0, known.size, PLACES_AT_ONCE):
        some = slice(begin, begin + PLACES_AT_ONCE)
        for place, other in np.transpose(_agreeing(one, two, known[some], query[some])):
            match = _longest(one, two, int(place), int(other))
            pair = match.first, match.second
            if pair not in best or match.seconds > best[pair].seconds:
                best[pair] = match
    return [best[pair] for pair in sorted(best)]


@dataclass(frozen=True)
class _Shelf:
    """Fingerprints end to end; a place is a number from 0 to T - 1."""

    words: Words  # (T,)
    doubtful: NDArray[np.uint8]  # (T, DOUBTFUL)
    sounding: NDArray[np.bool_]  # (T,)
    recording: Places  # (T,), which one a word is of
    start: Places  # of each recording
    end: Places

    @classmethod
    def of(cls, fingerprints: Sequence[Fingerprint]) -> _Shelf:
        none = Fingerprint.of_nothing()
        sizes = np.array([one.words.size for one in fingerprints], np.int64)
        end = np.cumsum(sizes)
        words, doubtful, sounding = (
            np.concatenate([getattr(one, name) for one in (none, *fingerprints)]) for name in ("words", "doubtful", "sounding")
        )
        return cls(words, doubtful, sounding, np.repeat(np.arange(sizes.size), sizes), end - sizes, end)


def _look_up(one: _Shelf, two: _Shelf) -> tuple[Places, Places]:
    """Places whose words are equal up to the doubtful bits, in both shelves."""
    known = np.flatnonzero(one.sounding)
    known = known[np.lexsort((known, one.recording[known], one.words[known]))]
    known = known[_rank(one.words[known], one.recording[known]) < MOST_ALIKE]
    sorted_words = one.words[known]
    query = np.flatnonzero(two.sounding)[::QUERY_EVERY]
    variants = [two.words[query]]
    for bit in two.doubtful[query].T:
        variants += [variant ^ (np.uint32(1) << bit.astype(np.uint32)) for variant in variants]
    low, high = (np.searchsorted(sorted_words, np.concatenate(variants), side=side) for side in ("left", "right"))
    count = high - low
    where = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + np.repeat(low, count)
    return known[where], np.repeat(np.tile(query, len(variants)), count)


def _rank(*keys: NDArray[Any]) -> Places:
    """How many equal ones stand before each of some sorted items."""
    if not keys[0].size:
        return np.zeros(0, np.int64)
    new = np.concatenate([[True], np.any([key[1:] != key[:-1] for key in keys], axis=0)])
    starts = np.flatnonzero(new)
    return np.arange(new.size) - np.repeat(starts, np.diff(np.append(starts, new.size)))


def _agreeing(one: _Shelf, two: _Shelf, place: Places, other: Places) -> tuple[Places, Places]:
    """Of places whose words are equal, the beginnings of stretches around them that agree."""
    first, second = one.recording[place], two.recording[other]
    back = np.minimum(place - one.start[first], other - two.start[second])  # steps to the nearer beginning, and end
    left = np.minimum(one.end[first] - place, two.end[second] - other)
    move = np.maximum(np.minimum(-STRETCH // 2, left - STRETCH), -back)  # the word in the middle, unless an end is near
    long_enough = left - move >= STRETCH
    place, other = (place + move)[long_enough], (other + move)[long_enough]
    # Neighbours on one line of equal distance hold nearly the same bits: one of half a stretch is looked at.
    line = np.column_stack([place - other, place // (STRETCH // 2)])
    _, once = np.unique(line, axis=0, return_index=True)
    place, other = place[once], other[once]
    steps = np.arange(STRETCH)
    good = _errors(one, two, place[:, None] + steps, other[:, None] + steps).mean(axis=1) <= MOST_ERRORS
    return place[good], other[good]


def _errors(one: _Shelf, two: _Shelf, place: Places, other: Places) -> NDArray[np.float64]:
    """The share of bits that differ at some places; half of them, as by chance, where either is silent.

    Shape:
        (..., N) -> (..., N)
    """
    differ = one.words[place] ^ two.words[other]
    share = (ONES[differ & 0xFFFF] + ONES[differ >> 16]) / BITS
    return np.where(one.sounding[place] & two.sounding[other], share, 0.5)


def _longest(one: _Shelf, two: _Shelf, place: int, other: int) -> Match:
    """The whole stretch that is shared around the beginning of one that agrees."""
    first, second = int(one.recording[place]), int(two.recording[other])
    back = int(min(place - one.start[first], other - two.start[second]))
    steps = np.arange(-back, min(one.end[first] - place, two.end[second] - other))
    errors = _errors(one, two, place + steps, other + steps)
    means = _running_mean(errors, STRETCH)
    apart = np.flatnonzero(means > MOST_ERRORS)
    begin = int(apart[apart < back].max(initial=-1)) + 1
    end = int(apart[apart > back].min(initial=means.size)) + STRETCH - 1
    # Stretches that agree reach a little over the ends of what is shared: those are found by shorter ones.
    agree = np.flatnonzero(_running_mean(errors[begin:end], EDGE) <= MOST_ERRORS)
    begin, end = begin + int(agree[0]), begin + int(agree[-1]) + EDGE
    seconds = ((end - begin + 2 * SPAN - 2) * STEP + WINDOW) / SAMPLING_RATE
    starts = [
        (at - back + begin - start) * STEP / SAMPLING_RATE
        for at, start in ((place, one.start[first]), (other, two.start[second]))
    ]
    return Match(first, second, float(starts[0]), float(starts[1]), seconds, float(errors[begin:end].mean()))


def _running_mean(values: NDArray[np.float64], steps: int) -> NDArray[np.float64]:
    """Of so many values from each on.

    Shape:
        (N,) -> (N - steps + 1,)
    """
    sums = np.concatenate([[0.0], np.cumsum(values)])
    return np.asarray((sums[steps:] - sums[:-steps]) / steps)
