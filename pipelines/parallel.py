"""Training by several processes, one per GPU or core, that `torchrun` starts: each takes a part of every batch.

Gradients and the sums of batch norm are added up over all processes, so that they compute what one process would with the
whole batch. Only the first writes files.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

import torch
from torch import Tensor, distributed
from torch.distributed.nn.functional import all_reduce

T = TypeVar("T")

PATIENCE = timedelta(days=2)  # while the first process reads the audio of a large corpus, the others wait


@contextmanager
def joined() -> Iterator[None]:
    """Be one of the processes that torchrun started, or the only one."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    on_gpus = torch.cuda.is_available()
    if on_gpus:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("nccl" if on_gpus else "gloo", timeout=PATIENCE)
    try:
        yield
    finally:
        distributed.destroy_process_group()


def size() -> int:
    """How many processes there are."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def rank() -> int:
    """Which of them this one is, from 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def is_first() -> bool:
    """Whether this process writes files and speaks to the user."""
    return rank() == 0


def wait() -> None:
    """Go on when all processes are here."""
    if size() > 1:
        distributed.barrier()


def add_up(tensors: Iterable[Tensor]) -> None:
    """Add tensors up over all processes, in place and in one message."""
    if size() > 1:
        each = list(tensors)
        flat = torch.cat([tensor.reshape(-1) for tensor in each])
        distributed.all_reduce(flat)
        for tensor, total in zip(each, torch.split(flat, [tensor.numel() for tensor in each]), strict=True):
            tensor.copy_(total.view_as(tensor))


def agreed(value: T) -> T:
    """What the first process says; the others' own value is dropped."""
    if size() == 1:
        return value
    said = [value]
    distributed.broadcast_object_list(said)
    return said[0]


def share(batch: Sequence[int]) -> tuple[list[int], float]:
    """This process's part of a batch, and how much each utterance of it counts.

    A batch with fewer utterances than there are processes has some of them in several processes, so that none is without
    work; each then counts for less.
    """
    count = size()
    if len(batch) >= count:
        return list(batch[rank() :: count]), 1.0
    place = rank() % len(batch)
    return [batch[place]], 1.0 / len(range(place, count, len(batch)))


def total(values: Tensor) -> Tensor:
    """The sum over all processes, through which gradients flow."""
    if size() == 1:
        return values
    added: Tensor = all_reduce(values)  # type: ignore[no-untyped-call]
    return added
