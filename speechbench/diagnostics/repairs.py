"""What is heard when one part of a recogniser is perfect, and which part each error is blamed on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from speechbench.diagnostics.pace import SPREAD
from speechbench.diagnostics.places import errors_in, near
from speechbench.diagnostics.scored import ScoredSet
from speechbench.manifest import Utterance
from speechbench.recognizer import Hypothesis
from speechbench.score import align

UNDECIDED = "undecided"
TOLERANCE = 1e-4  # of a score, by which two sums in single precision may differ

# A transcript is contradicted where most of it was heard otherwise, its recogniser takes that to be far likelier, and it fits
# the audio as well as what is right in other utterances: in noise the wrong words fit badly too.
CONTRADICTED = 0.5  # of its words, at least
PREFERENCE = 3.0  # nats a word, at least
BADLY_HEARD = 2.0  # standard deviations below the median score per second of the utterances that were heard right
FEWEST_RIGHT = 20  # utterances that show how right ones fit


@dataclass(frozen=True)
class Repairs:
    """A draw from a set, and what is heard in its utterances with errors when a part is perfect.

    Each mapping is by utterance id and may lack utterances. Hypotheses of an oracle that could not be asked have no `oracle`.
    """

    sample: ScoredSet
    of: int  # utterances in the set
    lexicon: Collection[str]
    aligned: Mapping[str, Hypothesis]  # oracle "words"
    clean: Mapping[str, Hypothesis] = field(default_factory=dict)  # of the clean recordings
    phonemes: Mapping[str, Hypothesis] = field(default_factory=dict)  # oracle "phonemes"
    language_model: Mapping[str, Hypothesis] = field(default_factory=dict)  # oracle "language-model"

    @property
    def wrong(self) -> list[str]:
        """The utterances with errors."""
        return [u.id for u, errors in zip(self.sample.manifest, self.sample.errors, strict=True) if errors]


def search_failed(heard: Hypothesis, aligned: Hypothesis) -> bool | None:
    """Whether the reference has a better score than what was heard; None where a score is not known.

    Args:
        heard: With its score; a search that lost every path heard nothing, at no score.
        aligned: The oracle "words", in the same graph under the same weights.
    """
    if aligned.score is None:
        return None
    if heard.score is None:
        return None if heard.text else True
    return aligned.score - heard.score > TOLERANCE * max(1.0, abs(heard.score))


def contradicted(repairs: Repairs) -> set[str]:
    """The utterances whose transcript is contradicted, as far as scores are known."""
    sample = repairs.sample
    fits = np.array([_fit(sample.hypotheses.get(u.id), u.duration) for u in sample.manifest])
    right = fits[(sample.errors == 0) & ~np.isnan(fits)]
    if len(right) < FEWEST_RIGHT:
        return set()
    median = float(np.median(right))
    least = median - BADLY_HEARD * SPREAD * float(np.median(np.abs(right - median)))
    distances = sample.errors / sample.words
    return {
        u.id
        for u, fit, distance in zip(sample.manifest, fits, distances, strict=True)
        if distance >= CONTRADICTED and fit >= least and _preference(repairs, u) >= PREFERENCE
    }


def _fit(heard: Hypothesis | None, seconds: float) -> float:
    """The score per second; NaN where it is not known."""
    return heard.score / seconds if heard and heard.score is not None else float("nan")


def _preference(repairs: Repairs, utterance: Utterance) -> float:
    """By how much what was heard is likelier than the reference, per word.

    0 where the reference cannot be said, and where it is heard from the clean recording, or as soon as the language model
    expects it: other parts are to blame then.
    """
    heard, aligned = repairs.sample.hypotheses[utterance.id], repairs.aligned.get(utterance.id)
    others = (repairs.clean.get(utterance.id), repairs.language_model.get(utterance.id))
    if any(other is not None and other.text == utterance.text for other in others):
        return 0.0
    if heard.score is None or aligned is None or aligned.score is None:
        return 0.0
    return (heard.score - aligned.score) / max(len(utterance.words), len(heard.text.split()))


def blame(repairs: Repairs) -> dict[str, Counter[str]]:
    """By utterance with errors, how many are blamed on which stage."""
    doubted = contradicted(repairs)
    return {name: Counter(_blame_one(repairs, name, name in doubted)) for name in repairs.wrong}


def _blame_one(repairs: Repairs, name: str, doubted: bool) -> Iterator[str]:
    """The stage of each error of an utterance."""
    alignment = repairs.sample.score.alignments[name]
    reference = [word for word, _ in alignment if word is not None]
    left = errors_in(alignment)
    heard, aligned = repairs.sample.hypotheses.get(name), repairs.aligned.get(name)
    if heard and aligned and search_failed(heard, aligned):
        yield from ["search"] * len(left)
        return
    if doubted:
        yield from ["labels"] * len(left)
        return
    told = repairs.phonemes.get(name)
    asked = told is not None and told.oracle is not None
    tried = {"front_end": repairs.clean.get(name), "acoustic_model": told if asked else None}
    for stage, hypothesis in tried.items():
        if hypothesis is not None:
            still = left & errors_in(align(reference, hypothesis.text.split()))
            yield from [stage] * len(left - still)
            left = still
    lacking = {number for number, word in enumerate(reference) if word not in repairs.lexicon}
    of_lexicon = left & near(alignment, lacking)
    yield from ["lexicon"] * len(of_lexicon)
    # With right phonemes, searched without a limit, nothing is left but the language model. The reference of an utterance
    # that could be aligned, and still not be heard, is one that the language model never says.
    said = asked or (aligned is not None and aligned.oracle is not None)
    yield from ["language_model" if said else UNDECIDED] * len(left - of_lexicon)
