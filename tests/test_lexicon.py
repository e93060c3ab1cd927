import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechbench.errors import SpeechbenchError
from speechbench.lexicon import pronounce, read_lexicon, read_own_lexicon, spell, without_stress, write_lexicon


def test_stress_is_folded():
    assert without_stress(["AH0", "B", "AW1", "T", "ER2"]) == ("AH", "B", "AW", "T", "ER")
    assert pronounce(["about"]) == {"about": (("AH", "B", "AW", "T"),)}


def test_variants_that_differ_in_stress_alone_become_one():
    variants = pronounce(["permit"])["permit"]  # a noun and a verb
    assert len(variants) == len(set(variants))


def test_case_is_ignored_and_kept():
    assert pronounce(["The", "the", "THE"]).keys() == {"THE", "The", "the"}
    assert pronounce(["The"])["The"] == pronounce(["the"])["the"]


def test_words_are_sorted():
    assert list(pronounce(["zoo", "apple", "dog", "apple"])) == ["apple", "dog", "zoo"]
    assert list(spell(["b", "a"])) == ["a", "b"]


def test_all_phonemes_are_arpabet():
    text = "the quick brown fox jumps over a lazy dog while she measures his joyful azure thing there choosing to vouch yet"
    phonemes = {phoneme for variants in pronounce(text.split()).values() for p in variants for phoneme in p}
    assert all(phoneme.isalpha() and phoneme.isupper() for phoneme in phonemes)
    assert 35 <= len(phonemes) <= 39


def test_the_users_lexicon_goes_first(tmp_path):
    own = tmp_path / "own.txt"
    own.write_text("# mine\n;;; cmudict's comments\n\ntomato T AH0 M AA1 T OW2\nTomato(2) T OW M AA T OW\nqix K IH1 K S\n")
    found = pronounce(["tomato", "qix", "dog"], own)
    assert found["tomato"] == (("T", "AH", "M", "AA", "T", "OW"), ("T", "OW", "M", "AA", "T", "OW"))
    assert found["qix"] == (("K", "IH", "K", "S"),)
    assert found["dog"] == pronounce(["dog"])["dog"]


def test_unknown_words_are_named_at_once():
    with pytest.raises(SpeechbenchError, match=r"2 words are in no lexicon: blorx, frumbl; .*lexicon=FILE"):
        pronounce(["dog", "frumbl", "blorx", "frumbl"])


def test_many_unknown_words_are_counted():
    with pytest.raises(SpeechbenchError, match=r"30 words are in no lexicon: .* and 20 more; "):
        pronounce([f"blorx{chr(97 + n // 6)}{chr(97 + n % 6)}" for n in range(30)])


@pytest.mark.parametrize("read", [read_lexicon, read_own_lexicon])
def test_a_line_without_units_is_named(tmp_path, read):
    path = tmp_path / "lexicon.txt"
    path.write_text("dog D AO G\ncat\n")
    with pytest.raises(SpeechbenchError, match=r"lexicon\.txt: line 2: expected 'word PH PH \.\.\.', got 'cat'"):
        read(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(SpeechbenchError, match=r"absent\.txt: no such file"):
        pronounce(["dog"], tmp_path / "absent.txt")


WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda word: word.split() == [word])


@given(st.sets(WORDS | st.sampled_from(["HELLO", "it's", "'em", "smile(2)", "(laughs)", "#1", ";;;", "102", "a0", "É"])))
def test_spellings_come_back_as_they_were_written(tmp_path_factory, words):
    path = tmp_path_factory.mktemp("lexicon") / "lexicon.txt"
    write_lexicon(path, spell(words))
    assert read_lexicon(path) == spell(words)


def test_pronunciations_come_back_as_they_were_written(tmp_path):
    lexicon = pronounce(["The", "tomato", "it's", "'em", "DOG"])
    write_lexicon(tmp_path / "lexicon.txt", lexicon)
    assert read_lexicon(tmp_path / "lexicon.txt") == lexicon
    assert list(read_lexicon(tmp_path / "lexicon.txt")) == list(lexicon)
