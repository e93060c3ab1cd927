"""Oracles on scores that are anything but clear, so that the recogniser errs and they have something to mend."""

import math

import numpy as np
import pytest
from planted_scores import hmm_columns, plant

from pipelines.graph import Graph, Topology
from pipelines.oracles import Oracles
from pipelines.searching import search
from speechbench.language_model import train_ngram
from speechbench.score import Counts, align, count

PHONES = {
    "tea": (("T", "IY"),),
    "tee": (("T", "IY"),),
    "eat": (("IY", "T"),),
    "mate": (("M", "EY", "T"),),
    "meet": (("M", "IY", "T"),),
    "tomato": (("T", "M", "EY", "T"), ("T", "EY", "M")),
    "rare": (("EY", "IY"),),  # in the lexicon, not in the language model
}
HMM = Topology(("SIL", "EY", "IY", "M", "T"), "SIL", 2)
TEXTS = ["tea", "tee meet", "tea tea", "eat tea", "mate", "mate eat", "eat tomato", "meet mate", "tomato tee eat"]
BEAM = 11.0


def oracles_of(folder, word_cost=0.0):
    train_ngram(TEXTS, folder / "lm.arpa", 2)
    return Oracles(Graph.build(HMM, PHONES, folder / "lm.arpa").with_word_cost(word_cost), HMM, PHONES, word_cost)


@pytest.fixture(scope="module", params=[0.0, -0.7])
def oracles(request, tmp_path_factory):
    return oracles_of(tmp_path_factory.mktemp("oracles"), request.param)


def noisy(words, seed, noise=4.0):
    rng = np.random.default_rng(seed)
    units = [unit for word in words for unit in ("SIL", *PHONES[word][int(rng.integers(len(PHONES[word])))])]
    scores = plant(hmm_columns(HMM, units, 2), HMM.columns, -3.0)
    return (scores + rng.normal(0, noise, scores.shape)).astype(np.float32)


@pytest.fixture(scope="module")
def spoken():
    """Sentences of the language model, with scores that are often wrong."""
    return [(text.split(), noisy(text.split(), [seed, number])) for seed in range(12) for number, text in enumerate(TEXTS)]


def words_of(path):
    return path.words if path else []


def errors(reference, path):
    return count(align(reference, words_of(path)))


def test_the_ordering_holds(oracles, spoken):
    """What is guaranteed utterance by utterance is checked there; the pooled rate of the phonemes' oracle is measured."""
    heard_total = phonemes_total = language_total = Counts()
    for words, scores in spoken:
        heard = errors(words, search(oracles.graph, scores, BEAM))
        assert errors(words, oracles.words(words, scores)).errors == 0
        language = errors(words, oracles.language_model(words, scores, BEAM))
        assert language.errors in (0, heard.errors)
        phonemes = errors(words, oracles.phonemes(words, scores))
        assert phonemes.errors == 0 or heard.errors > 0
        heard_total, phonemes_total, language_total = heard_total + heard, phonemes_total + phonemes, language_total + language
    assert heard_total.rate > 0.1
    assert language_total.rate < heard_total.rate
    assert phonemes_total.rate < heard_total.rate


def test_a_wider_search_never_scores_less(oracles, spoken):
    for words, scores in spoken[:30]:
        narrow = oracles.graph.decode(scores, 2.0)
        wide, open_ = oracles.wide(scores, BEAM), oracles.graph.decode(scores, math.inf)
        assert narrow is None or wide.score >= narrow.score - 1e-3
        assert wide.score == pytest.approx(open_.score, abs=1e-3)
        assert wide.score >= oracles.words(words, scores).score - 1e-2  # no reference was lost in the search


def test_the_score_of_the_reference_is_that_of_the_search_when_it_is_heard(oracles):
    for number, text in enumerate(TEXTS):
        scores = noisy(text.split(), number, noise=0.1)
        heard = search(oracles.graph, 20 * scores, 500.0)
        if heard.words == text.split():
            assert oracles.words(heard.words, 20 * scores).score == pytest.approx(heard.score, rel=1e-5)
            assert oracles.phonemes(heard.words, 20 * scores).score == pytest.approx(heard.score, rel=1e-5)
    assert heard.words == ["tomato", "tee", "eat"]


def test_right_phonemes_leave_what_sounds_alike_to_the_language_model(tmp_path):
    oracles = oracles_of(tmp_path)
    heard = oracles.phonemes(["tee"], noisy(["tee"], 0))
    assert heard.words == ["tea"]
    assert oracles.language_model(["tee"], noisy(["tee"], 0, noise=0.0), BEAM).words == ["tee"]


def test_a_word_outside_the_language_model_is_aligned_and_cannot_be_said(tmp_path):
    oracles = oracles_of(tmp_path)
    scores = noisy(["rare"], 0, noise=0.0)
    path = oracles.words(["rare"], scores)
    assert (path.words, path.score, len(path.columns)) == (["rare"], -math.inf, len(scores))
    assert oracles.phonemes(["rare"], scores) is None
    assert oracles.language_model(["rare"], scores, BEAM).words == ["rare"]


@pytest.mark.parametrize(("words", "frames"), [(["blorx"], 40), (["mate", "eat"], 9)])
def test_beyond_every_oracle(tmp_path, words, frames):
    """A word outside the lexicon, and a text too long for its audio."""
    oracles, scores = oracles_of(tmp_path), np.zeros((frames, HMM.columns), np.float32)
    assert oracles.words(words, scores) is None
    assert oracles.phonemes(words, scores) is None
    assert oracles.language_model(words, scores, BEAM) is None
