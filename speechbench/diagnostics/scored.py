"""A set with its hypotheses: errors and words by utterance, and how sure its error rate is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from speechbench.diagnostics.bootstrap import (
    FEWEST_BLOCKS,
    Array,
    Blocks,
    Estimate,
    count_noise,
    resample,
    widest,
)
from speechbench.errors import SpeechbenchError
from speechbench.manifest import Manifest, Utterance
from speechbench.recognizer import Hypothesis
from speechbench.score import Score, score
from speechbench.seeds import generator_of


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


def by_speaker(utterance: Utterance) -> str:
    """The block of an utterance's speaker; one of its own where the speaker is unknown."""
    return f"speaker {utterance.speaker}" if utterance.speaker else f"utterance {utterance.id}"


def by_source(utterance: Utterance) -> str:
    """The block of an utterance's noise source; its speaker's where there is no noise."""
    source = noise_source(utterance)
    return by_speaker(utterance) if source is None else f"source {source}"


def block_sets(scored: ScoredSet, errors: Array | None = None) -> tuple[list[Blocks], str, list[str]]:
    """The ways to cut a set into blocks, what makes them untrustworthy (or ""), and notes for the reader.

    Args:
        scored: The set.
        errors: Errors by utterance; the set's own by default.
    """
    utterances = list(scored.manifest)
    errors = scored.errors if errors is None else errors
    speakers = {u.speaker for u in utterances if u.speaker}
    anonymous = sum(not u.speaker for u in utterances)
    kind = "speaker" if speakers else "utterance"
    blocks = Blocks.of(kind, [by_speaker(u) for u in utterances], errors, scored.words)
    notes, doubt = [], ""
    if len(blocks) < FEWEST_BLOCKS:
        counted = f"{len(blocks)} {kind}{'s' if len(blocks) > 1 else ''}"
        doubt = f"only {counted} in {scored.manifest.name}; {FEWEST_BLOCKS} are the fewest that show a spread"
        notes.append(f"The interval speaks for {counted} only, not for others.")
        blocks = Blocks.of("utterance", [u.id for u in utterances], errors, scored.words)
    elif anonymous:
        notes.append(
            f"{anonymous} of {len(utterances)} utterances name no speaker; each counts as its own speaker, "
            "so the interval is too narrow if they share speakers."
        )
    ways = [blocks]
    sources = {source for u in utterances if (source := noise_source(u)) is not None}
    if len(sources) >= FEWEST_BLOCKS:
        ways.append(Blocks.of("noise source", [by_source(u) for u in utterances], errors, scored.words))
    elif sources:
        notes.append(f"The interval speaks for these {len(sources)} noise sources only, not for others.")
    return ways, doubt, notes


def measure_spread(name: str, scored: ScoredSet, seed: int) -> Spread:
    """The error rate of a set with the wider of its spreads over speakers and over noise sources.

    It is never narrower than if every word erred by itself, which also keeps a set without errors from looking certain.
    """
    ways, doubt, notes = block_sets(scored)
    estimates = [resample(blocks, generator_of(seed, "bootstrap", name, blocks.kind)) for blocks in ways]
    chosen = widest(estimates)
    floor = count_noise(scored.errors.sum(), scored.words.sum(), generator_of(seed, "count noise", name))
    best = (estimates[chosen], floor)[widest((estimates[chosen], floor))]
    estimate = Estimate(best.value, best.draws, best.freedom, doubt)
    return Spread(estimate, ways[chosen].kind, len(ways[chosen]), tuple(notes))


def measure_change(name: str, after: ScoredSet, before: ScoredSet, seed: int) -> Estimate:
    """The change of a set's error rate from one system to another, the same blocks drawn for both.

    Raises:
        SpeechbenchError: The two were scored on different utterances.
    """
    if [(u.id, u.text) for u in after.manifest] != [(u.id, u.text) for u in before.manifest]:
        names = f"{after.manifest.name} and {before.manifest.name}"
        raise SpeechbenchError(f"{name}: {names} hold different utterances or texts; score both systems on one manifest")
    ways, doubt, _ = block_sets(after, after.errors - before.errors)
    estimates = [resample(blocks, generator_of(seed, "paired", name, blocks.kind)) for blocks in ways]
    best = estimates[widest(estimates)]
    return Estimate(best.value, best.draws, best.freedom, doubt)
