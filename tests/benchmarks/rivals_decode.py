"""Decoding with Debian's pocketsphinx, on one core, with a model of SphinxTrain or its own of American English."""

from __future__ import annotations

import re
import resource
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rivals_input import Audio

from speechbench.errors import SpeechbenchError

EN_US = Path("/usr/share/pocketsphinx/model/en-us/en-us")


@dataclass
class Times:
    """Seconds that a block took with the programs that it started."""

    wall: float = 0.0
    cpu: float = 0.0


@contextmanager
def timing() -> Iterator[Times]:
    """Measure child processes that end within the block."""
    times, start, before = Times(), time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    yield times
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    times.wall = time.monotonic() - start
    times.cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@dataclass(frozen=True)
class Search:
    """What is tuned on dev."""

    language_weight: float = 6.5
    insertion: float = 0.65  # word insertion penalty, a factor


def decode(model: Path, language: Path, dictionary: Path, audio: Audio, search: Search, out: Path) -> dict[str, str]:
    """Hypotheses by utterance id.

    Args:
        model: Acoustic model, with feat.params inside.
        language: An ARPA n-gram.
        dictionary: Folder with dictionary and fillers.
        audio: What to decode.
        search: Weights.
        out: File of pocketsphinx's own for the hypotheses.

    Raises:
        SpeechbenchError: It failed, or left utterances out.
    """
    what = ("-hmm", model, "-lm", language, "-dict", dictionary / "dictionary", "-fdict", dictionary / "fillers")
    data = ("-ctl", audio.control, "-cepdir", audio.folder, "-cepext", ".raw", "-adcin", "yes", "-adchdr", "0")
    weights = ("-lw", search.language_weight, "-wip", search.insertion)
    command = ["pocketsphinx_batch", *what, *data, *weights, "-hyp", out]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, errors="replace")
    log = out.with_suffix(".log")
    log.write_text(done.stderr)
    if done.returncode:
        raise SpeechbenchError(f"pocketsphinx_batch failed with status {done.returncode}; its log is {log}")
    found = dict(parse(line) for line in out.read_text().splitlines())
    if len(found) != len(audio.ids):
        raise SpeechbenchError(f"{out}: {len(found)} hypotheses for {len(audio.ids)} utterances; the log is {log}")
    return {audio.ids[number]: text for number, text in found.items()}


def parse(line: str) -> tuple[int, str]:
    """Read a line such as "a cup of tea (17 -12345)", where variants of words are marked as "a(2)"."""
    text, number = re.fullmatch(r"(.*?)\s*\((\d+)(?: -?\d+)?\)", line).groups()  # type: ignore[union-attr]
    return int(number), re.sub(r"\(\d+\)", "", text)
