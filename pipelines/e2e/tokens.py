"""The network's alphabet: all that training and greedy decoding need, without the decoding graph."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pipelines.ctc.network import greedy_tokens
from pipelines.e2e.pieces import split_word
from speechbench.lexicon import Lexicon

SPACE = " "


@dataclass(frozen=True)
class Tokens:
    """The network's alphabet: characters, pieces of words, and the space between words; token 0 is the blank."""

    units: tuple[str, ...]

    @classmethod
    def of(cls, lexicon: Lexicon) -> Tokens:
        """All characters and pieces of a lexicon of spellings."""
        return cls((SPACE, *sorted({u for variants in lexicon.values() for spelling in variants for u in spelling})))

    @property
    def columns(self) -> int:
        """V, the blank included."""
        return len(self.units) + 1

    def numbers(self, words: Sequence[str]) -> Tensor:
        """The token numbers of words; characters that the alphabet lacks are left out, for no output could match them."""
        known = {unit: number for number, unit in enumerate(self.units, start=1)}
        cuts = [unit for word in words for unit in (SPACE, *split_word(word, known))][1:]
        return torch.tensor([known[unit] for unit in cuts], dtype=torch.long)

    def text(self, numbers: Iterable[int]) -> str:
        """The text of token numbers without blanks, spaces single."""
        return SPACE.join("".join(self.units[n - 1] for n in numbers).split())


def greedy(scores: Tensor, tokens: Tokens) -> str:
    """The text of the likeliest tokens, (T, V)."""
    return tokens.text(greedy_tokens(scores))
