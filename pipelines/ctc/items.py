"""What a network is trained on by CTC: utterances with their tokens, and where their features come from."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple, Protocol

from torch import Tensor

from pipelines.batches import pad
from pipelines.ctc.heads import Labels
from pipelines.ctc.network import steps_of
from speechbench.errors import AudioError, SpeechbenchError
from speechbench.manifest import Skipped

PHONEMES = "phonemes"  # the one label that must fit into the steps, as the tokens must


@dataclass(frozen=True)
class Item:
    """One utterance: its frames, T, its token numbers (U,), what further heads shall tell of it, and where it begins."""

    id: str
    text: str
    frames: int
    tokens: Tensor
    labels: Labels = field(default_factory=dict)
    speaker: str | None = None
    start: int = 0  # the first frame of what was recorded that is used; silence lies before it

    def fits(self, frames: int) -> bool:
        """Whether so many frames are enough for its tokens, and for its phonemes if it has any."""
        return steps_of(frames) >= self._least_steps

    @cached_property
    def _least_steps(self) -> int:
        return max(least_steps(self.tokens), least_steps(self.labels.get(PHONEMES, self.tokens)))


def least_steps(tokens: Tensor) -> int:
    """Through how few steps CTC has a path for some tokens; through fewer it has none, and an infinite loss."""
    repeats = int((tokens[1:] == tokens[:-1]).sum())  # a blank must stand between equal tokens
    return len(tokens) + repeats


class Batch(NamedTuple):
    """Utterances side by side, and their features."""

    items: Sequence[Item]  # B
    features: Tensor  # (B, T, F), zero behind each utterance; on any device
    lengths: Tensor  # (B,), frames, on the CPU


Groups = Mapping[int, Sequence[int]]  # places of items, by the groups' numbers
Batches = Generator[tuple[int, Batch], None, None]  # each with the number of its group


class Source(Protocol):
    """Where the utterances of each epoch come from."""

    @property
    def items(self) -> Sequence[Item]:
        """What each epoch holds."""
        ...

    def read(self, epoch: int, groups: Groups) -> Batches:
        """Read or make the features of groups of items.

        Args:
            epoch: From 0.
            groups: Those that are wanted.

        Returns:
            The groups, in their order, with their numbers; one of which nothing can be used is left out.
        """
        ...


@dataclass(frozen=True)
class Stored:
    """Features that lie ready, the same in each epoch."""

    items: Sequence[Item]
    features: Callable[[str], Tensor]  # of all that was recorded of an utterance, by its id
    pin: bool = False  # for a GPU

    def read(self, epoch: int, groups: Groups) -> Batches:
        """Read features when they are needed."""
        for number, places in groups.items():
            chosen = [self.items[place] for place in places]
            yield number, Batch(chosen, *pad([self.heard(item) for item in chosen], self.pin))

    def heard(self, item: Item) -> Tensor:
        """The part of an utterance that is used, (T, F)."""
        return self.features(item.id)[item.start : item.start + item.frames]


def fitting(items: Sequence[Item], name: str, skipped: Skipped) -> list[Item]:
    """Leave out, by name, utterances with more tokens than steps.

    Args:
        items: Of a training set.
        name: The set's.
        skipped: Takes what is left out.

    Raises:
        SpeechbenchError: None is left.
    """
    kept: list[Item] = []
    for item in items:
        if item.fits(item.frames):
            kept.append(item)
        else:
            skipped.add(item.id, too_short(item, item.frames))
    if not kept:
        raise SpeechbenchError(f"{name}: no utterance is left to train on")
    return kept


def too_short(item: Item, frames: int) -> AudioError:
    """What is said of an utterance that does not fit."""
    return AudioError(f"{steps_of(frames)} steps are too few for '{item.text}'")
