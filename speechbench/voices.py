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
    samples = np.frombuffer(pcm, dtype=np.int16).astype(np.float32) / 32768.0
    starts = [sample for _, sample, _ in events]
    ends = [*starts[1:], samples.size]
    spoken = [
        (at, s / sampling_rate, e / sampling_rate, name.lstrip("',%=")) for (at, s, name), e in zip(events, ends, strict=True)
    ]
    spoken = [phoneme for phoneme in spoken if phoneme[2] > phoneme[1] and not phoneme[3].startswith("_")]
    times = [(round(start, 4), round(end, 4), name) for _, start, end, name in spoken]
    return Speech(samples, sampling_rate, _words(line.text, spoken), times)


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
