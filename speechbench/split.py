"""Dividing a manifest into splits by whole groups (speakers, noise sources, ...), so that no group is in two splits."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from speechbench.errors import SpeechbenchError, name_some, unknown_name
from speechbench.manifest import KNOWN_KEYS, Manifest, Utterance
from speechbench.progress import say
from speechbench.seeds import generator_of

SUM_TOLERANCE = 1e-6


def split(
    manifest: Manifest,
    by: str,
    fractions: Mapping[str, float],
    seed: int = 0,
    hold_out: tuple[str, str] | None = None,
    only: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, Manifest]:
    """Divide a manifest: shuffled groups go, one by one, to the split that lacks most seconds.

    Args:
        manifest: What to divide.
        by: The key whose values are the groups: "speaker", "id", or any other.
        fractions: Of the seconds, by split; they sum to 1.
        seed: The order of the groups.
        hold_out: (key, value): a group in which an utterance has another value goes to the first split.
        only: Groups that go to a named split. A split without a fraction holds these alone, and the fractions are of the rest.

    Returns:
        The splits, those with fractions first; each utterance has its `split` set.

    Raises:
        SpeechbenchError: Bad fractions or names, a key that utterances lack, or fewer groups than splits.
    """
    _validate(fractions, only or {})
    members = groups(manifest, by)
    placed = _place_pinned(members, by, only or {})
    first = next(iter(fractions))
    free = [name for name in members if name not in placed]
    movable = [name for name in free if hold_out is None or all(_value(u, hold_out[0]) == hold_out[1] for u in members[name])]
    placed |= {name: first for name in free if name not in set(movable)}
    empty = [name for name in fractions if name not in placed.values()]
    if len(movable) < len(empty):
        raise SpeechbenchError(
            f"{manifest.name}: only {len(movable)} groups of '{by}' are left for the splits {', '.join(empty)}; "
            "name fewer splits or divide by another key, such as --by id"
        )
    if len(movable) < len(free) and hold_out is not None:
        say(f"{len(free) - len(movable)} groups with another {hold_out[0]} than {hold_out[1]} went to {first}")
    seconds = {name: math.fsum(u.duration for u in group) for name, group in members.items()}
    _deal(movable, seconds, fractions, placed, generator_of(seed, "split", by))
    parts: dict[str, list[Utterance]] = {name: [] for name in [*fractions, *(only or {})]}
    for utterance in manifest:
        name = placed[_value(utterance, by)]
        parts[name].append(replace(utterance, split=name))
    return {name: Manifest(tuple(part)) for name, part in parts.items()}


def _deal(
    names: list[str],
    seconds: Mapping[str, float],
    fractions: Mapping[str, float],
    placed: dict[str, str],
    rng: np.random.Generator,
) -> None:
    """Put each group into a split, in `placed`; no split stays empty."""
    held = {split: math.fsum(seconds[name] for name, where in placed.items() if where == split) for split in fractions}
    total = math.fsum(held.values()) + math.fsum(seconds[name] for name in names)
    lacking = {split: share * total - held[split] for split, share in fractions.items()}
    for dealt, index in enumerate(rng.permutation(len(names))):
        empty = [split for split in fractions if split not in placed.values()]
        candidates = empty if len(names) - dealt <= len(empty) else list(fractions)
        chosen = max(candidates, key=lacking.__getitem__)
        placed[names[index]] = chosen
        lacking[chosen] -= seconds[names[index]]


def _validate(fractions: Mapping[str, float], only: Mapping[str, Sequence[str]]) -> None:
    for name in (*fractions, *only):
        if not re.fullmatch(r"\w[\w.+-]*", name):
            raise SpeechbenchError(f"split '{name}' cannot name a file; use letters, digits, - and _")
    if not fractions or not all(share > 0 for share in fractions.values()):
        raise SpeechbenchError("every split needs a fraction above 0, for example --fractions train=.8,dev=.2")
    if abs(math.fsum(fractions.values()) - 1.0) > SUM_TOLERANCE:
        raise SpeechbenchError(f"the fractions sum to {math.fsum(fractions.values()):g}; they have to sum to 1")


def groups(manifest: Manifest, by: str) -> dict[str, list[Utterance]]:
    """The utterances by their value of a key, sorted.

    Raises:
        SpeechbenchError: A key that no manifest has, or that some utterances lack.
    """
    keys = {key for utterance in manifest for key in utterance.extra} | KNOWN_KEYS
    if by not in keys:
        raise unknown_name("key to split by", by, keys)
    lacking = [utterance.id for utterance in manifest if _value(utterance, by) == ""]
    if lacking:
        raise SpeechbenchError(
            f"{manifest.name}: {len(lacking)} of {len(manifest)} utterances have no '{by}': {name_some(lacking)}; "
            "add it, or divide by utterance with --by id"
        )
    found: dict[str, list[Utterance]] = {}
    for utterance in sorted(manifest, key=lambda utterance: (_value(utterance, by), utterance.id)):
        found.setdefault(_value(utterance, by), []).append(utterance)
    return found


def _value(utterance: Utterance, key: str) -> str:
    value = getattr(utterance, key) if key in KNOWN_KEYS else utterance.extra.get(key)
    return "" if value is None else str(value)


def _place_pinned(groups: Mapping[str, object], by: str, only: Mapping[str, Sequence[str]]) -> dict[str, str]:
    placed: dict[str, str] = {}
    for split_name, names in only.items():
        for name in names:
            if name not in groups:
                raise unknown_name(f"{by} in --only {split_name}", name, groups)
            if placed.get(name, split_name) != split_name:
                raise SpeechbenchError(f"--only puts '{name}' into both {placed[name]} and {split_name}; name it once")
            placed[name] = split_name
    return placed
