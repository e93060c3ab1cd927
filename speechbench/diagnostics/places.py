"""Single errors, named by their place in the reference, so that they can be looked for in another hypothesis."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from speechbench.score import Pair

# (number of a reference word, 0): it was not heard. (words before it, n): the nth insertion there, from 1.
Key = tuple[int, int]


def errors_in(alignment: Iterable[Pair]) -> set[Key]:
    """The errors of an alignment. An error is mended by a hypothesis whose alignment has no error of its name."""
    return set().union(*regions(alignment))


def near(alignment: Iterable[Pair], words: Collection[int]) -> set[Key]:
    """The errors at some reference words, and those that stand in one stretch with them."""
    return set().union(*(region for region in regions(alignment) if any((word, 0) in region for word in words)))


def regions(alignment: Iterable[Pair]) -> list[set[Key]]:
    """The stretches of errors with no hit between them."""
    found: list[set[Key]] = [set()]
    number = inserted = 0
    for reference, hypothesis in alignment:
        if reference is None:
            inserted += 1
            found[-1].add((number, inserted))
            continue
        if reference == hypothesis:
            found.append(set())
        else:
            found[-1].add((number, 0))
        number, inserted = number + 1, 0
    return [region for region in found if region]
