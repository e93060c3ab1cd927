"""How much more data would decide a gap that the data at hand leave open."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from speechbench.diagnostics.bootstrap import FEWEST_BLOCKS
from speechbench.diagnostics.gaps import Gap

MOST_TIMES = 100  # as much data: what would need more is not worth collecting


@dataclass(frozen=True)
class Size:
    """What a set's interval was measured over."""

    kind: str  # "speaker", "noise source", "utterance" or "word"
    blocks: int  # of that kind
    utterances: int | None = None  # None where only words are known
    speakers: int = 0  # that have a name


def more_needed(gap: Gap, sizes: Mapping[str, Size]) -> dict[str, dict[str, Any]]:
    """What would decide a gap if it is as large as it looks.

    An interval shrinks with the square root of the blocks that it is measured over.

    Returns:
        By set: `more` blocks of a `kind`, and about how many `utterances` they bring (None where only words are known).
        Empty where the gap is decided, where it adds no error, where no interval is known, and where it is too small.
    """
    if gap.separable or gap.value <= 0 or gap.before == "" or gap.low is None:
        return {}
    ends = {name: sizes[name] for name in (gap.before, gap.after) if name in sizes}
    few = {name: size for name, size in ends.items() if name != "train" and 0 < size.speakers < FEWEST_BLOCKS}
    if few:
        return {name: _row("speaker", FEWEST_BLOCKS - size.speakers, size.speakers, size) for name, size in few.items()}
    growth = ((gap.value - gap.low) / gap.value) ** 2
    if gap.separable is None or not 1 < growth <= MOST_TIMES:
        return {}
    return {name: _row(size.kind, math.ceil(size.blocks * (growth - 1)), size.blocks, size) for name, size in ends.items()}


def _row(kind: str, more: int, blocks: int, size: Size) -> dict[str, Any]:
    utterances = None if size.utterances is None else math.ceil(size.utterances * more / blocks)
    return {"kind": kind, "more": more, "utterances": utterances}


def write_needed(needed: Mapping[str, Mapping[str, Any]], plain: Mapping[str, str]) -> str:
    """The need in words: "240 more utterances from 12 more speakers in dev".

    Args:
        needed: What `more_needed` found.
        plain: The sets' names for readers.
    """
    return " and ".join(f"{_write(row)} in {plain[name]}" for name, row in needed.items())


def _write(row: Mapping[str, Any]) -> str:
    blocks = f"{row['more']:,} more {row['kind']}{'s' if row['more'] > 1 else ''}"
    if row["utterances"] is None or row["kind"] == "utterance":
        return blocks
    return f"{row['utterances']:,} more utterances from {blocks}"
