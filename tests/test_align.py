import numpy as np
import pytest
import torch
from planted_scores import hmm_columns, plant

from pipelines.graph import Topology, units_on
from pipelines.phoneme.align import Sentences, align_one, flat_start, retied
from pipelines.phoneme.corpus import Spoken, write_frames
from pipelines.tree import LEFT, RIGHT, Question, Tree

LEXICON = {"tea": (("T", "IY"),), "mate": (("M", "EY", "T"),)}
TOPOLOGY = Topology(("SIL", "EY", "IY", "M", "T"), "SIL", 3)
UNITS = {"tea mate": ["SIL", "T", "IY", "SIL", "M", "EY", "T", "SIL"], "mate": ["SIL", "M", "EY", "T"]}


def sentences_of(texts, topology=TOPOLOGY):
    return Sentences(topology, LEXICON, [Spoken(text, text.split(), None, [0]) for text in texts])


@pytest.fixture
def sentences():
    return sentences_of(UNITS)


@pytest.fixture
def frames(tmp_path):
    """The features are the scores themselves."""
    planted = [plant(hmm_columns(TOPOLOGY, units, 5), 15) for units in UNITS.values()]
    return write_frames(tmp_path / "frames.f32", map(torch.from_numpy, planted))


def test_planted_alignment_is_found(sentences, frames):
    found = frames.cut(sentences.align(frames, lambda features, columns: 10 * features[:, columns]))
    for path, units in zip(found, UNITS.values(), strict=True):
        assert path.tolist() == hmm_columns(TOPOLOGY, units, 5)


def test_scores_far_apart_are_aligned_all_the_same(sentences):
    """Early mixtures can be hopelessly wrong: the search goes wider until it ends."""
    rng = np.random.default_rng(0)
    for number, frames in enumerate((120, 60)):
        scores = rng.normal(0, 3000, (frames, 15)).astype(np.float32)
        assert len(align_one(sentences.graph(number), scores)) == frames


@pytest.mark.slow
def test_a_long_sentence_with_no_frame_to_spare():
    """All states stay open while all paths look alike: no limit may cut the end off."""
    path = align_one(sentences_of(["tea mate " * 250]).graph(0), np.zeros((15 * 250, 15), np.float32))
    assert [unit for unit, _, _ in units_on(path, TOPOLOGY)] == ["T", "IY", "M", "EY", "T"] * 250


AFTER_SILENCE = Question(LEFT, frozenset({-1, 0}), 15, 9)  # M's first state
BEFORE_T = Question(RIGHT, frozenset({4}), 16, 5)  # EY's last state
ROOTS = ((0, 1, 2), (3, 4, BEFORE_T), (6, 7, 8), (AFTER_SILENCE, 10, 11), (12, 13, 14))
TIED = TOPOLOGY.tied(Tree(ROOTS, (*((unit, state) for unit in range(5) for state in range(3)), (3, 0), (1, 2))))


def test_states_of_triphones_are_aligned_and_retied():
    sentences = sentences_of(["mate"], TIED)
    plain = np.array(hmm_columns(TOPOLOGY, UNITS["mate"], 5))
    expected = retied(plain, TOPOLOGY, TIED)
    swapped = plain.copy()
    swapped[plain == 9], swapped[plain == 5] = 15, 16
    assert expected.tolist() == swapped.tolist()
    path = align_one(sentences.graph(0), 10 * plant(expected.tolist(), 17))
    assert path.tolist() == expected.tolist()
    assert retied(expected, TIED, TOPOLOGY).tolist() == plain.tolist()
    assert [unit for unit, _, _ in units_on(path, TIED)] == UNITS["mate"]


def test_flat_start_puts_silence_where_it_is_quiet_and_spreads_the_rest(sentences):
    quiet, loud = np.full(15, -9.0), np.zeros(30)
    energies = [np.concatenate([quiet, loud, quiet, loud, loud[:15], quiet]), np.concatenate([quiet, loud, loud[:15]])]
    first, second = (flat_start(sentences.graph(n), TOPOLOGY, energy) for n, energy in enumerate(energies))
    spans = [(unit, end - start) for unit, start, end in units_on(first, TOPOLOGY)]
    units = [unit for unit, _ in spans]
    assert units == UNITS["tea mate"]
    assert [length for unit, length in spans if unit == "SIL"] == [15, 15, 15]
    assert [length for unit, length in spans if unit != "SIL"] == [15] * 5
    assert [(unit, end - start) for unit, start, end in units_on(second, TOPOLOGY)] == [(u, 15) for u in UNITS["mate"]]
    assert np.bincount(second, minlength=15)[TOPOLOGY.units.index("M") * 3 :][:3].tolist() == [5, 5, 5]


def test_flat_start_of_even_energy_goes_through_the_words(sentences):
    for number, text in enumerate(UNITS):
        path = flat_start(sentences.graph(number), TOPOLOGY, np.zeros(100))
        said = [unit for unit, _, _ in units_on(path, TOPOLOGY) if unit != "SIL"]
        assert said == [unit for unit in UNITS[text] if unit != "SIL"]


def test_some_sentences_are_the_same_as_among_all(sentences):
    some = sentences.some([1])
    assert [one.words for one in some.spoken] == [sentences.spoken[1].words]
    assert some.graph(0).columns.tolist() == sentences.graph(1).columns.tolist()


def test_some_utterances_are_spread_over_all(tmp_path):
    frames = write_frames(tmp_path / "f", [torch.zeros(10, 1)] * 12)
    assert list(frames.some(1000)) == list(range(12))
    assert list(frames.some(40)) == [0, 3, 6, 9]
