"""The decoding graph that both recognisers share: acoustic topology o lexicon o n-gram, as one weighted transducer.

Acoustic scores come as a matrix (T, S) of log-likelihoods, natural logarithm; input label s + 1 of the graph is column s.
Paths have words as output labels. The same code builds the graph of one known sentence, for alignment.

Source: Mohri, Pereira and Riley 2002 (transducers for recognition); Miao et al. 2015 (CTC topology).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import kaldi_decoder  # before kaldifst: the other order can deadlock
import kaldifst
import numpy as np
from numpy.typing import NDArray

from pipelines.transducers import EPSILON, Fst, lexicon_transducer, number_words, sentence_transducer
from speechbench.errors import SpeechbenchError
from speechbench.grammar import read_grammar
from speechbench.language_model import read_arpa
from speechbench.lexicon import Lexicon


@dataclass(frozen=True)
class Topology:
    """How units (phonemes or characters) become columns of the acoustic scores.

    Attributes:
        units: All units; unit u is number u + 1 in the graph.
        separator: The unit that may stand before, between and after words: silence, or the space.
        states: Columns per unit for an HMM (left to right, each state at least one frame); 0 for CTC, where column 0 is
            the blank, column u + 1 is unit u, and a unit may fill any number of frames.
    """

    units: tuple[str, ...]
    separator: str
    states: int

    @property
    def columns(self) -> int:
        """S, the number of acoustic scores per frame."""
        return len(self.units) * self.states if self.states else len(self.units) + 1

    def transducer(self, disambiguation: Iterable[int]) -> Fst:
        """The transducer from columns to units; disambiguation symbols of the lexicon are consumed here."""
        arcs = self._hmm() if self.states else self._ctc()
        between = self._between_units()
        arcs += [f"{state} {state} {EPSILON} {symbol}" for symbol in disambiguation for state in between]
        fst = kaldifst.compile("\n".join([*arcs, *map(str, between)]) + "\n")
        kaldifst.arcsort(fst, sort_type="olabel")
        return fst

    def _between_units(self) -> list[int]:
        """The transducer's states where a unit may end and another begin; state 0 is the start."""
        return (
            [0, *range(self.states, len(self.units) * self.states + 1, self.states)]
            if self.states
            else list(range(len(self.units) + 1))
        )

    def _hmm(self) -> list[str]:
        # Each unit's last state leads straight to every unit's first: a hub between them would cost the search an empty step.
        arcs = []
        for unit in range(len(self.units)):
            first = unit * self.states + 1  # both the transducer's state and its input label
            arcs += [f"{before} {first} {first} {unit + 1}" for before in self._between_units()]
            for state in range(first, first + self.states):
                arcs.append(f"{state} {state} {state} {EPSILON}")
                if state + 1 < first + self.states:
                    arcs.append(f"{state} {state + 1} {state + 1} {EPSILON}")
        return arcs

    def _ctc(self) -> list[str]:
        blank, count = 1, len(self.units)
        arcs = [f"0 0 {blank} {EPSILON}"]
        for unit in range(1, count + 1):
            arcs += [f"0 {unit} {unit + 1} {unit}", f"{unit} {unit} {unit + 1} {EPSILON}", f"{unit} 0 {blank} {EPSILON}"]
            arcs += [f"{unit} {other} {other + 1} {other}" for other in range(1, count + 1) if other != unit]
        return arcs


@dataclass(frozen=True)
class BestPath:
    """The best path: the column of each frame, the words, and its log-likelihood (natural)."""

    columns: NDArray[np.int64]
    words: list[str]
    score: float


class Graph:
    """A decoding graph with its words."""

    def __init__(self, fst: Fst, words: dict[str, int]) -> None:
        self.fst = fst
        self.words = {number: word for word, number in words.items()}

    @classmethod
    def build(cls, topology: Topology, lexicon: Lexicon, path: Path) -> Graph:
        """The graph over a lexicon and a language model or grammar.

        Args:
            topology: Of the acoustic scores.
            lexicon: Pronunciations; words without one cannot be heard.
            path: A language model in ARPA format, whose name ends in .arpa, or a grammar.

        Raises:
            SpeechbenchError: The file is neither; nothing that it says can be pronounced.
        """
        model = read_arpa(path) if path.suffix == ".arpa" else read_grammar(path)
        known = {word: lexicon[word] for word in model.words if word in lexicon}
        words = number_words(known)
        sentences = sentence_transducer(model, words)
        lexicon_fst, disambiguation = lexicon_transducer(known, words, topology.units, topology.separator, ambiguous=False)
        composed = kaldifst.StdVectorFst(kaldifst.compose(lexicon_fst, sentences))
        if kaldifst.determinize_star(composed, use_log=True):  # true: it gave up in the middle
            raise SpeechbenchError(f"{path}: the lexicon and language model could not be determinised")
        if composed.num_states == 0:
            raise SpeechbenchError(f"{path}: says no sentence whose words all have a pronunciation")
        kaldifst.minimize_encoded(composed)
        kaldifst.arcsort(composed, sort_type="ilabel")
        return cls(kaldifst.StdVectorFst(kaldifst.compose(topology.transducer(disambiguation), composed)), words)

    def decode(self, scores: NDArray[np.float32], beam: float = 16.0, max_active: int = 2000) -> BestPath | None:
        """The best path for acoustic scores of shape (T, S); None where no path reaches the graph's end."""
        options = kaldi_decoder.FasterDecoderOptions(beam=beam, max_active=max_active)
        decoder = kaldi_decoder.FasterDecoder(self.fst, options)
        decoder.decode(kaldi_decoder.DecodableCtc(np.ascontiguousarray(scores, dtype=np.float32)))
        if decoder.num_frames_decoded() == 0 or not decoder.reached_final():
            return None
        found, lattice = decoder.get_best_path()
        if not found:
            return None
        _, columns, words, weight = kaldifst.get_linear_symbol_sequence(lattice)
        score = -(weight.value1 + weight.value2)
        return BestPath(np.asarray(columns, dtype=np.int64) - 1, [self.words[word] for word in words], score)


class Aligner:
    """Forced alignment: the best path through the pronunciations of a known sentence."""

    def __init__(self, topology: Topology, lexicon: Lexicon) -> None:
        self.words = number_words(lexicon)
        lexicon_fst, _ = lexicon_transducer(lexicon, self.words, topology.units, topology.separator, ambiguous=True)
        self.units_to_words = lexicon_fst
        self.columns_to_units = topology.transducer([])

    def graph(self, words: Sequence[str]) -> Graph:
        """The graph of one sentence."""
        sentence = kaldifst.make_linear_acceptor([self.words[word] for word in words])
        pronounced = kaldifst.StdVectorFst(kaldifst.compose(self.units_to_words, sentence))
        kaldifst.arcsort(pronounced, sort_type="ilabel")
        return Graph(kaldifst.StdVectorFst(kaldifst.compose(self.columns_to_units, pronounced)), self.words)


def units_on(path: Iterable[int], topology: Topology) -> Iterator[tuple[str, int, int]]:
    """The units on an HMM path with their first frame and the one behind their last: (unit, start, end)."""
    columns, last = list(path), topology.states - 1
    start = 0
    for t in range(1, len(columns) + 1):
        # A unit ends where its last state gives way to a first state.
        if t == len(columns) or (columns[t] % topology.states == 0 and columns[t - 1] % topology.states == last):
            yield topology.units[columns[start] // topology.states], start, t
            start = t
