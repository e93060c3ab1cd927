"""The decoding graph that both recognisers share: acoustic topology o lexicon o n-gram, as one weighted transducer.

Acoustic scores come as a matrix (T, S) of log-likelihoods, natural logarithm; input label s + 1 of the graph is column s.
Paths have words as output labels. The same code builds the graph of one known sentence, for alignment.

Source: Mohri, Pereira and Riley 2002 (transducers for recognition); Miao et al. 2015 (CTC topology).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import kaldi_decoder  # before kaldifst: the other order can deadlock
import kaldifst
import numpy as np
from numpy.typing import NDArray

from pipelines.transducers import EPSILON, Fst, lexicon_transducer, number_words, sentence_transducer
from pipelines.tree import Tree
from speechbench.errors import SpeechbenchError
from speechbench.files import read_json, write_json
from speechbench.grammar import read_grammar
from speechbench.language_model import read_arpa
from speechbench.lexicon import Lexicon

WORDS = ".words.json"


@dataclass(frozen=True)
class Topology:
    """How units (phonemes or characters) become columns of the acoustic scores.

    Attributes:
        units: All units; unit u is number u + 1 in the graph.
        separator: The unit that may stand before, between and after words: silence, or the space.
        states: Per unit for an HMM (left to right, each state at least one frame); 0 for CTC, where column 0 is the blank,
            column u + 1 is unit u, and a unit may fill any number of frames.
        tree: Which column a state has between its neighbours; without one each state of each unit has a column of its own.
    """

    units: tuple[str, ...]
    separator: str
    states: int
    tree: Tree | None = None

    @property
    def columns(self) -> int:
        """S, the number of acoustic scores per frame."""
        if self.tree is not None:
            return len(self.tree.owners)
        return len(self.units) * self.states if self.states else len(self.units) + 1

    def tied(self, tree: Tree | None) -> Topology:
        """The same units under another tree, or without any."""
        return replace(self, tree=tree)

    @cached_property
    def owners(self) -> NDArray[np.int64]:
        """Whose column each is: unit (from 0) and state, (S, 2)."""
        every = divmod(np.arange(self.columns), self.states) if self.tree is None else zip(*self.tree.owners, strict=True)
        return np.array([*every], dtype=np.int64).T

    @cached_property
    def silent(self) -> NDArray[np.int64]:
        """The columns of the separator's states."""
        return np.flatnonzero(self.owners[:, 0] == self.units.index(self.separator))

    def scored(self, units_to_words: Fst, disambiguation: Sequence[int]) -> Fst:
        """A transducer from units to words as one from columns to words.

        Args:
            units_to_words: Sorted by input label.
            disambiguation: Input labels that sound like nothing.
        """
        if not self.states:
            return kaldifst.StdVectorFst(kaldifst.compose(self._ctc(disambiguation), units_to_words))
        if self.tree is None:
            return _with_states(units_to_words, [(), *(self.chain(-1, unit, -1) for unit in range(len(self.units)))])
        in_context, windows = kaldifst.compose_context(list(disambiguation), 3, 1, units_to_words)
        # A window is (left, unit, right), from 1, 0 at the edge; what sounds like nothing has no unit.
        chains = [self.chain(w[0] - 1, w[1] - 1, w[2] - 1) if len(w) == 3 and w[1] else () for w in windows]
        return _with_states(in_context, chains)

    def chain(self, left: int, unit: int, right: int) -> tuple[int, ...]:
        """The columns of a unit's states between two others, all from 0; -1 is the edge of the utterance."""
        if self.tree is None:
            return tuple(range(unit * self.states, (unit + 1) * self.states))
        return tuple(self.tree.column(left, unit, right, state) for state in range(self.states))

    def _ctc(self, disambiguation: Iterable[int]) -> Fst:
        blank, count = 1, len(self.units)
        arcs = [f"0 0 {blank} {EPSILON}"]
        for unit in range(1, count + 1):
            arcs += [f"0 {unit} {unit + 1} {unit}", f"{unit} {unit} {unit + 1} {EPSILON}", f"{unit} 0 {blank} {EPSILON}"]
            arcs += [f"{unit} {other} {other + 1} {other}" for other in range(1, count + 1) if other != unit]
        arcs += [f"{state} {state} {EPSILON} {symbol}" for symbol in disambiguation for state in range(count + 1)]
        fst = kaldifst.compile("\n".join([*arcs, *map(str, range(count + 1))]) + "\n")
        kaldifst.arcsort(fst, sort_type="olabel")
        return fst


def _with_states(fst: Fst, chains: Sequence[tuple[int, ...]]) -> Fst:
    """A transducer whose arcs are chains of HMM states, each with a loop of its own, so that every step takes a frame.

    The loop of a chain's last state lies where the chain ends, so that no empty step follows it: a state of the old transducer
    becomes one for each column that leads into it.

    Args:
        fst: From anything to words.
        chains: The columns of each input label; a label without any takes no frame.
    """
    result = kaldifst.StdVectorFst()
    numbers: dict[tuple[int, int], int] = {}  # (old state, column that leads into it or -1) -> new state
    begun: dict[tuple[int, int], int] = {}  # (old state, arc's place) -> the state behind the chain's first
    waiting: list[tuple[int, int]] = []

    def looped(column: int) -> int:
        state = result.add_state()
        if column >= 0:
            result.add_arc(state, kaldifst.StdArc(column + 1, EPSILON, 0.0, state))
        return int(state)

    def number(old: int, column: int) -> int:
        if (old, column) not in numbers:
            numbers[old, column] = looped(column)
            waiting.append((old, column))
        return numbers[old, column]

    def rest(key: tuple[int, int], columns: tuple[int, ...], target: int) -> int:
        """The state behind the first of a chain's columns; the others follow it up to the target."""
        if key not in begun:
            here = begun[key] = looped(columns[0])
            for column in columns[1:-1]:
                after = looped(column)
                result.add_arc(here, kaldifst.StdArc(column + 1, EPSILON, 0.0, after))
                here = after
            result.add_arc(here, kaldifst.StdArc(columns[-1] + 1, EPSILON, 0.0, number(target, columns[-1])))
        return begun[key]

    result.start = number(fst.start, -1)
    while waiting:
        old, column = waiting.pop()
        here = numbers[old, column]
        result.set_final(here, fst.final(old))
        for place, arc in enumerate(kaldifst.ArcIterator(fst, old)):
            columns = chains[arc.ilabel] if arc.ilabel < len(chains) else ()
            label = columns[0] + 1 if columns else EPSILON
            if len(columns) > 1:
                target = rest((old, place), columns, arc.nextstate)
            else:
                target = number(arc.nextstate, columns[0] if columns else -1)
            result.add_arc(here, kaldifst.StdArc(label, arc.olabel, arc.weight, target))
    return result


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
        self._numbers = words

    @cached_property
    def words(self) -> dict[int, str]:
        """The words by their output labels."""
        return {number: word for word, number in self._numbers.items()}

    @cached_property
    def columns(self) -> NDArray[np.int64]:
        """The columns that it looks at, in rising order."""
        arcs = (arc for state in range(self.fst.num_states) for arc in kaldifst.ArcIterator(self.fst, state))
        return np.array(sorted({arc.ilabel for arc in arcs} - {EPSILON}), dtype=np.int64) - 1

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
        return cls(topology.scored(composed, disambiguation), words)

    def write(self, path: Path) -> None:
        """Write it for other processes; its words lie beside it.

        Raises:
            SpeechbenchError: There is no place for it.
        """
        if not self.fst.write(str(path)):
            raise SpeechbenchError(f"{path}: the graph could not be written; make place there, or set TMPDIR to another folder")
        write_json(path.with_suffix(WORDS), self._numbers)

    @classmethod
    def read(cls, path: Path) -> Graph:
        """Read what `write` wrote."""
        return cls(kaldifst.StdVectorFst.read(str(path)), read_json(path.with_suffix(WORDS)))

    def with_word_cost(self, cost: float) -> Graph:
        """This graph with a cost for each word; below 0 it is a reward."""
        if not cost:
            return self
        arcs = "".join(f"0 0 {number} {number} {cost}\n" for number in sorted(self.words) if number != EPSILON)
        return self._spoken_by(kaldifst.compile(arcs + "0\n"))

    def saying(self, words: Sequence[str]) -> Graph | None:
        """The paths of this graph that say exactly these words; None where it has no such path."""
        if any(word not in self._numbers for word in words):
            return None
        found = self._spoken_by(kaldifst.make_linear_acceptor([self._numbers[word] for word in words]))
        return found if found.fst.num_states else None

    def _spoken_by(self, sentences: Fst) -> Graph:
        # Matched on the right, whose labels are sorted; this graph's are sorted by its columns.
        return Graph(kaldifst.StdVectorFst(kaldifst.compose(self.fst, sentences, match_side="right")), self._numbers)

    def decode(self, scores: NDArray[np.float32], beam: float = 16.0, max_active: int = 2000) -> BestPath | None:
        """The best path for acoustic scores of shape (T, S); None where no path reaches the graph's end."""
        options = kaldi_decoder.FasterDecoderOptions(beam=beam, max_active=max_active)
        decoder = kaldi_decoder.FasterDecoder(self.fst, options)
        decoder.decode(kaldi_decoder.DecodableCtc(np.ascontiguousarray(scores, dtype=np.float32)))
        if decoder.num_frames_decoded() == 0 or not decoder.reached_final():
            return None
        found, linear = decoder.get_best_path()
        return self.path(linear) if found else None

    def path(self, linear: Fst) -> BestPath:
        """What a decoder of this graph gives as its best path."""
        _, columns, words, weight = kaldifst.get_linear_symbol_sequence(linear)
        score = -(weight.value1 + weight.value2)
        return BestPath(np.asarray(columns, dtype=np.int64) - 1, [self.words[word] for word in words], score)


class Aligner:
    """Forced alignment: the best path through the pronunciations of a known sentence."""

    def __init__(self, topology: Topology, lexicon: Lexicon) -> None:
        self.words = number_words(lexicon)
        self.names = {number: word for word, number in self.words.items()}
        lexicon_fst, _ = lexicon_transducer(lexicon, self.words, topology.units, topology.separator, ambiguous=True)
        self.units_to_words, self.topology = lexicon_fst, topology

    def graph(self, words: Sequence[str]) -> Graph:
        """The graph of one sentence."""
        sentence = kaldifst.make_linear_acceptor([self.words[word] for word in words])
        pronounced = kaldifst.StdVectorFst(kaldifst.compose(self.units_to_words, sentence))
        kaldifst.arcsort(pronounced, sort_type="ilabel")
        graph = Graph(self.topology.scored(pronounced, []), self.words)
        graph.words = self.names  # one for all of thousands of sentences
        return graph


def pieces_of(path: NDArray[np.int64], topology: Topology) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The units on an HMM path, by number, and the first frame of each."""
    units, states = topology.owners[path].T
    # A unit begins where the last state of the one before gives way to a first state.
    starts = np.flatnonzero(np.concatenate([[True], (states[1:] == 0) & (states[:-1] == topology.states - 1)]))
    return units[starts], starts


def units_on(path: NDArray[np.int64], topology: Topology) -> Iterator[tuple[str, int, int]]:
    """The units on an HMM path with their first frame and the one behind their last: (unit, start, end)."""
    if len(path):
        units, starts = pieces_of(path, topology)
        names = [topology.units[unit] for unit in units.tolist()]
        yield from zip(names, starts.tolist(), [*starts[1:].tolist(), len(path)], strict=True)
