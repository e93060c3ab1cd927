"""Two systems word by word: what one gets right that the other does not, both together, and a paired test.

Both are aligned to the same reference, so that each reference word, and each place between two, has a verdict from both.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from speechbench.score import Pair, Score

FEWEST_SEGMENTS = 50  # Gillick and Cox ask for "large" n; below, the sum of the differences is not normal
APART = 2  # right words between two segments, so that an error in one does not cause one in the next (NIST's choice)
MOST = 20


@dataclass(frozen=True, slots=True)
class Slots:
    """An utterance's reference words, and what a system made of each.

    `insertions` has one more entry than `words`: those before each word, and those at the end.
    """

    words: tuple[str, ...]
    hits: tuple[bool, ...]
    insertions: tuple[int, ...]

    @classmethod
    def of(cls, alignment: Sequence[Pair]) -> Slots:
        """Read an alignment."""
        words, hits, insertions = [], [], [0]
        for reference, hypothesis in alignment:
            if reference is None:
                insertions[-1] += 1
            else:
                words.append(reference)
                hits.append(reference == hypothesis)
                insertions.append(0)
        return cls(tuple(words), tuple(hits), tuple(insertions))

    @property
    def errors(self) -> int:
        """Substitutions, deletions and insertions."""
        return self.hits.count(False) + sum(self.insertions)


def segments(newer: Slots, older: Slots) -> Iterator[tuple[int, int]]:
    """The errors of both systems in each stretch that holds one, with at least `APART` words between that both have right."""
    errors, right, open_ = [0, 0], 0, False
    for number, inserted in enumerate(zip(newer.insertions, older.insertions, strict=True)):
        hits = (newer.hits[number], older.hits[number]) if number < len(newer.words) else (True, True)
        for wrong, is_word in ((inserted, False), ((int(not hits[0]), int(not hits[1])), True)):
            if any(wrong):
                errors, right, open_ = [errors[0] + wrong[0], errors[1] + wrong[1]], 0, True
            elif is_word:
                right += 1
            if open_ and right >= APART:
                yield errors[0], errors[1]
                errors, open_ = [0, 0], False
    if open_:
        yield errors[0], errors[1]


def matched_pairs(differences: Sequence[int]) -> dict[str, Any]:
    """The matched-pairs sentence-segment word error test.

    It takes segments as independent. Those of one speaker are not, so the interval over speakers has the last word.

    Args:
        differences: The newer system's errors in each segment less the older one's.

    Returns:
        `segments`, `z`, `p_value` (two-sided; both None where there are too few segments) and `reason`.

    Source: Gillick and Cox 1989, "Some Statistical Issues in the Comparison of Speech Recognition Algorithms".
    """
    count = len(differences)
    if count < FEWEST_SEGMENTS:
        reason = f"{count} segments hold an error; {FEWEST_SEGMENTS} are the fewest that the test is good for"
        return {"segments": count, "z": None, "p_value": None, "reason": reason}
    mean, spread = float(np.mean(differences)), float(np.std(differences, ddof=1))
    z = mean / (spread / math.sqrt(count)) if spread else 0.0
    return {"segments": count, "z": z, "p_value": float(2 * stats.norm.sf(abs(z))), "reason": None}


def compare_words(newer: Score, older: Score) -> dict[str, Any]:
    """What each of two systems gets right that the other does not, and what both together could.

    Returns:
        `matched_pairs` (see there);
        `words`: how many reference words `both`, `newer_only`, `older_only`, `neither` has right;
        `utterances`: in how many the `newer` errs less, the `older` errs less, both are `equal`, and in how many `both`,
        `newer_only`, `older_only`, `neither` makes no error at all;
        `gained` and `lost`: rows of `word`, `count`, the words that only the newer and only the older system has right;
        `oracle`: WER if the better hypothesis were chosen for each `utterance`, or for each `word` and each place between two
        (whichever is right, and the fewer insertions), which is a text that could have been put together from both.
    """
    differences: list[int] = []
    words, better, whole = Counter[str](), Counter[str](), Counter[str]()
    gained, lost = Counter[str](), Counter[str]()
    by_utterance = by_word = 0
    for key, alignment in newer.alignments.items():
        one, other = Slots.of(alignment), Slots.of(older.alignments[key])
        differences += [after - before for after, before in segments(one, other)]
        verdicts = [_who(*pair) for pair in zip(one.hits, other.hits, strict=True)]
        words.update(verdicts)
        gained.update(word for word, who in zip(one.words, verdicts, strict=True) if who == "newer_only")
        lost.update(word for word, who in zip(one.words, verdicts, strict=True) if who == "older_only")
        errors = one.errors, other.errors
        better["newer" if errors[0] < errors[1] else "older" if errors[1] < errors[0] else "equal"] += 1
        whole[_who(not errors[0], not errors[1])] += 1
        by_utterance += min(errors)
        by_word += verdicts.count("neither") + sum(map(min, one.insertions, other.insertions))
    total = newer.total.words
    return {
        "matched_pairs": matched_pairs(differences),
        "words": {who: words[who] for who in WHO},
        "utterances": {who: better[who] for who in ("newer", "older", "equal")} | {who: whole[who] for who in WHO},
        "gained": _rows(gained),
        "lost": _rows(lost),
        "oracle": {"utterance": by_utterance / total, "word": by_word / total},
    }


WHO = ("both", "newer_only", "older_only", "neither")


def _who(newer: bool, older: bool) -> str:
    return WHO[2 * (not newer) + (not older)]


def _rows(words: Counter[str]) -> list[dict[str, Any]]:
    ranked = sorted(words.items(), key=lambda item: (-item[1], item[0]))
    return [{"word": word, "count": count} for word, count in ranked[:MOST]]
