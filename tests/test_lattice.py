import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted_scores import hmm_columns, plant

from pipelines import lattice
from pipelines.graph import BestPath, Graph, Topology
from pipelines.lattice import Lattice, Text, decode_lattice
from speechbench.language_model import train_ngram
from speechbench.score import align

PHONES = {"tea": (("T", "IY"),), "tee": (("T", "IY"),), "eat": (("IY", "T"),), "mate": (("M", "EY", "T"),)}
HMM = Topology(("SIL", "EY", "IY", "M", "T"), "SIL", 1)
TEXTS = ["tea", "tee", "tea tea", "eat tea", "mate", "mate eat", "eat", "tee mate"]


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    arpa = tmp_path_factory.mktemp("lattice") / "lm.arpa"
    train_ngram(TEXTS, arpa, 2)
    return Graph.build(HMM, PHONES, arpa)


def noise(seed, frames):
    return np.random.default_rng(seed).normal(0, 1.0, (frames, HMM.columns)).astype(np.float32)


@given(st.integers(0, 2**20), st.integers(2, 8))
@settings(max_examples=40, deadline=None)
def test_the_best_texts_are_those_that_are_near_the_best(graph, seed, frames):
    """Every text is scored on its own, by the search that must say it: the lattice holds all within its beam, in order."""
    scores = noise(seed, frames)
    alone = {}
    for size in range(4):
        for words in itertools.product(sorted(PHONES), repeat=size):
            saying = graph.saying(words)
            path = saying.decode(scores, math.inf) if saying else None
            if path is not None:
                alone[" ".join(words)] = path.score
    best = max(alone.values())
    near = {text for text, score in alone.items() if score > best - lattice.LATTICE_BEAMS[0] + 0.01}
    found = decode_lattice(graph, scores, 50.0, 1000)
    told = {" ".join(text.words): text.score for text in found.texts}
    assert len(told) == len(found.texts)
    assert near <= told.keys()
    for text in near:
        assert told[text] == pytest.approx(alone[text], abs=1e-2)
    for text in told.keys() & alone.keys():  # further away a text may have lost its best path
        assert told[text] <= alone[text] + 1e-2
    assert [text.score for text in found.texts] == pytest.approx(sorted(told.values(), reverse=True))
    assert found.texts[0].words == found.best.words
    assert found.texts[0].score == pytest.approx(found.best.score, abs=1e-2)


@given(st.integers(0, 2**20))
@settings(max_examples=20, deadline=None)
def test_the_best_path_is_that_of_the_plain_search(graph, seed):
    scores = noise(seed, 12)
    found, plain = decode_lattice(graph, scores, 50.0, 5).best, graph.decode(scores, 50.0)
    assert found.score == pytest.approx(plain.score, abs=1e-3)
    assert (found.words, found.columns.tolist()) == (plain.words, plain.columns.tolist())


def test_homophones_share_their_confidence(graph):
    """Nothing but the language model tells tea from tee."""
    found = decode_lattice(graph, plant(hmm_columns(HMM, ["T", "IY"], 3), HMM.columns, -20.0), 60.0, 50)
    assert [text.words for text in found.texts[:2]] == [["tea"], ["tee"]]
    odds = math.exp(found.texts[1].score - found.texts[0].score)
    assert found.confidences() == [pytest.approx(1 / (1 + odds), abs=0.01)]


def test_right_words_are_more_confident(graph):
    """Sentences of the language model under so much noise that about a third of their words is heard wrongly."""
    right, wrong = [], []
    for seed, text in itertools.product(range(10), TEXTS):
        units = [unit for word in text.split() for unit in ("SIL", *PHONES[word][0])]
        scores = plant(hmm_columns(HMM, units, 3), HMM.columns, -2.0)
        scores += np.random.default_rng([seed, len(units)]).normal(0, 2.0, scores.shape).astype(np.float32)
        found = decode_lattice(graph, scores, 30.0, 100)
        confidences = iter(found.confidences())
        for reference, word in align(text.split(), found.best.words):
            if word is not None:
                (right if reference == word else wrong).append(next(confidences))
    assert 0.1 < len(wrong) / len(right) < 1
    assert np.mean(right) > np.mean(wrong) + 0.1
    sure = [share for share in right + wrong if share > 0.9]
    assert sum(share > 0.9 for share in right) / len(sure) > len(right) / (len(right) + len(wrong))


def test_confidences_by_hand():
    best = BestPath(np.zeros(0, np.int64), ["a", "b", "c"], 0.0)
    texts = [(["a", "b", "c"], 0.5), (["a", "x", "c"], 0.3), (["b", "c"], 0.2)]
    found = Lattice(best, [Text(words, math.log(share)) for words, share in texts])
    assert found.confidences() == [0.8, 0.7, 1.0]
    assert Lattice(BestPath(np.zeros(0, np.int64), [], 0.0), [Text([], -1.0)]).confidences() == []


def test_no_path_no_lattice(graph):
    assert decode_lattice(graph, np.zeros((0, HMM.columns), np.float32), 16.0, 5) is None
    bounded = graph.saying(["mate"])
    assert decode_lattice(bounded, np.zeros((2, HMM.columns), np.float32), 16.0, 5) is None  # three phonemes in two frames


def test_a_lattice_too_large_is_made_narrower(graph, monkeypatch):
    scores = noise(3, 10)
    sizes = []
    for most in (10_000, 60, 1):
        monkeypatch.setattr(lattice, "MOST_STATES", most)
        found = decode_lattice(graph, scores, 50.0, 5000)
        assert found.texts[0].words == found.best.words == graph.decode(scores, 50.0).words
        sizes.append(len(found.texts))
    assert sizes[0] > sizes[1] > sizes[2] == 1
