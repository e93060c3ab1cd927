"""Synthetic voices: espeak-ng from the wheel espeakng_loader, with word and phoneme times.

The audio depends on what a process has spoken before and, unless its seed is set, on the clock; so each batch of lines is
spoken in a fresh process of its own with a set seed (`espeak.py`): a batch gives the same bytes whoever asks, in any order.
"""

from __future__ import annotations

import importlib.util
import pickle
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from speechbench.audio import Samples
from speechbench.errors import SpeechbenchError

INSTALL = "pip install 'speechbench[voices]'"

Times = list[tuple[float, float, str]]  # start in s, end in s, word or phoneme

STOPS = "pbtdkg?"  # how the mnemonics of stops and affricates begin
ECHO_DB = -35.0  # under the line's peak: what is left of a pause where a voice has an echo; others are wholly silent
PAUSE_STEP, SHORTEST_PAUSE = 0.002, 0.006  # s


class Line(NamedTuple):
    """What to speak and how."""

    text: str
    voice: str  # accent and variant, for example "en-us+f3"
    rate: int  # words a minute
    pitch: int  # 0-100


class Speech(NamedTuple):
    """A spoken line; silences are the gaps between the times.

    Shape: samples (N,).
    """

    samples: Samples
    sampling_rate: int  # Hz
    words: Times
    phonemes: Times  # in espeak-ng's mnemonics, without stress marks


def installed() -> bool:
    """Whether espeak-ng is there."""
    return importlib.util.find_spec("espeakng_loader") is not None


def require() -> None:
    """See that espeak-ng is installed.

    Raises:
        SpeechbenchError: It is not.
    """
    if not installed():
        raise SpeechbenchError("the embedded voices need espeak-ng; " + INSTALL)


def speak(lines: Sequence[Line]) -> list[Speech]:
    """Speak a batch of lines in a fresh process; the same batch gives the same samples.

    Raises:
        SpeechbenchError: espeak-ng is not installed, knows no such voice, or died.
    """
    sampling_rate, batch = call("synthesize", [tuple(line) for line in lines])
    return [_speech(line, pcm, events, sampling_rate) for line, (pcm, events) in zip(lines, batch, strict=True)]


def call(function: str, *arguments: Any) -> Any:
    """What a function of `espeak.py` returns in a fresh process.

    Args:
        function: Its name.
        arguments: After the paths of the library and its data.

    Raises:
        SpeechbenchError: espeak-ng is not installed, knows no such voice, or died.
    """
    require()
    import espeakng_loader

    request = function, (espeakng_loader.get_library_path(), espeakng_loader.get_data_path(), *arguments)
    command = [sys.executable, "-I", "-S", str(Path(__file__).with_name("espeak.py"))]
    done = subprocess.run(command, input=pickle.dumps(request), capture_output=True, check=False)
    if done.returncode != 0:
        reason = (done.stderr.decode(errors="replace").strip().splitlines() or [f"exit {done.returncode}"])[-1]
        raise SpeechbenchError(f"espeak-ng cannot speak: {reason}; reinstall it with {INSTALL}")
    return pickle.loads(done.stdout)


def _speech(line: Line, pcm: bytes, events: list[tuple[int, int, str]], sampling_rate: int) -> Speech:
    """The times. espeak-ng tells when a phoneme begins to sound, and may pause before: a stop's pause is its closure, which
    belongs to the stop; any other pause is no one's.
    """
    samples = np.frombuffer(pcm, dtype=np.int16).astype(np.float32) / 32768.0
    names = [name.lstrip("',%=") for _, _, name in events]
    onsets = [sample for _, sample, _ in events]
    ends = _pause_starts(samples, onsets, round(PAUSE_STEP * sampling_rate))
    starts = [
        pause if name.startswith(tuple(STOPS)) and not before.startswith("_") else onset
        for before, name, onset, pause in zip(["_", *names], names, onsets, ends, strict=False)
    ]
    spoken = [
        (at, start / sampling_rate, end / sampling_rate, name)
        for (at, _, _), name, start, end in zip(events, names, starts, [*ends[1:], samples.size], strict=True)
    ]
    spoken = [phoneme for phoneme in spoken if phoneme[2] > phoneme[1] and not phoneme[3].startswith("_")]
    times = [(round(start, 4), round(end, 4), name) for _, start, end, name in spoken]
    return Speech(samples, sampling_rate, _words(line.text, spoken), times)


def _pause_starts(samples: Samples, onsets: Sequence[int], step: int) -> list[int]:
    """Where the pause before each onset begins, at the onset where there is none; of the phoneme before something is left."""
    is_silent = any(not samples[onset - step : onset].any() for onset in onsets[1:] if onset >= step)
    limit = 0.0 if is_silent else 10.0 ** (ECHO_DB / 20.0) * float(np.abs(samples).max(initial=0.0))
    starts = []
    for before, onset in zip([*onsets[:1], *onsets], onsets, strict=False):
        start = onset
        while start - 2 * step >= before and np.sqrt(np.mean(samples[start - step : start] ** 2)) <= limit:
            start -= step
        starts.append(start if onset - start >= SHORTEST_PAUSE / PAUSE_STEP * step else onset)
    return starts


def _words(text: str, spoken: list[tuple[int, float, float, str]]) -> Times:
    """The words' times. espeak-ng speaks some pairs ("on the") as one word; such words share its time by their letters."""
    together: list[tuple[list[str], list[tuple[float, float]]]] = []
    at = 0
    for word in text.split():
        at = text.index(word, at)
        times = [(start, end) for position, start, end, _ in spoken if at < position <= at + len(word)]
        if times or not together:
            together.append(([word], times))
        else:
            together[-1][0].append(word)
        at += len(word)
    words: Times = []
    for group, times in together:
        start, end = (times[0][0], times[-1][1]) if times else (0.0, 0.0)
        letters = np.cumsum([0, *map(len, group)])
        edges = start + (end - start) * letters / letters[-1]
        words += [(round(float(a), 4), round(float(b), 4), word) for a, b, word in zip(edges, edges[1:], group, strict=False)]
    return words
