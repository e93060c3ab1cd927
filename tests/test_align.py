import numpy as np
import pytest
import torch
from planted_scores import hmm_columns, plant

from pipelines.frames import write_frames
from pipelines.graph import Topology, units_on
from pipelines.phoneme import align, trellis
from pipelines.phoneme.align import CLICK, MARGIN, PAUSE, Sentences, flat_start, retied, with_margins
from pipelines.tree import LEFT, RIGHT, Question, Tree

LEXICON = {"tea": (("T", "IY"),), "mate": (("M", "EY", "T"),)}
TOPOLOGY = Topology(("SIL", "EY", "IY", "M", "T"), "SIL", 3)
UNITS = {"tea mate": ["SIL", "T", "IY", "SIL", "M", "EY", "T", "SIL"], "mate": ["SIL", "M", "EY", "T"]}


def sentences_of(texts, topology=TOPOLOGY):
    return Sentences(topology, LEXICON, [text.split() for text in texts])


@pytest.fixture
def sentences():
    return sentences_of(UNITS)


@pytest.fixture
def frames(tmp_path):
    """The features are the scores themselves."""
    planted = [plant(hmm_columns(TOPOLOGY, units, 5), 15) for units in UNITS.values()]
    return write_frames(tmp_path / "frames.f32", map(torch.from_numpy, planted))


def planted_score(features, columns):
    return 10 * features[:, columns]


def test_planted_alignment_is_found(sentences, frames):
    found = frames.cut(sentences.align(frames, planted_score))
    for path, units in zip(found, UNITS.values(), strict=True):
        assert path.tolist() == hmm_columns(TOPOLOGY, units, 5)


def test_what_is_too_long_for_all_states_is_searched(sentences, frames, monkeypatch):
    whole = sentences.align(frames, planted_score)
    monkeypatch.setattr(align, "MOST_CELLS", 1)
    monkeypatch.setattr(trellis, "CELLS", 1)
    assert sentences.align(frames, planted_score).tolist() == whole.tolist()


def test_scores_far_apart_are_aligned_all_the_same(sentences, monkeypatch):
    """Early mixtures can be hopelessly wrong: the search goes wider until it ends."""
    monkeypatch.setattr(align, "MOST_CELLS", 1)
    monkeypatch.setattr(trellis, "CELLS", 1)
    rng, lengths = np.random.default_rng(0), [120, 60]
    values = [rng.normal(0, 3000, (length, 15)).astype(np.float32) for length in lengths]
    paths = sentences.paths(lengths, lambda number, columns: values[number][:, columns])
    assert list(map(len, paths)) == lengths


@pytest.mark.slow
def test_a_long_sentence_with_no_frame_to_spare(monkeypatch):
    """All states stay open while all paths look alike: no limit may cut the end off."""
    monkeypatch.setattr(align, "MOST_CELLS", 1)
    (path,) = sentences_of(["tea mate " * 250]).paths([15 * 250], lambda _, columns: np.zeros((15 * 250, len(columns))))
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
    scores = plant(expected.tolist(), 17)
    (path,) = sentences.paths([len(scores)], lambda _, columns: scores[:, columns])
    assert path.tolist() == expected.tolist()
    assert retied(expected, TIED, TOPOLOGY).tolist() == plain.tolist()
    assert [unit for unit, _, _ in units_on(path, TIED)] == UNITS["mate"]


def start(text, energy, lexicon=LEXICON):
    path = flat_start(text.split(), lexicon, TOPOLOGY, energy)
    return path, [(unit, end - start) for unit, start, end in units_on(path, TOPOLOGY)]


@pytest.mark.parametrize(("before", "behind"), [(100, 200), (100, 3), (0, 200), (0, 0)])
def test_what_is_said_has_a_margin(before, behind):
    path = np.repeat([0, 5, 1, 6, 0], (before, 10, 300, 10, behind))
    said = path[with_margins(path, np.array([0, 1]))]
    assert len(said) == 320 + min(before, MARGIN) + min(behind, MARGIN)
    assert said[min(before, MARGIN)] == 5 and said[-1 - min(behind, MARGIN)] == 6


def test_silence_alone_is_kept():
    assert with_margins(np.zeros(200, np.int64), np.array([0, 1])) == slice(0, 200)


QUIET, LOUD = np.full(15, -9.0), np.zeros(30)


def test_flat_start_puts_silence_where_it_is_quiet_and_spreads_the_rest():
    _, spans = start("tea mate", np.concatenate([QUIET, LOUD, QUIET, LOUD, LOUD[:15], QUIET]))
    assert spans == [(unit, 15) for unit in UNITS["tea mate"]]
    path, spans = start("mate", np.concatenate([QUIET, LOUD, LOUD[:15]]))
    assert spans == [(unit, 15) for unit in UNITS["mate"]]
    assert np.bincount(path, minlength=15)[TOPOLOGY.units.index("M") * 3 :][:3].tolist() == [5, 5, 5]


def test_flat_start_puts_a_pause_where_as_much_has_been_said():
    """After a quarter of what is loud: behind the first tea, not behind the first mate."""
    energy = np.concatenate([LOUD, QUIET, LOUD, LOUD, LOUD])
    _, spans = start("tea tea tea tea", energy)
    assert spans == [("T", 15), ("IY", 15), ("SIL", 15), *[("T", 15), ("IY", 15)] * 3]


def test_flat_start_takes_closures_and_clicks_for_what_is_around_them():
    closure, click = QUIET[: PAUSE - 1], LOUD[: CLICK - 1]
    energy = np.concatenate([QUIET, click, QUIET, LOUD, closure, LOUD, QUIET])
    _, spans = start("tea mate", energy)
    assert [unit for unit, _ in spans] == ["SIL", "T", "IY", "M", "EY", "T", "SIL"]
    assert spans[0] == ("SIL", 30 + CLICK - 1)


def test_flat_start_takes_little_silence_at_the_ends_for_silence():
    _, spans = start("mate", np.concatenate([QUIET[:3], LOUD, LOUD[:15], QUIET[:2]]))
    assert [unit for unit, _ in spans] == ["SIL", "M", "EY", "T"]
    assert spans[0] == ("SIL", 3)


def test_flat_start_knows_no_pause_within_a_word():
    _, spans = start("mate", np.concatenate([LOUD, QUIET, LOUD]))
    assert spans == [("M", 25), ("EY", 25), ("T", 25)]


@pytest.mark.parametrize("text", UNITS)
def test_flat_start_of_even_energy_goes_through_the_words(text):
    _, spans = start(text, np.zeros(100))
    assert [unit for unit, _ in spans] == [unit for unit in UNITS[text] if unit != "SIL"]


def test_flat_start_with_hardly_a_frame_to_spare():
    """Silence leaves too few: the phonemes take its frames; and there are frames for the shortest pronunciations alone."""
    _, spans = start("tea mate", np.concatenate([QUIET, LOUD[:2]]))
    assert [unit for unit, _ in spans] == ["T", "IY", "M", "EY", "T"]
    lexicon = {"mate": (("M", "EY", "IY", "T"), ("M", "EY", "T"))}
    _, spans = start("mate", np.zeros(11), lexicon)
    assert [unit for unit, _ in spans] == ["M", "EY", "T"]


def test_some_sentences_are_the_same_as_among_all(sentences):
    some = sentences.some([1])
    assert some.texts == [sentences.texts[1]]
    assert some.trellis(0) is sentences.trellis(1)


def test_some_utterances_are_spread_over_all(tmp_path):
    frames = write_frames(tmp_path / "f", [torch.zeros(10, 1)] * 12)
    assert list(frames.some(1000)) == list(range(12))
    assert list(frames.some(40)) == [0, 3, 6, 9]
