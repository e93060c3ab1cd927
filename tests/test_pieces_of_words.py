from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.e2e.pieces import learn_pieces, spell, split_word
from pipelines.e2e.tokens import Tokens

TEXTS = [*["turn the light on"] * 30, *["turn the radio off"] * 20, "quiet"]
words = st.lists(st.text(st.characters(exclude_categories=["Z", "C"]), min_size=1, max_size=6), min_size=1, max_size=8)


def test_frequent_words_become_tokens():
    pieces = learn_pieces(TEXTS, 20)
    assert {"turn", "the", "light", "radio", "off", "on"} <= set(pieces)
    assert spell(["light", "quiet"], pieces) == {"light": (("light",),), "quiet": (("q", "u", "i", "e", "t"),)}


def test_without_pieces_tokens_are_characters():
    assert learn_pieces(TEXTS, 0) == sorted(set("".join(TEXTS)) - {" "})


@given(words, st.integers(1, 5))
def test_a_word_is_its_pieces_joined(texts, least):
    lexicon = spell(texts, learn_pieces(texts, least))
    assert all("".join(lexicon[word][0]) == word for word in texts)


@given(words, st.integers(1, 5))
def test_each_piece_is_used_often_enough(texts, least):
    pieces = learn_pieces(texts, least)
    used = Counter(unit for word in texts for unit in split_word(word, pieces))
    assert all(len(piece) == 1 or used[piece] >= least for piece in pieces)


@given(words, st.integers(1, 5))
def test_the_order_of_texts_does_not_matter(texts, least):
    assert learn_pieces(texts, least) == learn_pieces(texts[::-1], least)


@given(words, st.integers(1, 5))
def test_the_alphabet_of_a_lexicon_cuts_words_as_the_lexicon_does(texts, least):
    """A run keeps the units that its lexicon uses, and cuts by these."""
    lexicon = spell(texts, learn_pieces(texts, least))
    tokens = Tokens.of(lexicon)
    for word in lexicon:
        assert tuple(tokens.units[n - 1] for n in tokens.numbers([word]).tolist()) == lexicon[word][0]
    assert tokens.text(tokens.numbers(list(lexicon)).tolist()) == " ".join(lexicon)


@pytest.mark.parametrize(("word", "cut"), [("abcd", ("abc",)), ("xab", ("ab",)), ("", ()), ("abab", ("ab", "ab"))])
def test_the_longest_piece_is_taken_and_what_is_unknown_left_out(word, cut):
    assert split_word(word, ["a", "b", "c", "ab", "abc"]) == cut


def test_few_pairs_of_many_texts_do_not_become_more_than_the_most(monkeypatch):
    monkeypatch.setattr("pipelines.e2e.pieces.MOST", 15)
    assert len(learn_pieces(TEXTS, 2)) <= 15
