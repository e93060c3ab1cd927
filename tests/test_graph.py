import math
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted_scores import AGAINST, ctc_columns, hmm_columns, plant

from pipelines.graph import Aligner, Graph, Topology, units_on
from pipelines.tree import LEFT, RIGHT, Question, Tree
from speechbench.errors import SpeechbenchError
from speechbench.grammar import read_grammar
from speechbench.language_model import read_arpa, train_ngram
from speechbench.lexicon import spell

PHONES = {
    "tea": (("T", "IY"),),
    "tee": (("T", "IY"),),  # sounds like tea
    "team": (("T", "IY", "M"),),  # tea is its prefix
    "teamy": (("T", "IY", "M", "IY"),),
    "mate": (("M", "EY", "T"),),
    "eat": (("IY", "T"),),
    "tomato": (("T", "EY", "M"), ("T", "IY", "M", "T")),  # two pronunciations
}
TEXTS = ["tea eat", "tee mate", "teamy eat tea", "team mate eat", "mate", "tomato tea", "eat tomato", "tea tea", "team"]
HMM = Topology(("SIL", "EY", "IY", "M", "T"), "SIL", 3)
# No word is two others in a row (as "aa" is "a a"): spaces are optional, for a network may miss one.
SPELLED = spell(["hello", "he", "hell", "low", "oo", "a", "yellow"])
CTC = Topology((" ", *sorted({c for word in SPELLED for c in word})), " ", 0)
SPELLED_TEXTS = ["hello yellow", "he a oo", "oo a a", "hell low", "low hello he", "yellow", "a hell he"]


@pytest.fixture(scope="module")
def hmm(tmp_path_factory):
    arpa = tmp_path_factory.mktemp("hmm") / "lm.arpa"
    train_ngram(TEXTS, arpa)
    return Graph.build(HMM, PHONES, arpa), read_arpa(arpa)


@pytest.fixture(scope="module")
def triphones(tmp_path_factory):
    arpa = tmp_path_factory.mktemp("triphones") / "lm.arpa"
    train_ngram(TEXTS, arpa)
    return arpa


@pytest.fixture(scope="module")
def ctc(tmp_path_factory):
    arpa = tmp_path_factory.mktemp("ctc") / "lm.arpa"
    train_ngram(SPELLED_TEXTS, arpa)
    return Graph.build(CTC, SPELLED, arpa), read_arpa(arpa)


def hmm_scores(words, separated=False, frames=1):
    units = ["SIL"] if separated else []
    for word in words:
        units += [*PHONES[word][0], *(["SIL"] if separated else [])]
    return plant(hmm_columns(HMM, units, frames), HMM.columns)


def ctc_scores(words, separator=" ", frames=1):
    return plant(ctc_columns(CTC, list(separator.join(words)), frames), CTC.columns)


def language_score(model, words):
    """Natural log of P(words and the sentence's end)."""
    whole = [*words, "</s>"]
    return math.log(10) * sum(model.log10(("<s>", *whole[:position]), word) for position, word in enumerate(whole))


HEARD = [word for word in PHONES if word != "tee"]  # nothing but the language model tells tea from tee


@given(st.lists(st.sampled_from(HEARD), min_size=1, max_size=5), st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_planted_words_are_heard_through_hmms(hmm, words, frames):
    path = hmm[0].decode(60 * hmm_scores(words, separated=True, frames=frames), beam=2000.0)
    assert ["tea" if word == "tee" else word for word in path.words] == words


def tied(splits):
    """HMM under a tree that splits some states by what stands on one side: (unit, state, side, units)."""
    owners = [(unit, state) for unit in range(len(HMM.units)) for state in range(HMM.states)]
    roots = [[unit * HMM.states + state for state in range(HMM.states)] for unit in range(len(HMM.units))]
    for unit, state, side, among in splits:
        roots[unit][state] = Question(side, among, len(owners), roots[unit][state])
        owners.append((unit, state))
    return HMM.tied(Tree(tuple(map(tuple, roots)), tuple(owners)))


UNIT = st.integers(1, len(HMM.units) - 1)
SPLIT = st.tuples(UNIT, st.integers(0, 2), st.sampled_from([LEFT, RIGHT]), st.frozensets(st.integers(0, len(HMM.units) - 1)))


@given(st.lists(st.sampled_from(HEARD), min_size=1, max_size=4), st.lists(SPLIT, max_size=12), st.booleans())
@settings(max_examples=40, deadline=None)
def test_planted_words_are_heard_through_tied_states(triphones, words, splits, separated):
    """The graph asks for the column that the tree gives each state between its neighbours, across words and pauses too."""
    topology = tied(splits)
    units = ["SIL"] if separated else []
    for word in words:
        units += [*PHONES[word][0], *(["SIL"] if separated else [])]
    numbers = [-1, *(HMM.units.index(unit) for unit in units), -1]
    columns = [
        c
        for left, unit, right in zip(numbers, numbers[1:], numbers[2:], strict=False)
        for c in topology.chain(left, unit, right)
    ]
    path = Graph.build(topology, PHONES, triphones).decode(60 * plant(columns, topology.columns), beam=2000.0)
    assert path.columns.tolist() == columns
    assert [unit for unit, _, _ in units_on(path.columns, topology)] == units
    if separated:  # without pauses other words may sound the same
        assert ["tea" if word == "tee" else word for word in path.words] == words
    assert (
        Aligner(topology, PHONES).graph(words).decode(60 * plant(columns, topology.columns), 2000.0).columns.tolist() == columns
    )


@given(st.lists(st.sampled_from(sorted(SPELLED)), min_size=1, max_size=5), st.integers(1, 3), st.booleans())
@settings(max_examples=60, deadline=None)
def test_planted_words_are_heard_through_ctc(ctc, words, frames, blanks):
    columns = ctc_columns(CTC, list(" ".join(words)), frames, blanks)
    path = ctc[0].decode(60 * plant(columns, CTC.columns), beam=2000.0)
    assert path.words == words
    assert path.columns.tolist() == columns


def test_a_graph_is_read_as_it_was_written(hmm, tmp_path):
    graph, _ = hmm
    path, scores = tmp_path / "-0.7.fst", np.random.default_rng(0).normal(0, 1, (60, HMM.columns)).astype(np.float32)
    graph.with_word_cost(-0.7).write(path)
    before, after = (one.decode(scores) for one in (graph.with_word_cost(-0.7), Graph.read(path)))
    assert before is not None and len(before.words) == 3
    assert (after.words, after.score) == (before.words, before.score)
    np.testing.assert_array_equal(after.columns, before.columns)
    with pytest.raises(SpeechbenchError, match=r"nowhere.a\.fst: the graph could not be written"):
        graph.write(tmp_path / "nowhere" / "a.fst")


@given(st.lists(st.sampled_from(HEARD), min_size=1, max_size=4), st.booleans())
@settings(max_examples=30, deadline=None)
def test_score_is_acoustics_and_language_model_and_separators(hmm, words, separated):
    graph, model = hmm
    scores = 5 * hmm_scores(words, separated)
    path = graph.decode(scores, beam=2000.0)
    acoustic = scores[np.arange(len(scores)), path.columns].sum()
    choices = (len(path.words) + 1) * math.log(0.5)  # a separator or none, before, between and after the words
    assert path.score == pytest.approx(acoustic + language_score(model, path.words) + choices, abs=0.01)


def test_score_of_ctc_by_hand(ctc):
    graph, model = ctc
    path = graph.decode(ctc_scores(["he", "a"]))
    assert path.words == ["he", "a"]
    assert path.score == pytest.approx(language_score(model, ["he", "a"]) + 3 * math.log(0.5), abs=0.01)


def test_search_finds_the_best_of_all_sentences(tmp_path):
    """Against trying every sentence and every path of a tiny task, with random scores."""
    train_ngram(["a b", "b", "a"], tmp_path / "lm.arpa", 2)
    lexicon, topology = {"a": (("A",),), "b": (("B",),)}, Topology(("-", "A", "B"), "-", 1)
    graph, model = Graph.build(topology, lexicon, tmp_path / "lm.arpa"), read_arpa(tmp_path / "lm.arpa")
    for seed in range(10):
        scores = np.random.default_rng(seed).normal(0, 2, (4, 3)).astype(np.float32)
        best = (-math.inf, None)
        for path in np.ndindex(*(3,) * 4):
            acoustic = scores[np.arange(4), list(path)].sum()
            for words in _readings(path):
                score = acoustic + language_score(model, words) + (len(words) + 1) * math.log(0.5)
                best = max(best, (score, words))
        found = graph.decode(scores, beam=1000.0)
        assert found.words == best[1]
        assert found.score == pytest.approx(best[0], abs=0.01)


def _readings(path):
    """All word sequences that a path of one-state units can stand for: a run may be one word or several alike."""
    readings = [[]]
    for position, unit in enumerate(path):
        last = path[position - 1] if position else None
        if unit == 0:
            if last != 0 or position == 0:
                continue
        elif unit == last:
            readings = readings + [[*reading, "-ab"[unit]] for reading in readings]
        else:
            readings = [[*reading, "-ab"[unit]] for reading in readings]
    return readings


def test_homophones_are_told_apart_by_the_language_model(hmm):
    graph, model = hmm
    for words in (["tea", "eat"], ["tee", "mate"], ["tea", "tea"]):
        path = graph.decode(10 * hmm_scores(words))
        rival = ["tee" if word == "tea" else "tea" if word == "tee" else word for word in words]
        assert language_score(model, words) > language_score(model, rival)
        assert path.words == words


def test_a_word_that_begins_another(hmm):
    for words in (["team", "mate"], ["teamy"], ["tee", "mate"], ["team"], ["tea"]):
        assert hmm[0].decode(60 * hmm_scores(words, separated=True), beam=2000.0).words == words


def test_both_pronunciations_are_heard(hmm):
    for pronunciation in PHONES["tomato"]:
        columns = hmm_columns(HMM, ["SIL", *pronunciation, "SIL"])
        assert hmm[0].decode(60 * plant(columns, HMM.columns), beam=2000.0).words == ["tomato"]


def test_separators_are_optional(hmm, ctc):
    for separated in (True, False):
        assert hmm[0].decode(hmm_scores(["mate"], separated)).words == ["mate"]
    for separator in (" ", ""):
        assert ctc[0].decode(ctc_scores(["hell", "low"], separator)).words == ["hell", "low"]


def test_words_end_without_a_blank(ctc):
    """A network may go from a word's last character to the space, and on, with no blank between."""
    path = ctc[0].decode(ctc_scores(["hello", "yellow"]))
    assert (path.words, 0 in path.columns[-6:]) == (["hello", "yellow"], True)  # the blank of ll alone
    assert np.count_nonzero(path.columns == 0) == 2


def test_a_repeated_letter_needs_a_blank(tmp_path):
    train_ngram(["hello"], tmp_path / "lm.arpa", 1)
    topology = Topology((" ", "e", "h", "l", "o"), " ", 0)
    graph = Graph.build(topology, spell(["hello"]), tmp_path / "lm.arpa")
    with_blank = [3, 2, 4, 0, 4, 5]
    assert graph.decode(plant(with_blank, 6)).columns.tolist() == with_blank
    without = graph.decode(plant([3, 2, 4, 4, 4, 5], 6))  # the blank that is missing is put between
    assert without.columns.tolist() == with_blank
    assert graph.decode(plant([3, 2, 4, 4, 5], 6)).words == []  # five frames are too few for h e l - l o
    assert Aligner(topology, spell(["hello"])).graph(["hello"]).decode(np.zeros((5, 6), np.float32)) is None


def test_too_short_audio_has_no_path(hmm):
    graph = Aligner(HMM, PHONES).graph(["team", "mate"])
    for frames in range(1, 25):
        path = graph.decode(np.zeros((frames, HMM.columns), np.float32), beam=math.inf)
        assert (path is not None) == (frames >= 18), frames
    assert hmm[0].decode(np.zeros((0, HMM.columns), np.float32)) is None
    assert hmm[0].decode(np.zeros((2, HMM.columns), np.float32)) is None


@given(
    st.lists(st.sampled_from(sorted(PHONES)), min_size=1, max_size=4), st.integers(0, 40), st.integers(0, 2**20), st.booleans()
)
@settings(max_examples=50, deadline=None)
def test_alignment_covers_all_frames_in_order(words, more, seed, quiet):
    """Whatever the scores, the path goes through one pronunciation of each word, state by state."""
    scores = np.random.default_rng(seed).normal(0, 0 if quiet else 3, (15 * len(words) + more, HMM.columns))
    path = Aligner(HMM, PHONES).graph(words).decode(scores.astype(np.float32), beam=math.inf)
    assert path.words == words
    spans = list(units_on(path.columns, HMM))
    assert [spans[0][1], spans[-1][2]] == [0, len(scores)]
    for (_, _, end), (_, start, _) in pairwise(spans):
        assert end == start
    for unit, start, end in spans:
        states = path.columns[start:end] - 3 * HMM.units.index(unit)
        assert sorted(set(states)) == [0, 1, 2]
        assert (np.diff(states) >= 0).all()
    assert tuple(unit for unit, _, _ in spans if unit != "SIL") in _sequences(words)
    assert not any(a == b == "SIL" for (a, _, _), (b, _, _) in pairwise(spans))


def _sequences(words):
    found = {()}
    for word in words:
        found = {(*before, *pronunciation) for before in found for pronunciation in PHONES[word]}
    return found


def test_alignment_finds_the_planted_boundaries():
    units = ["SIL", "T", "IY", "M", "SIL", "IY", "T"]
    columns = hmm_columns(HMM, units, frames=4)
    path = Aligner(HMM, PHONES).graph(["team", "eat"]).decode(plant(columns, HMM.columns), beam=100.0)
    assert path.columns.tolist() == columns
    assert list(units_on(path.columns, HMM)) == [(unit, 12 * n, 12 * n + 12) for n, unit in enumerate(units)]


def test_a_unit_that_follows_itself_is_two_units():
    columns = hmm_columns(HMM, ["T", "T"], frames=2)
    assert list(units_on(columns, HMM)) == [("T", 0, 6), ("T", 6, 12)]


def test_scores_are_not_changed_by_a_constant_per_frame(hmm):
    scores = hmm_scores(["team", "mate"])
    plain, shifted = hmm[0].decode(scores), hmm[0].decode(scores + np.float32(3))
    assert plain.words == shifted.words
    assert shifted.score - plain.score == pytest.approx(3 * len(scores), abs=0.01)


def test_a_wrong_frame_costs_what_it_costs(ctc):
    columns = ctc_columns(CTC, list("yellow"), 3)
    right = ctc[0].decode(plant(columns, CTC.columns)).score
    wrong = ctc[0].decode(plant([*columns[:7], 1, *columns[8:]], CTC.columns))
    assert wrong.words == ["yellow"]
    assert right - wrong.score == pytest.approx(-AGAINST, abs=0.01)


def test_words_without_pronunciation_are_lost_with_their_probability(tmp_path):
    train_ngram(["tea zebra apple", "tea mate", "zebra"], tmp_path / "lm.arpa")
    graph, model = Graph.build(HMM, PHONES, tmp_path / "lm.arpa"), read_arpa(tmp_path / "lm.arpa")
    path = graph.decode(60 * hmm_scores(["tea", "mate"]), beam=2000.0)
    assert path.words == ["tea", "mate"]
    assert path.score == pytest.approx(language_score(model, path.words) + 3 * math.log(0.5), abs=0.01)
    assert set(graph.words.values()) == {"<eps>", "tea", "mate", "#0"}


def test_a_model_of_which_nothing_can_be_pronounced(tmp_path):
    (tmp_path / "grammar.txt").write_text("zebra tea\nmate apple\n")
    with pytest.raises(SpeechbenchError, match=r"grammar\.txt: says no sentence whose words all have a pronunciation"):
        Graph.build(HMM, PHONES, tmp_path / "grammar.txt")


def test_a_grammar_allows_its_sentences_alone(tmp_path):
    (tmp_path / "grammar.txt").write_text("tea mate\nteam\ntomato tea\nteam\nzebra\n")
    graph, grammar = Graph.build(HMM, PHONES, tmp_path / "grammar.txt"), read_grammar(tmp_path / "grammar.txt")
    for words in (["tea", "mate"], ["team"], ["tomato", "tea"]):
        path = graph.decode(60 * hmm_scores(words, separated=True), beam=2000.0)
        assert path.words == words
        expected = math.log(10) * grammar.log10(words) + (len(words) + 1) * math.log(0.5)
        assert path.score == pytest.approx(expected, abs=0.01)
    assert graph.decode(hmm_scores(["tea", "tea"]), beam=1000.0).words in (["tomato", "tea"], ["tea", "mate"], ["team"])


GRAMMARS = {
    "cycles": "(tea | eat mate)+",
    "ambiguous": "(tea | tea tea | [eat])*",
    "weights": "/3/ tea [eat] | /1/ (team | tomato) mate*",
    "options": "([tea] [eat] [mate])+",
}


@pytest.mark.parametrize("name", GRAMMARS)
def test_any_grammar_scores_as_it_reads(tmp_path, name):
    (tmp_path / "grammar.txt").write_text(f"#JSGF V1.0;\npublic <said> = {GRAMMARS[name]};\n")
    graph, grammar = Graph.build(HMM, PHONES, tmp_path / "grammar.txt"), read_grammar(tmp_path / "grammar.txt")
    said = [words for size in range(1, 4) for words in product(grammar.words, repeat=size) if grammar.log10(words) > -math.inf]
    assert len(said) >= 3
    for words in said[:40]:
        path = graph.decode(60 * hmm_scores(words), beam=2000.0)
        assert path.words == list(words)
        expected = math.log(10) * grammar.log10(words) + (len(words) + 1) * math.log(0.5)
        assert path.score == pytest.approx(expected, abs=0.01)


def test_words_outside_the_model_are_never_heard(tmp_path):
    train_ngram(["tea"], tmp_path / "lm.arpa")
    graph = Graph.build(HMM, PHONES, tmp_path / "lm.arpa")
    assert set(graph.decode(hmm_scores(["team"]), beam=1000.0).words) <= {"tea"}


def test_a_file_from_elsewhere_without_all_histories(tmp_path):
    """Pruned models lack histories, and hold n-grams of words that are none of theirs."""
    (tmp_path / "lm.arpa").write_text(
        "\\data\\\nngram 1=5\nngram 2=2\nngram 3=2\n\n"
        "\\1-grams:\n-99 <s> -0.3\n-0.5 tea -0.2\n-0.6 mate\n-2 <unk>\n-0.4 </s>\n\n"
        "\\2-grams:\n-0.3 <s> tea -0.1\n-0.2 tea <unk>\n\n\\3-grams:\n-0.05 tea mate tea\n-0.2 <s> tea mate\n\n\\end\\\n"
    )
    graph, model = Graph.build(HMM, PHONES, tmp_path / "lm.arpa"), read_arpa(tmp_path / "lm.arpa")
    for words in (["tea"], ["tea", "mate"], ["tea", "mate", "tea"], ["mate", "mate", "tea"], ["tea", "tea"]):
        path = graph.decode(60 * hmm_scores(words), beam=2000.0)
        assert path.words == words
        assert path.score == pytest.approx(language_score(model, words) + (len(words) + 1) * math.log(0.5), abs=0.01)


@given(st.lists(st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=5), min_size=1, max_size=6), st.integers(1, 3))
@settings(max_examples=40, deadline=None)
def test_any_model_scores_as_it_reads(tmp_path_factory, sentences, order):
    arpa = tmp_path_factory.mktemp("lm") / "lm.arpa"
    train_ngram([" ".join(words) for words in sentences], arpa, order)
    topology = Topology((" ", "a", "b", "c"), " ", 0)
    graph, model = Graph.build(topology, spell(["a", "b", "c"]), arpa), read_arpa(arpa)
    columns = ctc_columns(topology, list(" ".join(sentences[0])))
    path = graph.decode(60 * plant(columns, topology.columns), beam=2000.0)
    assert path.words == sentences[0]
    expected = language_score(model, sentences[0]) + (len(path.words) + 1) * math.log(0.5)
    assert path.score == pytest.approx(expected, abs=0.02)
