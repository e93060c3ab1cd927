"""Grapheme to phoneme: guessed pronunciations of words that no lexicon holds, by espeak-ng's rules for American English.

docs/pipeline.md says how often the guess is right.
"""

from __future__ import annotations

import string
import unicodedata
from collections.abc import Sequence

from speechbench import voices
from speechbench.lexicon import VOWELS, Lexicon, Pronunciation, Stress, without_stress

VOICE = "en-us"

# espeak-ng's mnemonics, without stress marks, in cmudict's terms. Its rules keep apart what American ears do not (a# and @),
# and write what cmudict does not: flapped and glottal t (t# and ?), syllabic consonants (n-), vowels that hold an r (o@).
TABLE = """
p P, b B, t T, d D, k K, g G, tS CH, dZ JH, f F, v V, T TH, D DH, s S, z Z, S SH, Z ZH, h HH, m M, n N, N NG, l L, r R, w W, j Y
t# T, t2 T, ? T, x K, l# L, r- R, ;
a AE, aa AE, E EH, I IH, I2 IH, I# IH, i IY, i: IY, i:: IY, 0 AA, A: AA, O AO, O: AO, O2 AO, V AH, @ AH, @- AH, a# AH
U UH, u: UW, 3 ER, 3: ER, eI EY, aI AY, OI OY, aU AW, oU OW, o OW
@L AH L, n- AH N, A@ AA R, o@ AO R, O@ AO R, e@ EH R, i@3 IH R, U@ UH R, i@ IY AH, aI@ AY AH, aI3 AY ER, A~ AA N, O~ AO N
"""
ARPABET = {mnemonic: phonemes for mnemonic, *phonemes in map(str.split, TABLE.strip().replace("\n", ",").split(","))}
SIGNS = "'’.-"  # of words like "rock'n'roll" and "u.s."
STRESS_MARKS = {"'": "1", ",": "2"}


def guess(words: Sequence[str], stress: Stress = "fold") -> Lexicon:
    """Guessed pronunciations, one a word, sorted by word; words that espeak-ng could only name or spell are left out.

    Raises:
        SpeechbenchError: espeak-ng is not installed, or died.
    """
    readable = sorted({word for word in words if _is_readable(word)})
    if not readable:
        return {}
    transcribed = voices.call("transcribe", [word.lower() for word in readable], VOICE)
    pronounced = {word: to_arpabet(mnemonics) for word, mnemonics in zip(readable, transcribed, strict=True)}
    return {word: (without_stress(p) if stress == "fold" else p,) for word, p in pronounced.items() if p}


def _is_readable(word: str) -> bool:
    """Whether a word is of Latin letters, digits and `SIGNS`; of other signs espeak-ng says the names."""
    letters = [c for c in word if c not in SIGNS]
    return bool(letters) and all(c in string.digits or unicodedata.name(c, "").startswith("LATIN ") for c in letters)


def to_arpabet(mnemonics: Sequence[str]) -> Pronunciation | None:
    """Phonemes with cmudict's stress marks; None where a mnemonic is none of American English."""
    phonemes: list[str] = []
    for marked in mnemonics:
        mnemonic = marked.lstrip("',%=")
        if mnemonic not in ARPABET:
            return None
        mark = STRESS_MARKS.get(marked[0], "0")
        for phoneme in ARPABET[mnemonic]:
            if phoneme in VOWELS:
                phonemes.append(phoneme + mark)
                mark = "0"  # a second vowel has none
            elif phoneme != "R" or not phonemes or phonemes[-1][:2] not in ("R", "ER"):  # o@ r and 3 r have one r, not two
                phonemes.append(phoneme)
    return tuple(phonemes) or None
