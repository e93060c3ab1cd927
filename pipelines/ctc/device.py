"""Where a network is trained, and with which numbers."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from pipelines.ctc.config import Device, Precision, Switch
from speechbench.errors import SpeechbenchError


def chosen_device(name: Device) -> torch.device:
    """The device of a config; of several GPUs the one that this process was given.

    Raises:
        SpeechbenchError: A GPU is asked for where torch sees none.
    """
    has_gpu = torch.cuda.is_available()
    if name == "cuda" and not has_gpu:
        raise SpeechbenchError(
            f"training.device is 'cuda', but torch {torch.__version__} sees no GPU here; set it to 'auto' or 'cpu'"
        )
    if not has_gpu or name == "cpu":
        return torch.device("cpu")
    # cuDNN's attention plans anew for each shape, which takes the processor 15 ms where the GPU has work for 1 ms; and torch
    # 2.11 compiles its way back with wrong strides where sizes vary. Without it torch takes another.
    torch.backends.cuda.enable_cudnn_sdp(False)
    return torch.device("cuda", torch.cuda.current_device())


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """In which a network's forward pass runs: "auto" is bfloat16 on a GPU; losses and weights stay in float32."""
    half = precision == "bfloat16" or (precision == "auto" and device.type == "cuda")
    return torch.autocast(device.type, torch.bfloat16, enabled=half)


def compile_layers(layers: Iterable[nn.Module], device: torch.device, switch: Switch) -> None:
    """Compile layers in place, one after another, so that those of the same kind are compiled once.

    "auto" compiles on a GPU what has no recurrence, of which torch compiles nothing.
    """
    for layer in layers:
        if switch == "on" or (switch == "auto" and device.type == "cuda" and not layer.is_recurrent):
            layer.compile(dynamic=True)


def moved(values: Tensor, device: torch.device) -> Tensor:
    """The values on a device; only from pinned memory does a copy to a GPU run beside other work."""
    if values.device.type == device.type:
        return values
    pinned = values.pin_memory() if device.type == "cuda" and not values.is_pinned() else values
    return pinned.to(device, non_blocking=True)
