"""Which words are taken for which, and which words cost most."""

from __future__ import annotations

from collections import Counter
from typing import Any

from speechbench.score import Score

MOST = 20


def write_pair(reference: str | None, hypothesis: str | None) -> str:
    """An error as "(REF->HYP)"; nothing stands for nothing: "(REF->)" is a deletion, "(->HYP)" an insertion."""
    return f"({reference or ''}->{hypothesis or ''})"


def confusions(score: Score, most: int = MOST) -> list[dict[str, Any]]:
    """The errors that occur most often.

    Returns:
        Rows of `error`, `kind`, `count`, `share` of all errors.
    """
    counts = Counter(pair for alignment in score.alignments.values() for pair in alignment if pair[0] != pair[1])
    total = counts.total()
    rows: list[dict[str, Any]] = [
        {
            "error": write_pair(reference, hypothesis),
            "kind": "insertion" if reference is None else "deletion" if hypothesis is None else "substitution",
            "count": count,
            "share": count / total,
        }
        for (reference, hypothesis), count in counts.items()
    ]
    return sorted(rows, key=lambda row: (-row["count"], row["error"]))[:most]


def costly_words(score: Score, most: int = MOST) -> list[dict[str, Any]]:
    """The reference words whose substitutions and deletions cost most.

    Returns:
        Rows of `word`, `errors`, `occurrences`, `rate`, `share` of all errors.
    """
    seen: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    for alignment in score.alignments.values():
        for reference, hypothesis in alignment:
            if reference is not None:
                seen[reference] += 1
                wrong[reference] += reference != hypothesis
    total = score.total.errors
    rows: list[dict[str, Any]] = [
        {"word": word, "errors": count, "occurrences": seen[word], "rate": count / seen[word], "share": count / total}
        for word, count in wrong.items()
        if count
    ]
    return sorted(rows, key=lambda row: (-row["errors"], -row["rate"], row["word"]))[:most]
