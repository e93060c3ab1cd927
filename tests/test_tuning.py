import numpy as np
import pytest
from planted_scores import ctc_columns, plant

from pipelines import searching, tuning
from pipelines.graph import BestPath, Graph, Topology
from pipelines.searching import search
from pipelines.tuning import Candidates, Weights, tune_weights
from speechbench.jobs import workers
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


def tune(graph, dev, candidates, log_priors=None):
    found = tune_weights(graph, dev, np.zeros(5, np.float32) if log_priors is None else log_priors, candidates, 30.0)
    return found.weights, found.looks


def test_one_weight_after_the_other_and_each_look_counted(graph):
    candidates = Candidates((1.0, 0.5, 2.0), (0.0, 0.5), (0.0, -1.0))
    dev = [(["ab"], scores_of("ab")), (["ab", "ac"], scores_of("ab ac"))]
    _, looks = tune(graph, dev, candidates)
    tried = [tuple(look[key] for key in ("acoustic_scale", "prior_weight", "word_cost")) for look in looks]
    assert tried == [(1, 0, 0), (0.5, 0, 0), (2, 0, 0), (1, 0.5, 0), (1, 0, -1)]
    assert len(looks) == candidates.looks
    assert all(look["dev_words"] == 3 for look in looks)
    assert all(look["dev_wer"] == look["dev_errors"] / 3 for look in looks)


def test_the_weights_with_the_fewest_errors_are_chosen(graph):
    """At a small scale the language model's favourite drowns what was said."""
    dev = [(["ac"], scores_of("ac", against=-3.0)), (["ac", "ac"], scores_of("ac ac", against=-3.0))]
    chosen, looks = tune(graph, dev, Candidates((0.1, 3.0), (0.0,), (0.0,)))
    assert chosen == Weights(3.0, 0)
    assert [look["dev_errors"] > 0 for look in looks] == [True, False]


def test_what_is_tried_later_stands_on_what_was_chosen_before(graph):
    dev = [(["ac"], scores_of("ac", against=-3.0))]
    _, looks = tune(graph, dev, Candidates((0.1, 3.0), (0.0, 0.5), (0.0,)))
    assert [(look["acoustic_scale"], look["prior_weight"]) for look in looks] == [(0.1, 0), (3.0, 0), (3.0, 0.5)]


def test_of_equals_the_first_is_chosen(graph):
    chosen, _ = tune(graph, [(["ab"], scores_of("ab"))], Candidates((1.0, 2.0), (0.3, 0.0), (0.0, -0.1)))
    assert chosen == Weights(1.0, 0.3, 0.0)


def test_priors_take_from_the_blank_what_deletes_words(graph):
    """A network that says blank half of the time, whatever is said: dividing by priors brings the words back."""
    columns = ctc_columns(TOPOLOGY, list("ab ab"))
    scores = plant(columns, TOPOLOGY.columns)
    scores[:, 0] = 3.0
    log_priors = np.array([0.0, -6.0, -6.0, -6.0, -6.0], np.float32)
    chosen, looks = tune(graph, [(["ab", "ab"], scores)], Candidates((1.0,), (0.0, 1.0), (0.0,)), log_priors)
    assert chosen == Weights(1.0, 1.0)
    assert [look["dev_errors"] for look in looks] == [2, 0]


def test_a_reward_for_words_brings_back_what_the_language_model_deletes(graph):
    """Where each letter is a little worse than silence, a word is not worth what it costs. Two need more frames."""
    scores = plant([0, 0, 0], TOPOLOGY.columns, -1.0)
    silent = graph.decode(scores, 100.0)
    chosen, looks = tune(graph, [(["ab"], scores)], Candidates((1.0,), (0.0,), (0.0, -8.0, 8.0)))
    assert (silent.words, looks[0]["dev_errors"], chosen.word_cost) == ([], 1, -8.0)


def test_each_word_costs_what_it_costs(graph):
    scores, words = scores_of("ab ab"), ["ab", "ab"]
    plain, costly = graph.decode(scores, 100.0), graph.with_word_cost(0.75).decode(scores, 100.0)
    assert plain.words == costly.words == words
    assert plain.score - costly.score == pytest.approx(1.5, abs=1e-3)
    assert graph.with_word_cost(0.0) is graph


def test_a_graph_that_may_say_one_text_alone(graph):
    scores = np.repeat(scores_of("ab ab"), 3, axis=0)
    for words in (["ab", "ab"], ["ac"], ["ac", "ab", "ab"]):
        path = graph.saying(words).decode(scores, 1000.0)
        assert path.words == words
        assert path.score <= graph.decode(scores, 1000.0).score + 1e-3
    assert graph.saying(["ab", "ab"]).decode(scores, 1000.0).score == pytest.approx(
        graph.decode(scores, 1000.0).score, abs=1e-3
    )
    assert graph.saying(["nothing"]) is None


def test_processes_change_nothing(graph, monkeypatch):
    candidates = Candidates((1.0, 0.3), (0.0, 0.5), (0.0, -2.0))
    dev = [(["ab"] * n, scores_of(" ".join(["ab"] * n), against=-3.0)) for n in range(1, 6)]
    dev += [(["ac", "ab"], np.zeros((0, 5), np.float32))]
    log_priors = np.zeros(5, np.float32)
    alone = tune_weights(graph, dev, log_priors, candidates, 30.0)
    started = []
    monkeypatch.setattr(tuning, "workers", lambda count, *modules: (started.append(count), workers(count, *modules))[1])
    assert tune_weights(graph, dev, log_priors, candidates, 30.0, most=2).looks == alone.looks
    monkeypatch.setattr(searching, "WORTH_A_PROCESS", 100)
    together = tune_weights(graph, dev, log_priors, candidates, 30.0, most=2)
    assert started == [1, 2]  # so little is searched in this process
    assert (together.weights, together.looks) == (alone.weights, alone.looks)
    for path, other in zip(together.paths, alone.paths, strict=True):
        assert (path is None) == (other is None)
        if path and other:
            assert (path.words, path.score) == (other.words, other.score)
            np.testing.assert_array_equal(path.columns, other.columns)


def test_an_utterance_without_a_path_counts_as_deleted(graph):
    _, (look,) = tune(graph, [(["ab", "ac"], np.zeros((0, 5), np.float32))], Candidates((1.0,), (0.0,), (0.0,)))
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
