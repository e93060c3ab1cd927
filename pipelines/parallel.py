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
from torch import Tensor, distributed, nn
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


def _total(values: Tensor) -> Tensor:
    """The sum over all processes, through which gradients flow."""
    total: Tensor = all_reduce(values)  # type: ignore[no-untyped-call]
    return total


class SyncedBatchNorm(nn.BatchNorm1d):
    """Batch norm over the frames of all processes, (n, F) each; torch's own, which needs GPUs, takes means of means.

    Source: Ioffe and Szegedy 2015.
    """

    def forward(self, values: Tensor) -> Tensor:
        """Normalise; with one process as torch does."""
        if not self.training or size() == 1:
            return super().forward(values)
        wide = values.float()
        count = _total(wide.new_tensor(float(len(values))))
        mean = _total(wide.sum(0)) / count
        variance = _total((wide - mean).square().sum(0)) / count
        with torch.no_grad():
            assert self.running_mean is not None and self.running_var is not None
            assert self.num_batches_tracked is not None and self.momentum is not None
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1).clamp_min(1), self.momentum)
        scaled: Tensor = (wide - mean) * (variance + self.eps).rsqrt() * self.weight + self.bias
        return scaled.to(values.dtype)
