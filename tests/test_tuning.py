import numpy as np
import pytest
from planted_scores import ctc_columns, plant

from pipelines.graph import BestPath, Graph, Topology
from pipelines.tuning import Weights, search, tune_weights
from speechbench.language_model import train_ngram
from speechbench.lexicon import spell

TOPOLOGY = Topology((" ", "a", "b", "c"), " ", 0)


@pytest.fixture
def graph(tmp_path):
    train_ngram(["ab", "ab", "ab", "ab ab", "ac"], tmp_path / "lm.arpa", 2)
    return Graph.build(TOPOLOGY, spell(["ab", "ac"]), tmp_path / "lm.arpa")


def scores_of(text, against=-8.0):
    return plant(ctc_columns(TOPOLOGY, list(text)), TOPOLOGY.columns, against)


def test_weights_by_hand():
    scores, log_priors = np.array([[-1.0, -2.0]], np.float32), np.array([-0.5, -3.0], np.float32)
    np.testing.assert_allclose(Weights(0.5, 1.0).apply(scores, log_priors), [[-0.25, 0.5]])
    np.testing.assert_allclose(Weights(2.0, 0.0).apply(scores, log_priors), 2 * scores)
    assert Weights(0.3, 0.7).apply(scores, log_priors).dtype == np.float32


def test_each_candidate_is_one_look_at_dev(graph):
    candidates = [Weights(scale, prior) for scale in (0.1, 1.0) for prior in (0.0, 0.5)]
    dev = [(["ab"], scores_of("ab")), (["ab", "ac"], scores_of("ab ac"))]
    _, looks = tune_weights(graph, dev, np.zeros(5, np.float32), candidates, 16.0)
    assert [(look["acoustic_scale"], look["prior_weight"]) for look in looks] == [(0.1, 0), (0.1, 0.5), (1, 0), (1, 0.5)]
    assert all(look["dev_words"] == 3 for look in looks)
    assert all(look["dev_wer"] == look["dev_errors"] / 3 for look in looks)


def test_the_weights_with_the_fewest_errors_are_chosen(graph):
    """At a small scale the language model's favourite drowns what was said."""
    dev = [(["ac"], scores_of("ac", against=-3.0)), (["ac", "ac"], scores_of("ac ac", against=-3.0))]
    chosen, looks = tune_weights(graph, dev, np.zeros(5, np.float32), [Weights(0.1, 0), Weights(3.0, 0)], 30.0)
    assert chosen == Weights(3.0, 0)
    assert [look["dev_errors"] > 0 for look in looks] == [True, False]


def test_of_equals_the_first_is_chosen(graph):
    candidates = [Weights(1.0, 0.3), Weights(1.0, 0.0), Weights(2.0, 0.0)]
    chosen, _ = tune_weights(graph, [(["ab"], scores_of("ab"))], np.zeros(5, np.float32), candidates, 16.0)
    assert chosen is candidates[0]


def test_priors_take_from_the_blank_what_deletes_words(graph):
    """A network that says blank half of the time, whatever is said: dividing by priors brings the words back."""
    columns = ctc_columns(TOPOLOGY, list("ab ab"))
    scores = plant(columns, TOPOLOGY.columns)
    scores[:, 0] = 3.0
    log_priors = np.array([0.0, -6.0, -6.0, -6.0, -6.0], np.float32)
    with_priors, without = Weights(1.0, 1.0), Weights(1.0, 0.0)
    chosen, looks = tune_weights(graph, [(["ab", "ab"], scores)], log_priors, [without, with_priors], 16.0)
    assert chosen == with_priors
    assert [look["dev_errors"] for look in looks] == [2, 0]


def test_an_utterance_without_a_path_counts_as_deleted(graph):
    nothing = np.zeros((0, 5), np.float32)
    _, (look,) = tune_weights(graph, [(["ab", "ac"], nothing)], np.zeros(5, np.float32), [Weights(1, 0)], 16.0)
    assert (look["dev_errors"], look["dev_wer"]) == (2, 1.0)


def test_search_goes_wider_where_a_narrow_beam_ends_nowhere():
    found = BestPath(np.zeros(1, np.int64), ["ab"], -1.0)

    beams = []

    class Maze:
        def decode(self, scores, beam):
            beams.append(beam)
            return found if beam > 20 else None

    assert search(Maze(), np.zeros((1, 5), np.float32), 8.0) is found
    assert beams == [8.0, 24.0]
    assert search(Maze(), np.zeros((1, 5), np.float32), 2.0) is None
