"""A random generator per item, never a shared one: order, workers and resuming change nothing."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator

import numpy as np

EIGHT = struct.Struct(">8Q")


def seed_of(seed: int, *names: str | int) -> int:
    """A 63-bit seed that depends on the run's seed and the item's names alone.

    Source: SHA-256 (FIPS 180-4) of the parts joined by a character that no name holds.
    """
    text = "\x1f".join([str(seed), *map(str, names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def chances_of(seed: int) -> Iterator[float]:
    """Numbers drawn uniformly from [0, 1), without end; for a few of them, ten times as fast as a generator is started.

    Source: SHA-512 (FIPS 180-4) of the seed and a counter, 53 bits a number.
    """
    counter = 0
    while True:
        for whole in EIGHT.unpack(hashlib.sha512(b"%d:%d" % (seed, counter)).digest()):
            yield (whole >> 11) * 2.0**-53
        counter += 1


def generator_of(seed: int, *names: str | int) -> np.random.Generator:
    """A generator for one item, for example `generator_of(0, "scene", utterance.id, copy)`."""
    return np.random.default_rng(seed_of(seed, *names))
