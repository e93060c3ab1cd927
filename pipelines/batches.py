"""Features of a manifest, and batches of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from pipelines.ahead import each
from speechbench.audio import Samples
from speechbench.errors import AudioError
from speechbench.manifest import Manifest, Skipped, Utterance
from speechbench.progress import track

T = TypeVar("T")


def extract(
    manifest: Manifest,
    features: Callable[[Samples], T],
    skipped: Skipped,
    label: str,
    *,
    threaded: bool = False,
) -> Iterator[tuple[Utterance, T]]:
    """The features of each utterance, in order.

    Args:
        manifest: Of the utterances.
        features: Of an utterance's audio.
        skipped: Takes the utterances whose audio cannot be used.
        label: Of the progress.
        threaded: Work in as many threads as torch may have, which until the last has one alone: not for callers who compute
            with torch meanwhile.
    """

    def made(utterance: Utterance) -> T | AudioError:
        try:
            samples = utterance.samples()
        except AudioError as error:
            return error
        return features(samples)

    work = each if threaded else map
    for utterance, found in zip(manifest, work(made, track(manifest, label)), strict=True):
        if isinstance(found, AudioError):
            skipped.add(utterance.id, found)
        else:
            yield utterance, found


def length_batches(lengths: Sequence[int], most_frames: int, generator: np.random.Generator) -> list[list[int]]:
    """Indices in batches of like length, the batches in random order.

    Args:
        lengths: Frames of each item.
        most_frames: Of a batch, padding counted; an item longer than this is a batch of its own.
        generator: Shuffles items of nearly the same length, and the batches.
    """
    # Noise of a tenth of the length keeps like with like while no two epochs have the same batches.
    order = np.argsort(np.asarray(lengths) * generator.uniform(0.95, 1.05, len(lengths)), kind="stable")
    batches: list[list[int]] = []
    widest = 0
    for index in order.tolist():
        widest = max(widest, lengths[index])
        if batches and widest * (len(batches[-1]) + 1) <= most_frames:
            batches[-1].append(index)
        else:
            batches.append([index])
            widest = lengths[index]
    return [batches[i] for i in generator.permutation(len(batches))]


def pad(items: Sequence[Tensor], pin: bool = False) -> tuple[Tensor, Tensor]:
    """Items of shape (T_i, F) as one zero-padded batch (B, T, F) and their lengths (B,).

    Args:
        items: At least one.
        pin: Have the batch in memory that a GPU can copy from while the processor goes on.
    """
    lengths = [len(item) for item in items]
    longest, shape = max(lengths), items[0].shape[1:]
    nothing = items[0].new_zeros(longest - min(lengths), *shape)
    pieces = [piece for item in items for piece in (item, nothing[: longest - len(item)])]
    batch = torch.empty(len(items) * longest, *shape, dtype=items[0].dtype, pin_memory=pin)
    # In one call, which lets Python's lock go: row by row it would be asked for hundreds of times beside the training.
    torch.cat(pieces, out=batch)
    return batch.view(len(items), longest, *shape), torch.tensor(lengths)
