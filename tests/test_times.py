import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted_scores import ctc_columns, hmm_columns

from pipelines.graph import Topology
from pipelines.times import Clock, cut, spikes_on
from speechbench.lexicon import spell

PHONES = {
    "tea": (("T", "IY"),),
    "team": (("T", "IY", "M"),),
    "eat": (("IY", "T"),),
    "tomato": (("T", "EY", "M"), ("T", "IY", "M", "T")),
    "hush": (("SIL", "T"),),  # a lexicon of the user's may hold silence
}
HMM = Topology(("SIL", "EY", "IY", "M", "T"), "SIL", 3)
CTC = Topology((" ", "e", "h", "l", "o"), " ", 0)


def times_of(timed):
    return [(one.text, one.start, one.end) for one in timed]


def test_words_and_phonemes_have_the_planted_times():
    """Three states of four frames are 120 ms; a frame reaches 5 ms to both sides of its centre."""
    columns = np.array(hmm_columns(HMM, ["SIL", "T", "IY", "M", "SIL", "IY", "T"], frames=4))
    words, phonemes = Clock(HMM, PHONES, 0.01).read(columns, ["team", "eat"], 0.832)
    assert times_of(words) == [("team", 0.115, 0.475), ("eat", 0.595, 0.832)]
    assert times_of(phonemes)[:2] == [("T", 0.115, 0.235), ("IY", 0.235, 0.355)]
    assert [phoneme.text for phoneme in phonemes] == ["T", "IY", "M", "IY", "T"]


def test_nothing_begins_before_the_utterance():
    words, _ = Clock(HMM, PHONES, 0.01).read(np.array(hmm_columns(HMM, ["T", "IY"])), ["tea"], 1.0)
    assert times_of(words) == [("tea", 0.0, 0.055)]


def test_ctc_tells_spikes():
    columns = np.array([0, 0, 3, 0, 2, 2, 0, 4, 0, 4, 5, 0])
    assert list(spikes_on(columns, CTC)) == [("h", 2, 3), ("e", 4, 6), ("l", 7, 8), ("l", 9, 10), ("o", 10, 11)]
    words, characters = Clock(CTC, spell(["hello"]), 0.04).read(columns, ["hello"], 1.0)
    assert times_of(words) == [("hello", 0.06, 0.42)]
    assert [one.text for one in characters] == list("hello")
    assert list(spikes_on([0, 0], CTC)) == []


def test_a_path_of_silence_has_no_words():
    assert Clock(HMM, PHONES, 0.01).read(np.array(hmm_columns(HMM, ["SIL"])), [], 1.0) == ([], [])
    assert cut([], [], PHONES, "SIL") == []


@given(st.lists(st.tuples(st.sampled_from(sorted(PHONES)), st.booleans(), st.integers(0, 1)), max_size=6), st.booleans())
@settings(max_examples=100, deadline=None)
def test_cuts_are_pronunciations_in_order(spoken, quiet_end):
    units, words = [], []
    for word, quiet, variant in spoken:
        units += ["SIL"] * quiet + list(PHONES[word][variant % len(PHONES[word])])
        words.append(word)
    units += ["SIL"] * quiet_end
    cuts = cut(units, words, PHONES, "SIL")
    assert len(cuts) == len(words)
    behind = 0
    for word, (start, end) in zip(words, cuts, strict=True):
        assert tuple(units[start:end]) in PHONES[word]
        assert units[behind:start] in ([], ["SIL"])
        behind = end
    assert units[behind:] in ([], ["SIL"])


def test_what_greed_would_cut_wrongly():
    """Whoever takes the first pronunciation that fits has no units left for "eat"."""
    lexicon = {"to": (("T", "IY"), ("T",)), "eat": (("IY", "T"),)}
    assert cut(["T", "IY", "T"], ["to", "eat"], lexicon, "SIL") == [(0, 1), (1, 3)]


def test_units_that_are_not_the_words_are_refused():
    with pytest.raises(StopIteration):
        cut(["T", "IY"], ["eat"], PHONES, "SIL")


def test_ctc_columns_are_cut_at_spaces():
    columns = np.array(ctc_columns(CTC, list("he lo"), frames=2))
    words, _ = Clock(CTC, spell(["he", "lo"]), 0.1).read(columns, ["he", "lo"], 9.0)
    assert times_of(words) == [("he", 0.0, 0.35), ("lo", 0.55, 0.95)]
