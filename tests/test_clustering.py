import numpy as np
import pytest
from planted_scores import hmm_columns

from pipelines.graph import Topology
from pipelines.phoneme.clustering import Contexts, grow, log_likelihood, questions
from pipelines.tree import Question, Tree

UNITS = ("SIL", "AA", "IY", "M", "N", "S", "T")
TOPOLOGY = Topology(UNITS, "SIL", 3)
NASAL = ("M", "N")
PITCH = (0, 10, 30, 60, 61, 90, 120)  # of each unit: nasals sound alike


def speak(units, rng, shift):
    """Features that are a state's own, with AA's first state moved behind a nasal."""
    path = hmm_columns(TOPOLOGY, units, 2)
    features = np.array([[PITCH[c // 3], 5 * (c % 3)] for c in path]) + rng.normal(0, 0.3, (len(path), 2))
    for place, (unit, before) in enumerate(zip(units, ["SIL", *units], strict=False)):
        if unit == "AA" and before in NASAL:
            features[6 * place : 6 * place + 2] += shift
    return features.astype(np.float32), np.array(path)


@pytest.fixture(scope="module")
def contexts():
    rng = np.random.default_rng(0)
    spoken = []
    for _ in range(150):
        middle = rng.choice(UNITS[1:], 6).tolist()
        spoken.append(speak(["SIL", *middle, "SIL"], rng, 4.0))
    return Contexts.gather(TOPOLOGY, spoken)


def number(unit):
    return UNITS.index(unit)


def test_frames_are_counted_by_context():
    rng = np.random.default_rng(1)
    features, path = speak(["SIL", "M", "AA", "M", "AA"], rng, 0.0)
    found = Contexts.gather(TOPOLOGY, [(features, path)] * 3)
    rows = {tuple(key): moments for key, moments in zip(found.keys.tolist(), found.moments, strict=True)}
    assert len(rows) == 5 * 3
    assert rows[number("SIL"), 0, -1, number("M")][0] == 6  # two frames, three times
    behind = rows[number("AA"), 2, number("M"), -1]
    np.testing.assert_allclose(behind[1:3], 3 * features[-2:].sum(0), rtol=1e-5)
    np.testing.assert_allclose(behind[3:], 3 * np.square(features[-2:]).sum(0), rtol=1e-5)
    assert found.moments[:, 0].sum() == 3 * len(path)


def test_log_likelihood_is_that_of_the_best_gaussian():
    values = np.random.default_rng(2).normal(1, 2, (50, 1))
    moments = np.array([50, values.sum(), np.square(values).sum()])
    oracle = -0.5 * (np.log(values.var()) + np.square(values - values.mean()) / values.var()).sum()
    assert log_likelihood(moments) == pytest.approx(oracle + 25)  # up to the constant of a half per frame


def test_what_sounds_alike_is_one_question(contexts):
    masks = questions(contexts, len(UNITS))
    assert {tuple(mask) for mask in np.eye(len(UNITS), dtype=bool)} <= {tuple(mask) for mask in masks}
    together = {frozenset(np.flatnonzero(mask)) for mask in masks}
    assert frozenset(map(number, NASAL)) in together


def test_the_planted_question_is_found(contexts):
    tree = grow(contexts, TOPOLOGY, 22, 20.0, 50.0)
    assert len(tree.owners) == 22
    root = tree.roots[number("AA")][0]
    assert isinstance(root, Question)
    assert root.side == "left"
    behind = {unit: tree.column(number(unit), number("AA"), number("T"), 0) for unit in UNITS}
    assert behind["M"] == behind["N"]
    assert len({behind[unit] for unit in UNITS if unit not in NASAL}) == 1
    assert behind["M"] != behind["T"]


def test_no_split_without_gain_or_frames(contexts):
    plain = len(UNITS) * 3
    assert len(grow(contexts, TOPOLOGY, 100, 20.0, 1e9).owners) == plain
    assert len(grow(contexts, TOPOLOGY, 100, 1e9, 0.0).owners) == plain
    assert len(grow(contexts, TOPOLOGY, plain, 20.0, 0.0).owners) == plain


def test_every_context_has_a_column_of_its_own_unit_and_state(contexts):
    tree = grow(contexts, TOPOLOGY, 60, 5.0, 1.0)
    assert all(isinstance(root, int) for root in tree.roots[0])  # silence is never split
    for unit in range(len(UNITS)):
        for state in range(3):
            for left in range(-1, len(UNITS)):
                for right in range(-1, len(UNITS)):
                    assert tree.owners[tree.column(left, unit, right, state)] == (unit, state)


def test_a_tree_comes_back_from_its_file(contexts, tmp_path):
    tree = grow(contexts, TOPOLOGY, 40, 5.0, 1.0)
    tree.write(tmp_path / "tree.json", UNITS)
    assert Tree.read(tmp_path / "tree.json", UNITS) == tree
