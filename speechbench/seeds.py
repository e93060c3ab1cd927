"""A random generator per item, never a shared one: order, workers and resuming change nothing."""

from __future__ import annotations

import hashlib

import numpy as np


def seed_of(seed: int, *names: str | int) -> int:
    """A 63-bit seed that depends on the run's seed and the item's names alone.

    Source: SHA-256 (FIPS 180-4) of the parts joined by a character that no name holds.
    """
    text = "\x1f".join([str(seed), *map(str, names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator_of(seed: int, *names: str | int) -> np.random.Generator:
    """A generator for one item, for example `generator_of(0, "scene", utterance.id, copy)`."""
    return np.random.default_rng(seed_of(seed, *names))
