"""The network's alphabet and features: all that training and greedy decoding need, without the decoding graph."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pipelines.ctc.network import greedy_tokens
from pipelines.e2e.pieces import split_word
from speechbench.audio import Samples
from speechbench.features import cmvn, cmvns, frames_of, log_mel, log_mels
from speechbench.lexicon import Lexicon

SPACE = " "


def front_end(bands: int) -> Callable[[Samples | Tensor], Tensor]:
    """The features: log-mel with CMVN over the utterance."""
    return lambda samples: cmvn(log_mel(samples, bands))


def batch_front_end(bands: int) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """The features of a batch, (B, N) and lengths (B,) in samples -> (B, T, F) and lengths (B,) in frames, on the CPU."""

    def features(samples: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        frames = torch.tensor([frames_of(length) for length in lengths.tolist()])
        return cmvns(log_mels(samples, lengths, bands), frames), frames

    return features


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
