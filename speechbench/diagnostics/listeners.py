"""The human level, measured: people's transcripts of dev, scored like any recogniser's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from speechbench.diagnostics.gaps import Human
from speechbench.diagnostics.scored import ScoredSet, measure_spread
from speechbench.errors import SpeechbenchError
from speechbench.manifest import Manifest
from speechbench.recognizer import Hypothesis

FEWEST_WORDS = 100  # that a person transcribed: below, the best of several people is only the luckiest


def measure_humans(dev: Manifest, transcripts: Mapping[str, Mapping[str, Hypothesis]], seed: int) -> Human:
    """The level of the best of several people; its range is the interval over speakers.

    Each may have transcribed another part of dev.

    Args:
        dev: The dev set.
        transcripts: By the person's name or file, texts by utterance id.
        seed: Of the resampling.

    Raises:
        SpeechbenchError: Transcripts of other utterances, too few words, or a level above 1.
    """
    return best_of([_measure(dev, name, texts, seed) for name, texts in transcripts.items()])


def best_of(levels: Sequence[Human]) -> Human:
    """The lowest of several levels."""
    return min(levels, key=lambda human: human.rate)


def _measure(dev: Manifest, name: str, texts: Mapping[str, Hypothesis], seed: int) -> Human:
    scored = ScoredSet(dev.select(lambda utterance: utterance.id in texts), texts)
    if not len(scored.manifest):
        raise SpeechbenchError(f"{name}: no utterance of {dev.name} is transcribed; give transcripts of dev, with its ids")
    total = scored.score.total
    if total.words < FEWEST_WORDS:
        raise SpeechbenchError(
            f"{name}: holds {total.words} words of dev; at least {FEWEST_WORDS} are needed to tell how well a person hears"
        )
    if total.rate > 1:
        raise SpeechbenchError(
            f"{name}: a human error of {total.rate:.2f} is above 1; check that the transcripts are of these utterances"
        )
    low, high = measure_spread(f"human {name}", scored, seed).estimate.interval() or (total.rate, total.rate)
    return Human(total.rate, max(0.0, low), min(1.0, high), total.errors, total.words)
