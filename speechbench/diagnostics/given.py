"""Errors given as numbers: the gap table of any recogniser, from its figures alone."""

from __future__ import annotations

from dataclasses import dataclass

from speechbench.diagnostics.bootstrap import Estimate, count_noise
from speechbench.diagnostics.gaps import SETS, Human
from speechbench.errors import SpeechbenchError, unknown_name
from speechbench.seeds import generator_of

HINT = "expected a fraction such as 0.07, or errors/words such as 84/1200"


@dataclass(frozen=True)
class GivenErrors:
    """What `--errors` says: the rate of each set, its words where known, and the human level."""

    estimates: dict[str, Estimate]
    words: dict[str, int]
    human: Human | None
    human_dev: float | None = None  # human error on dev's distribution
    dev_seen: float | None = None  # error on speech of dev's distribution that was trained on


CELLS = ("human_dev", "dev_seen")  # of the table of distributions, beside the sets


def parse_errors(text: str, seed: int = 0) -> GivenErrors:
    """Read "human=0.04,train=0.07,train_dev=0.10,dev=84/700,words=2000".

    Args:
        text: For each set a fraction, or errors/words; "words" holds for all sets given as fractions. "human" may be a range
            and may be named several times, then the best counts.
        seed: For the intervals of the sets whose words are known.

    Raises:
        SpeechbenchError: Unknown or repeated names, values that are no error rates.
    """
    humans: list[str] = []
    values: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, value = part.partition("=")
        name = name.strip().replace("-", "_")
        if name not in (*SETS, *CELLS, "words"):
            raise unknown_name("set in --errors", name, (*SETS, *CELLS, "words"))
        if name == "human":
            humans.append(value.strip())
        elif name in values:
            raise SpeechbenchError(f"--errors names {name} twice; give each set once")
        else:
            values[name] = value.strip()
    common = values.pop("words", "")
    if common and not (common.isdecimal() and int(common) > 0):
        raise SpeechbenchError(f"--errors words={common}: expected a whole number above 0")
    cells = {name: _rate(name, values.pop(name), 0)[0] for name in CELLS if name in values}
    estimates, words = {}, {}
    for name, value in values.items():
        rate, count = _rate(name, value, int(common or 0))
        estimates[name] = Estimate(rate)
        if count:
            words[name] = count
            estimates[name] = Estimate(rate, count_noise(rate * count, count, generator_of(seed, "given", name)).draws)
    return GivenErrors(estimates, words, Human.best(tuple(humans)), **cells)


def _rate(name: str, value: str, common: int) -> tuple[float, int]:
    errors, slash, words = value.partition("/")
    if slash:
        if not (errors.isdecimal() and words.isdecimal() and int(words) > 0):
            raise SpeechbenchError(f"--errors {name}={value}: {HINT}")
        return int(errors) / int(words), int(words)
    try:
        rate = float(value)
    except ValueError:
        rate = -1.0
    if not 0 <= rate <= 1:
        raise SpeechbenchError(f"--errors {name}={value}: {HINT}")
    return rate, common
