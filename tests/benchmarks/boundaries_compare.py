"""Boundaries of an alignment against the true ones: which are the same boundary, and how far they lie apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import kaldialign
import numpy as np

from speechbench import g2p
from speechbench.lexicon import VOWELS
from speechbench.recognizer import Timed

WITHIN_MS = (10, 20, 30, 50)
NOTHING = "-"  # what a phoneme without a partner is aligned with
CLASSES = {
    "stop": "P B T D K G",
    "affricate": "CH JH",
    "fricative": "F V TH DH S Z SH ZH HH",
    "nasal": "M N NG",
    "liquid or glide": "L R W Y",
}
CLASS_OF = {phoneme: name for name, phonemes in CLASSES.items() for phoneme in phonemes.split()}
VOWEL = "vowel"
ACCENTED = {"t[": ("T",), "w#": ("W",)}  # consonants that American English lacks
EDGE = 0.002  # s; espeak-ng's times are rounded to ms


@dataclass(frozen=True)
class Boundary:
    """A boundary that both know."""

    kind: str  # what begins or ends there
    error: float  # s, found minus true


def arpabet(mnemonic: str) -> tuple[str, ...]:
    """An espeak-ng phoneme of any accent in cmudict's terms; a vowel that American English lacks is `VOWEL`."""
    return tuple(g2p.ARPABET.get(mnemonic, ACCENTED.get(mnemonic, (VOWEL,))))


def _same(phoneme: str) -> str:
    """What two phonemes must share to be one: any vowels are, for accents differ in them."""
    return VOWEL if phoneme == VOWEL or phoneme in VOWELS else phoneme


def class_of(phoneme: str) -> str:
    """The phoneme's class."""
    return CLASS_OF.get(phoneme, VOWEL)


def phoneme_boundaries(true: Sequence[Timed], found: Sequence[Timed]) -> list[Boundary]:
    """Where phonemes begin that both have, behind a phoneme that both have; named for the classes on both sides.

    Args:
        true: With espeak-ng's mnemonics; of those that are two of cmudict's phonemes the first has a time.
        found: With cmudict's.
    """
    starts = [(name, one.start if first else None) for one in true for first, name in _parts(one.text)]
    pairs = kaldialign.align([_same(name) for name, _ in starts], [_same(one.text) for one in found], NOTHING)
    boundaries, here, there, before = [], 0, 0, "start"
    for left, right in pairs:
        if left == right:
            start = starts[here][1]
            if before and start is not None:
                kind = f"{before} > {class_of(found[there].text)}"
                boundaries.append(Boundary(kind, found[there].start - start))
            before = class_of(found[there].text)
        else:
            before = ""
        here, there = here + (left != NOTHING), there + (right != NOTHING)
    return boundaries


def _parts(mnemonic: str) -> Iterable[tuple[bool, str]]:
    return ((place == 0, name) for place, name in enumerate(arpabet(mnemonic)))


def word_boundaries(true: Sequence[Timed], found: Sequence[Timed], edges: Iterable[float] | None = None) -> list[Boundary]:
    """Where words begin and end.

    Args:
        true: Of the same words as `found`.
        found: By alignment.
        edges: Where the boundaries that are known lie, in s; all are known without it.
    """
    known = None if edges is None else np.array(sorted(edges))

    def is_known(time: float) -> bool:
        return known is None or bool(np.abs(known - time).min() <= EDGE)

    boundaries = []
    for one, other in zip(true, found, strict=True):
        assert one.text == other.text, f"'{one.text}' is not '{other.text}'"
        times = (("word start", one.start, other.start), ("word end", one.end, other.end))
        boundaries += [Boundary(kind, there - here) for kind, here, there in times if is_known(here)]
    return boundaries


def summarise(boundaries: Sequence[Boundary]) -> dict[str, Any]:
    """How many there are, the shares within some ms, the median and the mean signed error in ms."""
    errors_ms = 1000.0 * np.array([boundary.error for boundary in boundaries])
    shares = {f"within_{ms}_ms": round(float(np.mean(np.abs(errors_ms) <= ms + 1e-6)), 4) for ms in WITHIN_MS}
    centre = {"median_ms": round(float(np.median(errors_ms)), 1), "mean_ms": round(float(errors_ms.mean()), 1)}
    return {"boundaries": len(boundaries), **shares, **centre}


def table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """The summaries as a markdown table."""
    lines = [["boundaries", "number", *(f"within {ms} ms" for ms in WITHIN_MS), "median, ms", "mean, ms"]]
    lines.append(["---"] * len(lines[0]))
    for name, row in rows.items():
        shares = [f"{100 * row[f'within_{ms}_ms']:.1f} %" for ms in WITHIN_MS]
        lines.append([name, str(row["boundaries"]), *shares, f"{row['median_ms']:+.1f}", f"{row['mean_ms']:+.1f}"])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
