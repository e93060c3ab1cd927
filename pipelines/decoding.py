"""From acoustic scores to a hypothesis: the word side of a recogniser, the same for both modes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipelines.graph import BestPath, Topology
from pipelines.lattice import decode_lattice
from pipelines.oracles import Oracles
from pipelines.searching import processes_for, search
from pipelines.times import Clock
from pipelines.tuning import Weights
from pipelines.words import open_graph, open_lexicon
from speechbench.errors import name_some, unknown_name
from speechbench.files import read_json
from speechbench.jobs import workers
from speechbench.manifest import Utterance
from speechbench.progress import say
from speechbench.recognizer import ORACLES, Alternative, Hypothesis, Request

CONFIDENT_OVER = 100  # texts, over which confidences are summed


class Decoder:
    """Decodes with the lexicon, the graph and the weights of a run."""

    def __init__(self, folder: Path, topology: Topology, frame_shift: float, log_priors: NDArray[np.float32]) -> None:
        """Open them.

        Args:
            folder: The run.
            topology: Of its acoustic scores.
            frame_shift: Seconds between two of them.
            log_priors: Of the topology's columns, (S,).
        """
        self._made_of = folder, topology, frame_shift, log_priors
        weights = dict(read_json(folder / "decoding.json"))
        self.beam = float(weights.pop("beam"))
        self.weights, self.log_priors = Weights(**weights), log_priors
        self.topology, self.lexicon = topology, open_lexicon(folder)
        self.graph = open_graph(folder, topology, self.lexicon).with_word_cost(self.weights.word_cost)
        self.clock = Clock(topology, self.lexicon, frame_shift)

    @cached_property
    def oracles(self) -> Oracles:
        """The oracles over the same graph."""
        return Oracles(self.graph, self.topology, self.lexicon, self.weights.word_cost)

    def hear(self, utterance: Utterance, scores: NDArray[np.float32], request: Request) -> Hypothesis:
        """What is said in an utterance, with what is asked for; its units are its phonemes.

        Args:
            utterance: With a text, for an oracle.
            scores: Log-posteriors or log-likelihoods as the acoustic model gives them, (T, S).
            request: What is asked for.
        """
        weighted, beam = self.weights.apply(scores, self.log_priors), request.beam or self.beam
        if request.nbest:
            return self._hear_many(utterance, weighted, beam, request.nbest)
        if request.oracle:
            return self._hear_oracle(utterance, weighted, beam, request.oracle)
        return self._told(utterance, search(self.graph, weighted, beam))

    def hear_all(
        self, scored: Iterable[tuple[Utterance, NDArray[np.float32]]], request: Request, seconds: float
    ) -> Iterator[Hypothesis]:
        """As `hear` of each, in order; in as many processes as torch has threads, where there is much to search.

        Args:
            scored: Utterances and their scores; read lazily, a few ahead of what is given.
            request: What is asked for.
            seconds: Of speech, about.
        """
        from pipelines.ahead import threads, torch_alone  # here, for the processes need no torch

        processes = processes_for(seconds / self.clock.frame_shift, threads())
        if processes == 1:
            yield from (self.hear(utterance, scores, request) for utterance, scores in scored)
            return
        with torch_alone(), workers(processes, __name__) as run:
            yield from run(partial(_hear, self._made_of, request), scored, processes)

    def _hear_many(self, utterance: Utterance, scores: NDArray[np.float32], beam: float, most: int) -> Hypothesis:
        lattice = None
        for width in (beam, 3 * beam):  # as `search`
            lattice = lattice or decode_lattice(self.graph, scores, width, max(most, CONFIDENT_OVER))
        if lattice is None:
            return self._told(utterance, None)
        nbest = tuple(Alternative(" ".join(text.words), text.score) for text in lattice.texts[:most])
        heard = self._told(utterance, lattice.best)
        assert heard.words is not None
        pairs = zip(heard.words, lattice.confidences(), strict=True)
        return replace(heard, nbest=nbest, words=tuple(replace(word, confidence=share) for word, share in pairs))

    def _hear_oracle(self, utterance: Utterance, scores: NDArray[np.float32], beam: float, oracle: str) -> Hypothesis:
        words = utterance.words
        if oracle == "search":
            path = self.oracles.wide(scores, beam)
        elif oracle == "phonemes":
            path = self.oracles.phonemes(words, scores)
        elif oracle == "words":
            path = self.oracles.words(words, scores)
        elif oracle == "language-model":
            path = self.oracles.language_model(words, scores, beam)
        else:
            raise unknown_name("oracle", oracle, ORACLES)
        if path is not None:
            return replace(self._told(utterance, path), oracle=oracle)
        say(f"{utterance.id}: beyond the oracle: {self._obstacle(utterance)}")
        if oracle == "words":
            return Hypothesis(utterance.id, " ".join(words), duration=utterance.duration)
        return self._told(utterance, search(self.graph, scores, beam))

    def _obstacle(self, utterance: Utterance) -> str:
        if unknown := sorted({word for word in utterance.words if word not in self.lexicon}):
            return f"the lexicon lacks {name_some(unknown)}"
        return f"{utterance.duration:.2f} s are too short for '{utterance.text}', or its graph cannot say it"

    def _told(self, utterance: Utterance, path: BestPath | None) -> Hypothesis:
        if path is None:
            say(f"{utterance.id}: no path through the graph fits its {utterance.duration:.2f} s; heard as nothing")
            return Hypothesis(utterance.id, "", words=(), phonemes=(), duration=utterance.duration)
        if not path.words:
            say(f"{utterance.id}: no speech was heard in its {utterance.duration:.2f} s")
        words, phonemes = self.clock.read(path.columns, path.words, utterance.duration)
        score = path.score if math.isfinite(path.score) else None
        return Hypothesis(
            utterance.id,
            " ".join(path.words),
            score,
            words=tuple(words),
            phonemes=tuple(phonemes),
            duration=utterance.duration,
        )


_decoders: dict[Path, Decoder] = {}  # of a process that hears for another: opened once


def _hear(
    made_of: tuple[Path, Topology, float, NDArray[np.float32]], request: Request, one: tuple[Utterance, NDArray[np.float32]]
) -> Hypothesis:
    folder, *_ = made_of
    if folder not in _decoders:
        _decoders[folder] = Decoder(*made_of)
    return _decoders[folder].hear(*one, request)
