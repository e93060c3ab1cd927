"""Which cause is named first. A gap says where errors arise; what explains it goes before it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from speechbench.diagnostics.advice import REMEDIES, Advice

EXPLAINED = 1 / 3  # of a gap: a cause that has less of it is no explanation
WHERE = ("front_end", "acoustic_model")  # stages that hold errors of whatever cause
OF_WORDS = ("lexicon", "language_model")
LADDER = ("raised_voice", "room", "noise_type", "noise", "unseen_source", "level")
# By what a gap's name contains, the causes that can explain it.
EXPLAINS = {
    "bias": ("search", *OF_WORDS),
    "variance": OF_WORDS,
    "mismatch": (*LADDER, "labels", *OF_WORDS, *(name.replace(" ", "_") for name in REMEDIES)),
}


def rank(candidates: Iterable[Advice], verdict: Sequence[str]) -> list[Advice]:
    """Rank the candidates of all sections.

    First the gaps of the verdict, the largest first, each behind the causes that surely have a third of it or more: those
    shown by changing one thing before slices, which only go along with errors. Then what else surely could gain something,
    then what may, then what gains knowledge only; among each the largest ceiling first, and behind the causes what says no
    more than where errors are. Ceilings of different sections overlap: they count the same errors by different causes, and
    do not add up.

    Args:
        candidates: Of all sections.
        verdict: The separable gaps, largest first.
    """
    rest = sorted(candidates, key=lambda one: (_doubt(one), one.cause in WHERE, -(one.ceiling or 0.0)))
    ranked: list[Advice] = []
    for gap in verdict:
        found = [one for one in rest if one.cause == gap]
        explained = [one for one in rest if found and _explains(one, gap, found[0].ceiling or 0.0)]
        ranked += [*sorted(explained, key=lambda one: one.section == "slices"), *found]
        rest = [one for one in rest if one not in ranked]
    return ranked + rest


def _explains(one: Advice, gap: str, value: float) -> bool:
    causes = [cause for part, known in EXPLAINS.items() if part in gap for cause in known]
    return one.cause in causes and _doubt(one) == 0 and (one.ceiling or 0.0) >= EXPLAINED * value


def _doubt(one: Advice) -> int:
    if one.ceiling is None:
        return 2
    return 0 if one.low is not None and one.low > 0 else 1
