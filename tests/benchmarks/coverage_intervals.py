"""How often diagnose's 95 % intervals hold the truth, and how often it sees a gap or a weak slice where there is none.

Run: python tests/benchmarks/coverage_intervals.py [--tables 400]

Each simulated set has speakers who err by factors of their own, noise sources that multiply the errors again, utterances
that are harder than others, and words that err by chance given all that. Nothing of it is known to diagnose but the counts.
The truth is the rate over all speakers and noise sources that might have been drawn. Bars: coverage from 90 to 97 %, at
most 5 % of healthy tables with a verdict, and at most 5 % of healthy sets with a weak slice.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from speechbench.diagnostics import Human
from speechbench.diagnostics.bootstrap import Array
from speechbench.diagnostics.gaps import measure_gaps
from speechbench.diagnostics.scored import ScoredSet, measure_change, measure_spread
from speechbench.diagnostics.slices import slice_errors
from speechbench.manifest import Manifest, Utterance

WORDS = (4, 15)  # a sentence's
UTTERANCE_SPREAD = 0.3  # of the logarithm of an utterance's own factor
MOST = 0.95  # no word is surely wrong


@dataclass(frozen=True)
class Design:
    """What a simulated set is like; spreads are of the logarithm of the factor."""

    rate: float
    speakers: int
    sources: int  # of noise; 0 is clean speech
    speaker_spread: float = 0.5
    source_spread: float = 0.5
    utterances: int = 30  # of a speaker

    def __str__(self) -> str:
        noise = f"{self.sources} sources ({self.source_spread:.1f})" if self.sources else "clean"
        return f"{100 * self.rate:4.0f} %  {self.speakers:3d} speakers ({self.speaker_spread:.1f})  {noise:16}"


DESIGNS = tuple(
    Design(rate, speakers, sources, speaker_spread, source_spread)
    for rate in (0.05, 0.15)
    for speakers in (10, 20, 50)
    for sources, speaker_spread, source_spread in ((0, 0.5, 0.0), (max(10, speakers // 2), 0.5, 0.5), (10, 0.2, 0.5))
)


def simulate(design: Design, rng: np.random.Generator, name: str = "dev") -> Iterator[ScoredSet]:
    """One set after another of the same utterances, as equally good systems would hear them.

    What is hard for one system is hard for the next, but for a third of the spread between speakers.
    """
    speaker = np.repeat(np.arange(design.speakers), design.utterances)
    source = rng.integers(max(1, design.sources), size=speaker.size)
    factor = _factors(design.speaker_spread, design.speakers, rng)[speaker]
    factor *= _factors(design.source_spread, max(1, design.sources), rng)[source]
    words = rng.integers(*WORDS, size=speaker.size)
    length = rng.uniform(1.5, 6.0, speaker.size)
    manifest = Manifest(
        tuple(
            Utterance(
                f"{name}{number}",
                Path(f"/{name}{number}.flac"),
                float(length[number]),
                text="word",
                speaker=f"{name}-{who}",
                extra={"accent": f"accent{who % 4}"} | _noise(name, design, int(where)),
            )
            for number, (who, where) in enumerate(zip(speaker.tolist(), source, strict=True))
        )
    )
    while True:
        own = _factors(design.speaker_spread / 3, design.speakers, rng)[speaker]
        chances = design.rate * factor * own * _factors(UTTERANCE_SPREAD, speaker.size, rng)
        yield counted(manifest, rng.binomial(words, np.minimum(chances, MOST)), words)


def _factors(spread: float, count: int, rng: np.random.Generator) -> Array:
    return np.exp(rng.normal(-(spread**2) / 2, spread, count))


def _noise(name: str, design: Design, source: int) -> dict[str, object]:
    if not design.sources:
        return {}
    return {"noise": [{"id": "n", "source": f"{name}-car{source}", "condition": f"condition{source % 3}"}]}


def counted(manifest: Manifest, errors: NDArray[np.int64], words: NDArray[np.int64]) -> ScoredSet:
    """A set of which only the counts are known."""
    scored = ScoredSet(manifest, {})
    vars(scored).update(errors=errors.astype(np.float64), words=words.astype(np.float64))
    return scored


def holds_rate(design: Design, seed: int) -> bool:
    """Whether the interval of one set holds the truth."""
    low, high = _ends(measure_spread("dev", next(simulate(design, np.random.default_rng(seed))), seed).estimate.interval())
    return low <= design.rate <= high


def holds_change(design: Design, seed: int) -> bool:
    """Whether the interval of the change between two equally good systems holds 0."""
    systems = simulate(design, np.random.default_rng(seed))
    low, high = _ends(measure_change("dev", next(systems), next(systems), seed).interval())
    return low <= 0 <= high


def finds_gap(design: Design, seed: int) -> bool:
    """Whether a gap is found in a table of four sets of one distribution, with humans who err as much."""
    rng = np.random.default_rng(seed)
    sets = {name: next(simulate(design, rng, name)) for name in ("train", "train_dev", "dev", "test")}
    estimates = {name: measure_spread(name, scored, seed).estimate for name, scored in sets.items()}
    level = Human(design.rate, design.rate, design.rate)
    return any(gap.separable for gap in measure_gaps(estimates, level).values())


def finds_weak_slice(design: Design, seed: int) -> bool:
    """Whether a slice is called weak in a set whose slices do not differ but by chance."""
    tables = slice_errors(next(simulate(design, np.random.default_rng(seed))))
    return any(row["weak"] for rows in tables.values() for row in rows)


QUESTIONS = {"rate held": holds_rate, "change held": holds_change, "false gap": finds_gap, "false slice": finds_weak_slice}


def measure(design: Design, tables: int) -> dict[str, float]:
    """The share of simulated sets for which each question is answered with yes."""
    return {name: sum(ask(design, seed) for seed in range(tables)) / tables for name, ask in QUESTIONS.items()}


def _ends(ends: tuple[float, float] | None) -> tuple[float, float]:
    if ends is None:
        raise ValueError("a simulated set has counts, so it has an interval")
    return ends


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=int, default=400, help="simulated for each row")
    tables = parser.parse_args().tables
    print(f"{tables} of each; in brackets the spread of the logarithm of the factors", flush=True)
    print(f"{'rate  speakers             noise':48}" + "".join(f"{name:>14}" for name in QUESTIONS))
    for design in DESIGNS:
        print(f"{design!s:48}" + "".join(f"{100 * share:12.1f} %" for share in measure(design, tables).values()), flush=True)


if __name__ == "__main__":
    main()
