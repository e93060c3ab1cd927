"""What would be heard if one part of a recogniser were perfect: how much each part can be blamed for.

What holds whatever the data, as long as no search is cut short:

- words: the text is the reference.
- language-model: each utterance is heard as it was, or as the reference. So no utterance gets worse.
- phonemes: an utterance that was heard right stays right. All texts that are left have the reference's phonemes, so that the
  acoustic scores of their best paths are one number, and who won against all texts wins against these. An utterance with
  errors may get other errors; that their sum falls is to be expected, not certain.
- search: the score can only rise; the errors may rise with it, which is then the models' fault.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pipelines.graph import Aligner, BestPath, Graph, Topology
from pipelines.searching import search
from speechbench.lexicon import Lexicon

NO_LIMIT = 2**31 - 1  # on the search's states
WIDER = 3.0  # times the beam; on real speech twice the beam found all that five times the beam did
NEVER = -1e6  # the score of what an oracle rules out
OPEN = 1e5  # a beam that keeps all else


class Oracles:
    """The recogniser of a graph with one part made perfect. Each gives a path, or None where it cannot.

    Scores are weighted and of shape (T, S).
    """

    def __init__(self, graph: Graph, topology: Topology, lexicon: Lexicon, word_cost: float) -> None:
        self.graph, self.lexicon, self.word_cost = graph, lexicon, word_cost
        self.aligner = Aligner(topology, lexicon)

    def align(self, words: Sequence[str], scores: NDArray[np.float32]) -> BestPath | None:
        """The best path through the words' pronunciations, scored without a language model.

        None where a word is not in the lexicon, or there are too few frames.
        """
        if not all(word in self.lexicon for word in words):
            return None
        path = self.aligner.graph(words).decode(scores, math.inf, NO_LIMIT)
        return path and replace(path, score=path.score - self.word_cost * len(words))

    def words(self, words: Sequence[str], scores: NDArray[np.float32]) -> BestPath | None:
        """The best path of the reference, with its score in the graph; -inf where the graph cannot say it."""
        saying = self.graph.saying(words)
        path = saying.decode(scores, math.inf, NO_LIMIT) if saying else None
        aligned = path or self.align(words, scores)
        return path or (aligned and replace(aligned, score=-math.inf))

    def phonemes(self, words: Sequence[str], scores: NDArray[np.float32]) -> BestPath | None:
        """The best path of the word stage when it is told the reference's phonemes, as they lie in the audio."""
        gold = self.align(words, scores)
        if gold is None:
            return None
        frames = np.arange(len(scores))
        perfect = np.full(scores.shape, NEVER, np.float32)
        perfect[frames, gold.columns] = 0.0
        path = self.graph.decode(perfect, OPEN, NO_LIMIT)
        if path is None or path.score < NEVER / 2:  # no words of the graph sound like that
            return None
        return replace(path, score=path.score + float(scores[frames, gold.columns].sum()))

    def language_model(self, words: Sequence[str], scores: NDArray[np.float32], beam: float) -> BestPath | None:
        """The best path when the reference, too, is in the graph, at no cost of the language model's."""
        gold, heard = self.align(words, scores), search(self.graph, scores, beam)
        return heard if gold and heard and heard.score > gold.score else gold

    def wide(self, scores: NDArray[np.float32], beam: float) -> BestPath | None:
        """The best path of a search that drops nothing which could win."""
        return self.graph.decode(scores, WIDER * beam, NO_LIMIT)
