"""A set with its hypotheses: errors and words by utterance, and how sure its error rate is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from speechbench.diagnostics.bootstrap import (
    FEWEST_BLOCKS,
    Array,
    Blocks,
    Estimate,
    Ways,
    count_noise,
    multiplied,
    widest,
)
from speechbench.errors import SpeechbenchError
from speechbench.manifest import Manifest, Utterance
from speechbench.recognizer import Hypothesis
from speechbench.score import Score, score
from speechbench.seeds import generator_of

MOST_UNLIKE = 0.5  # difference between shares of utterances under noise
FEWEST_CHANGED = 10  # utterances in which two systems differ: with fewer, the bootstrap takes chance for certainty


@dataclass(frozen=True)
class ScoredSet:
    """A manifest and what a recogniser heard in it."""

    manifest: Manifest
    hypotheses: Mapping[str, Hypothesis]
    missing: str = "error"  # or "deletions": a missing hypothesis counts as all its words deleted

    @cached_property
    def score(self) -> Score:
        """The alignments; refuses missing hypotheses unless they are to count as deletions."""
        return self._scored({key: hypothesis.text for key, hypothesis in self.hypotheses.items()})

    def select(self, keep: Callable[[Utterance], bool]) -> ScoredSet:
        """The utterances for which `keep` holds, with their hypotheses."""
        manifest = self.manifest.select(keep)
        heard = {u.id: self.hypotheses[u.id] for u in manifest if u.id in self.hypotheses}
        return ScoredSet(manifest, heard, self.missing)

    @cached_property
    def greedy(self) -> float | None:
        """WER of the network alone, without lexicon and language model; None unless every hypothesis has it."""
        texts = {key: h.greedy for key, h in self.hypotheses.items() if h.greedy is not None}
        return self._scored(texts).total.rate if texts and len(texts) == len(self.hypotheses) else None

    def _scored(self, texts: Mapping[str, str]) -> Score:
        references = {u.id: u.text or "" for u in self.manifest.with_text()}
        try:
            return score(references, texts, missing=self.missing)
        except SpeechbenchError as error:
            raise SpeechbenchError(f"{self.manifest.name}: {error}") from error

    @cached_property
    def errors(self) -> Array:
        """Errors by utterance, in the manifest's order.

        Shape:
            (B,)
        """
        return np.array([self.score.counts[u.id].errors for u in self.manifest], dtype=np.float64)

    @cached_property
    def words(self) -> Array:
        """Reference words by utterance.

        Shape:
            (B,)
        """
        return np.array([self.score.counts[u.id].words for u in self.manifest], dtype=np.float64)


@dataclass(frozen=True)
class Spread:
    """A set's error rate with its spread, and which blocks it was measured over."""

    estimate: Estimate
    kind: str  # "speaker", "noise source" or "utterance"
    blocks: int
    notes: tuple[str, ...]
    speakers: int  # that have a name


def noise_source(utterance: Utterance) -> str | None:
    """The source of the main noise in a synthesised utterance; None without noise."""
    return _of_noise(utterance, "source")


def noise_condition(utterance: Utterance) -> str | None:
    """The condition of the main noise (its first piece); None without noise."""
    return _of_noise(utterance, "condition")


def _of_noise(utterance: Utterance, key: str) -> str | None:
    noise = utterance.extra.get("noise")
    if isinstance(noise, list) and noise and isinstance(noise[0], Mapping) and noise[0].get(key) is not None:
        return str(noise[0][key])
    return None


def unlike(dev: Manifest, test: Manifest) -> str:
    """Why dev and test cannot be of one distribution, so that the gap between them is no overfitting; "" if nothing shows it.

    Only synthesised noise tells. Source: Ng, "Machine Learning Yearning" (2018), chapter 6: dev and test come from one.
    """
    shares = [sum(noise_source(u) is not None for u in manifest) / max(1, len(manifest)) for manifest in (dev, test)]
    if abs(shares[0] - shares[1]) <= MOST_UNLIKE:
        return ""
    told = " and ".join(f"{100 * share:.0f} % of {name}" for share, name in zip(shares, ("dev", "test"), strict=True))
    return f"not of one distribution: noise lies under {told}; take both from the same"


def by_speaker(utterance: Utterance) -> str:
    """The block of an utterance's speaker; one of its own where the speaker is unknown."""
    return f"speaker {utterance.speaker}" if utterance.speaker else f"utterance {utterance.id}"


def by_source(utterance: Utterance) -> str:
    """The block of an utterance's noise source; its speaker's where there is no noise."""
    source = noise_source(utterance)
    return by_speaker(utterance) if source is None else f"source {source}"


@dataclass(frozen=True)
class Cut:
    """Utterances cut into blocks, and how far the spread between them can be trusted."""

    ways: Ways
    doubt: str  # why it cannot; "" where it can
    notes: tuple[str, ...]  # for the reader


def cut(utterances: Sequence[Utterance], errors: Array, words: Array, name: str) -> Cut:
    """Cut utterances into the blocks of their speakers, and of their noise sources where there are enough.

    Args:
        utterances: The utterances.
        errors: Errors by utterance, or for two systems the difference.
        words: Reference words by utterance.
        name: What they are, for messages.
    """
    speakers = [by_speaker(u) for u in utterances]
    anonymous = sum(not u.speaker for u in utterances)
    kind = "speaker" if anonymous < len(utterances) else "utterance"
    blocks = Blocks.of(kind, speakers, errors, words)
    if len(blocks) < FEWEST_BLOCKS:
        counted = f"{len(blocks)} {kind}{'s' if len(blocks) > 1 else ''}"
        doubt = f"only {counted} in {name}; {FEWEST_BLOCKS} are the fewest that show a spread"
        note = f"The interval speaks for {counted} only, not for others."
        return Cut(Ways((Blocks.of("utterance", [u.id for u in utterances], errors, words),)), doubt, (note,))
    notes = []
    if anonymous:
        notes.append(
            f"{anonymous} of {len(utterances)} utterances name no speaker; each counts as its own speaker, "
            "so the interval is too narrow if they share speakers."
        )
    known = len({source for u in utterances if (source := noise_source(u)) is not None})
    if known < FEWEST_BLOCKS:
        if known:
            notes.append(f"The interval speaks for these {known} noise sources only, not for others.")
        return Cut(Ways((blocks,)), "", tuple(notes))
    sources = [by_source(u) for u in utterances]
    crossing = [f"{speaker}\0{source}" for speaker, source in zip(speakers, sources, strict=True)]
    ways = (blocks, Blocks.of("noise source", sources, errors, words))
    return Cut(Ways(ways, Blocks.of("speaker and noise source", crossing, errors, words)), "", tuple(notes))


def measure_spread(name: str, scored: ScoredSet, seed: int) -> Spread:
    """The error rate of a set with its spread over speakers and noise sources.

    It is never narrower than if every word erred by itself, which also keeps a set without errors from looking certain.
    Few speakers leave no doubt of the training set: they are all whom it has, and its error is asked for, not that of others.
    """
    found = cut(scored.manifest.utterances, scored.errors, scored.words, scored.manifest.name)
    drawn = multiplied(found.ways.resample(seed, "bootstrap", name))
    floor = count_noise(scored.errors.sum(), scored.words.sum(), generator_of(seed, "count noise", name))
    best = (drawn, floor)[widest((drawn, floor))]
    speakers = len({u.speaker for u in scored.manifest if u.speaker})
    widest_way = found.ways.widest
    doubt = "" if name == "train" and len(scored.manifest) >= FEWEST_BLOCKS else found.doubt
    return Spread(replace(best, doubt=doubt), widest_way.kind, len(widest_way), found.notes, speakers)


def measure_change(name: str, after: ScoredSet, before: ScoredSet, seed: int) -> Estimate:
    """The change of a set's error rate from one system to another, the same blocks drawn for both.

    Raises:
        SpeechbenchError: The two were scored on different utterances.
    """
    if [(u.id, u.text) for u in after.manifest] != [(u.id, u.text) for u in before.manifest]:
        names = f"{after.manifest.name} and {before.manifest.name}"
        raise SpeechbenchError(f"{name}: {names} hold different utterances or texts; score both systems on one manifest")
    return change(name, after.manifest.utterances, after.errors - before.errors, after.words, seed)


def change(name: str, utterances: Sequence[Utterance], difference: Array, words: Array, seed: int) -> Estimate:
    """The change of the error rate over some utterances, given the difference of two systems' errors in each."""
    found = cut(utterances, difference, words, name)
    differ = int(np.count_nonzero(difference))
    doubt = found.doubt
    if differ < FEWEST_CHANGED:
        counted = f"{differ} utterance{'' if differ == 1 else 's'}"
        doubt = f"the systems differ in {counted} of {name}; {FEWEST_CHANGED} are the fewest that decide"
    return replace(found.ways.resample(seed, "paired", name), doubt=doubt)
