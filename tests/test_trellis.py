import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.graph import Aligner, Topology
from pipelines.phoneme import trellis
from pipelines.phoneme.trellis import Trellises, best_paths, groups
from pipelines.tree import LEFT, RIGHT, Question, Tree

LEXICON = {"a": (("EY",), ("AH",)), "at": (("AE", "T"),), "tea": (("T", "IY"),), "tat": (("T", "AE", "T"), ("T", "AH", "T"))}
UNITS = ("SIL", "AE", "AH", "EY", "IY", "T")
PLAIN = Topology(UNITS, "SIL", 3)


def tied():
    """First states ask who is before them, last states who follows, those of T about both; one of silence asks, too."""
    owners = [(unit, state) for unit in range(len(UNITS)) for state in range(3)]
    roots = [[3 * unit, 3 * unit + 1, 3 * unit + 2] for unit in range(len(UNITS))]

    def ask(unit, state, *questions):
        for side, among in questions:
            owners.append((unit, state))
            roots[unit][state] = Question(side, frozenset(among), len(owners) - 1, roots[unit][state])

    for unit in range(1, len(UNITS)):
        ask(unit, 0, (LEFT, {0, -1}))
        ask(unit, 2, (RIGHT, {1, 2}))
    ask(5, 0, (RIGHT, {4}), (LEFT, {5}))
    ask(5, 1, (LEFT, {1, 2}), (RIGHT, {-1}))
    ask(0, 0, (LEFT, {5}))
    return PLAIN.tied(Tree(tuple(map(tuple, roots)), tuple(owners)))


TIED = tied()


def shortest(words):
    return 3 * sum(min(map(len, LEXICON[word])) for word in words)


@pytest.mark.slow
@given(
    st.sampled_from([PLAIN, TIED]),
    st.lists(st.lists(st.sampled_from(sorted(LEXICON)), min_size=1, max_size=5), min_size=1, max_size=4),
    st.lists(st.integers(0, 30), min_size=4, max_size=4),
    st.integers(0, 2**20),
)
@settings(max_examples=150, deadline=None)
def test_no_path_of_the_sentence_s_transducer_is_better(topology, sentences, more, seed):
    rng = np.random.default_rng(seed)
    lengths = [shortest(words) + extra for words, extra in zip(sentences, more, strict=False)]
    every = [rng.normal(0, 3, (length, topology.columns)).astype(np.float32) for length in lengths]
    make, aligner = Trellises(topology, LEXICON), Aligner(topology, LEXICON)
    trellises = [make.of(words) for words in sentences]
    found = best_paths(trellises, [s[:, t.columns] for s, t in zip(every, trellises, strict=True)], lengths)
    for words, scores, path, sentence in zip(sentences, every, found, trellises, strict=True):
        graph = aligner.graph(words)
        assert set(path) <= set(sentence.columns.tolist()) <= set(graph.columns.tolist())
        expected = graph.decode(scores, math.inf)
        assert path.tolist() == expected.columns.tolist()


@pytest.mark.parametrize("topology", [PLAIN, TIED])
def test_a_sentence_is_aligned_alike_alone_and_beside_others(topology, monkeypatch):
    rng = np.random.default_rng(0)
    texts = ["tea at a", "a", "tat tea tat a at", "at tat", "a a a a"] * 3
    make = Trellises(topology, LEXICON)
    trellises = [make.of(text.split()) for text in texts]
    lengths = [int(shortest(text.split()) + rng.integers(0, 40)) for text in texts]
    scores = [rng.normal(0, 3, (n, len(t.columns))).astype(np.float32) for n, t in zip(lengths, trellises, strict=True)]
    alone = [best_paths([t], [s], [n])[0].tolist() for t, s, n in zip(trellises, scores, lengths, strict=True)]
    assert [path.tolist() for path in best_paths(trellises, scores, lengths)] == alone
    sizes = [one.places.size for one in trellises]
    monkeypatch.setattr(trellis, "CELLS", 10_000)
    parts = list(groups(sizes, lengths))
    assert len(parts) > 2
    assert sorted(number for part in parts for number in part) == list(range(len(texts)))
    for part in parts:
        assert len(part) == 1 or sum(sizes[number] for number in part) * max(lengths[number] for number in part) <= 10_000


def test_scores_far_from_0_lose_nothing():
    """Sums of many large numbers are not exact; what all columns of a frame have in common is taken off first."""
    one = Trellises(PLAIN, LEXICON).of(["tea", "at", "tat"])
    scores = np.random.default_rng(1).normal(0, 0.01, (4000, len(one.columns))).astype(np.float32)
    near, far = (best_paths([one], [values], [4000])[0] for values in (scores, scores - np.float32(64)))
    # 64 leaves 17 bits behind the point: hardly any choice hangs on them.
    assert np.mean(near != far) < 0.01


def test_no_context_means_no_copies():
    """A unit has as many copies as its columns differ, so that an untied sentence has each unit once for each place."""
    assert len(Trellises(PLAIN, LEXICON).of(["tea", "at"]).first) == 3 + 2 + 2
    assert len(Trellises(TIED, LEXICON).of(["tea", "at"]).first) > 7


def test_too_few_frames_are_an_error():
    one = Trellises(PLAIN, LEXICON).of(["tea"])
    with pytest.raises(AssertionError, match="frames for each state"):
        best_paths([one], [np.zeros((5, len(one.columns)), np.float32)], [5])
