"""Lattice decoding: the best texts of an utterance, each with the score of its best path.

The decoder keeps all paths that are near the best one. Determinised over their words these become a small acceptor in which
each text is one path (Povey et al. 2012), whose shortest paths are the n best texts, exactly, as far as the lattice reaches.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import kaldi_decoder  # before kaldifst: the other order can deadlock
import kaldifst
import numpy as np
from numpy.typing import NDArray

from pipelines.graph import BestPath, Graph
from pipelines.transducers import EPSILON, Fst
from speechbench.score import align

# How much worse than the best a path may be: e^-6 is a probability that hardly counts. Where the determinised lattice has
# more than so many states, as in long noise where all is as likely, a narrower one is made; in the end there is the best text.
LATTICE_BEAMS = (6.0, 3.0, 1.5, 0.5)
MOST_STATES = 10_000


@dataclass(frozen=True)
class Text:
    """One of the best texts, and the log-likelihood (natural) of its best path."""

    words: list[str]
    score: float


@dataclass(frozen=True)
class Lattice:
    """The best path, and the best texts, of which the first is its."""

    best: BestPath
    texts: list[Text]

    def confidences(self) -> list[float]:
        """For each word of the best text the probability of the texts that have it too, where they are aligned with the best.

        The texts' likelihoods are taken to sum to 1. Source: Stolcke, Konig and Weintraub 1997.
        """
        scores = np.array([text.score for text in self.texts])
        likelihoods = np.exp(scores - scores.max())
        shares = np.zeros(len(self.best.words))
        for text, likelihood in zip(self.texts, likelihoods / likelihoods.sum(), strict=True):
            pairs = align(self.best.words, text.words)
            shares += likelihood * np.array([word == other for word, other in pairs if word is not None], dtype=float)
        return [min(1.0, round(float(share), 4)) for share in shares]


def decode_lattice(graph: Graph, scores: NDArray[np.float32], beam: float, most: int) -> Lattice | None:
    """The best path for acoustic scores of shape (T, S) and at most so many texts; None where no path reaches the end."""
    decodable = kaldi_decoder.DecodableCtc(np.ascontiguousarray(scores, dtype=np.float32))
    best = None
    for lattice_beam in LATTICE_BEAMS:
        options = kaldi_decoder.LatticeSimpleDecoderConfig(beam=beam, lattice_beam=lattice_beam)
        decoder = kaldi_decoder.LatticeSimpleDecoder(graph.fst, options)
        # Its relative cost of ending is infinite where no end was reached; then its lattice would end anywhere.
        if not len(scores) or not decoder.decode(decodable) or math.isinf(decoder.final_relative_cost()):
            return None
        _, linear = decoder.get_best_path()
        best = graph.path(linear)
        _, raw = decoder.get_raw_lattice()
        texts = _determinize(raw)
        if texts is not None:
            return Lattice(best, list(_shortest(texts, graph, most)))
    assert best is not None
    return Lattice(best, [Text(best.words, best.score)])


def _determinize(lattice: Fst) -> Fst | None:
    """The acceptor of a lattice's words; None where it would be too large."""
    texts = kaldifst.compile("".join(_acceptor_lines(lattice)))
    try:
        gave_up = kaldifst.determinize_star(texts, max_states=MOST_STATES)
    except RuntimeError:  # how it says that one state's epsilons lead to too many others
        return None
    return None if gave_up else texts


def _acceptor_lines(lattice: Fst) -> Iterator[str]:
    """The lattice in text form with its words as the only labels and one weight: of graph and acoustic scores together."""
    for line in lattice.to_str().splitlines():
        fields = line.split()
        if len(fields) >= 4:  # from, to, column, word and, where it is not 0, the weight; a final state has no labels
            yield f"{fields[0]} {fields[1]} {fields[3]} {EPSILON} {_cost(fields[4:])}\n"
        else:
            yield f"{fields[0]} {_cost(fields[1:])}\n"


def _cost(weight: Sequence[str]) -> float:
    return sum(float(part) for part in weight[0].split(",")[:2]) if weight else 0.0


def _shortest(texts: Fst, graph: Graph, most: int) -> Iterator[Text]:
    for path in kaldifst.convert_nbest_to_vector(kaldifst.shortest_path(texts, n=most)):
        _, words, _, weight = kaldifst.get_linear_symbol_sequence(path)
        yield Text([graph.words[word] for word in words], -weight.value)
