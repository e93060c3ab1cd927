"""Hypotheses as the field's files: CTM and trn for scoring tools, TextGrid for Praat.

Source: NIST SCTK, infmts.htm (ctm, trn); Praat manual, "TextGrid file formats".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from speechbench.errors import SpeechbenchError, unknown_name
from speechbench.files import write_text
from speechbench.recognizer import Hypothesis, Timed

TIERS: Mapping[str, Callable[[Hypothesis], tuple[Timed, ...] | None]] = {
    "words": lambda hypothesis: hypothesis.words,
    "phonemes": lambda hypothesis: hypothesis.phonemes,
}
SYNTAX = "(){}@;"  # characters that mean something in trn and ctm files


def tier_of(hypothesis: Hypothesis, tier: str) -> tuple[Timed, ...]:
    """The words or phonemes with their times.

    Raises:
        SpeechbenchError: The hypothesis has none; an unknown tier.
    """
    if tier not in TIERS:
        raise unknown_name("tier", tier, TIERS)
    timed = TIERS[tier](hypothesis)
    if timed is None and hypothesis.text:
        raise SpeechbenchError(f"{hypothesis.id}: has no {tier} with times; decode with a recogniser that gives them")
    return timed or ()


def write_ctm(path: Path, hypotheses: Iterable[Hypothesis], tier: str) -> None:
    """Write a CTM file: "id channel start duration text confidence", times in s, sorted by id and time.

    Raises:
        SpeechbenchError: No times; an id or word that the format cannot hold.
    """
    lines = []
    for hypothesis in sorted(hypotheses, key=lambda one: one.id):
        for timed in tier_of(hypothesis, tier):
            _check(hypothesis.id, timed.text)
            confidence = "" if timed.confidence is None else f" {timed.confidence:.3f}"
            lines.append(f"{hypothesis.id} 1 {timed.start:.3f} {timed.end - timed.start:.3f} {timed.text}{confidence}\n")
    write_text(path, "".join(lines))


def write_trn(path: Path, hypotheses: Iterable[Hypothesis]) -> None:
    """Write a trn file: "text (id)".

    Raises:
        SpeechbenchError: An id or word that the format cannot hold.
    """
    lines = []
    for hypothesis in hypotheses:
        for word in hypothesis.text.split() or [""]:
            _check(hypothesis.id, word)
        lines.append(f"{' '.join(hypothesis.text.split())} ({hypothesis.id})\n".lstrip())
    write_text(path, "".join(lines))


def _check(utterance_id: str, word: str) -> None:
    if len(utterance_id.split()) != 1 or set(utterance_id) & set("()"):
        raise SpeechbenchError(f"'{utterance_id}': ctm and trn files take no space or parenthesis in an id; rename it")
    if odd := set(word) & set(SYNTAX):
        raise SpeechbenchError(
            f"{utterance_id}: '{word}' holds {min(odd)}, which has a meaning in ctm and trn files; remove it"
        )


def write_textgrids(folder: Path, hypotheses: Iterable[Hypothesis]) -> None:
    """Write one TextGrid per utterance, "id.TextGrid", with a tier of words and, where they are known, one of phonemes.

    Raises:
        SpeechbenchError: No times, words that overlap, an id that leads out of the folder.
    """
    for hypothesis in hypotheses:
        path = folder / f"{hypothesis.id}.TextGrid"
        if not path.resolve().is_relative_to(folder.resolve()):
            raise SpeechbenchError(f"'{hypothesis.id}': this id leads out of {folder}; rename it")
        write_text(path, textgrid(hypothesis))


def textgrid(hypothesis: Hypothesis) -> str:
    """The TextGrid of an utterance; what lies between words, and between phonemes, is an empty interval.

    Raises:
        SpeechbenchError: No times, or words that overlap.
    """
    tiers = {"words": tier_of(hypothesis, "words")}
    if hypothesis.phonemes is not None:
        tiers["phones"] = hypothesis.phonemes
    last = max((timed.end for tier in tiers.values() for timed in tier), default=0.0)
    end = max(last, hypothesis.duration or 0.0)
    if not end:
        raise SpeechbenchError(f"{hypothesis.id}: is empty and of unknown duration; there is nothing to draw")
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", f"xmax = {end:.6f}"]
    lines += ["tiers? <exists>", f"size = {len(tiers)}", "item []:"]
    for number, (name, tier) in enumerate(tiers.items(), start=1):
        filled = _fill(hypothesis.id, tier, end)
        lines += [f"    item [{number}]:", '        class = "IntervalTier"', f'        name = "{name}"', "        xmin = 0"]
        lines += [f"        xmax = {end:.6f}", f"        intervals: size = {len(filled)}"]
        for place, timed in enumerate(filled, start=1):
            lines += [
                f"        intervals [{place}]:",
                f"            xmin = {timed.start:.6f}",
                f"            xmax = {timed.end:.6f}",
            ]
            lines.append('            text = "{}"'.format(timed.text.replace('"', '""')))
    return "\n".join(lines) + "\n"


def _fill(utterance_id: str, tier: Iterable[Timed], end: float) -> list[Timed]:
    """The tier without gaps from 0 to the end, as Praat wants it; what has no length cannot be drawn."""
    filled: list[Timed] = []
    here = 0.0
    for timed in (one for one in tier if one.end > one.start):
        if timed.start < here:
            raise SpeechbenchError(
                f"{utterance_id}: '{timed.text}' begins at {timed.start} s, before what is before it has ended"
            )
        if timed.start > here:
            filled.append(Timed("", here, timed.start))
        filled.append(timed)
        here = timed.end
    return filled if here >= end else [*filled, Timed("", here, end)]
