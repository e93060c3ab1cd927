"""Tensors in files, in the safetensors format, which holds numbers and JSON and nothing that could be run.

Written here and not with its package, so that a machine that has torch alone can train and decode.

Source: https://huggingface.co/docs/safetensors: eight bytes with the length of a JSON header (little-endian), the header with
type, shape and place of each tensor, and under "__metadata__" strings of the writer's own; then the tensors' bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from speechbench.errors import SpeechbenchError
from speechbench.files import writing

TYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64}
NAMES = {kind: name for name, kind in TYPES.items()}
ALIGNMENT = 8  # bytes
FACTS = "facts"  # the one string of metadata: a JSON document


def save(path: Path, tensors: Mapping[str, Tensor], facts: Any = None) -> None:
    """Write tensors, and what else is known as JSON, whole or not at all; the same tensors give the same bytes."""
    header: dict[str, Any] = {} if facts is None else {"__metadata__": {FACTS: json.dumps(facts, ensure_ascii=False)}}
    end = 0
    # The widest first, so that each lies at a multiple of its width.
    ordered = sorted(tensors.items(), key=lambda pair: (-pair[1].element_size(), pair[0]))
    for name, tensor in ordered:
        start, end = end, end + tensor.numel() * tensor.element_size()
        header[name] = {"dtype": NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [start, end]}
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    with writing(path) as aside, aside.open("wb") as stream:
        stream.write(len(text).to_bytes(8, "little"))
        stream.write(text)
        for _, tensor in ordered:
            stream.write(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)


def load(path: Path) -> tuple[dict[str, Tensor], Any]:
    """The tensors of a file, on the CPU, and its facts; None for a file without.

    Raises:
        SpeechbenchError: No such file, or one that is cut off or of another format.
    """
    if not path.is_file():
        raise SpeechbenchError(f"{path}: no such file")
    data = bytearray(path.read_bytes())
    start = 8 + int.from_bytes(data[:8], "little")
    try:
        header = json.loads(data[8:start])
        metadata = header.pop("__metadata__", {})
        tensors = {name: _tensor(data, start, **entry) for name, entry in header.items()}
        return tensors, json.loads(metadata[FACTS]) if FACTS in metadata else None
    except (ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise SpeechbenchError(f"{path}: is no whole safetensors file; remove it, or make it again") from error


def _tensor(data: bytearray, start: int, dtype: str, shape: list[int], data_offsets: list[int]) -> Tensor:
    first, end = data_offsets
    if first == end:
        return torch.empty(shape, dtype=TYPES[dtype])
    count = (end - first) // TYPES[dtype].itemsize
    return torch.frombuffer(data, dtype=TYPES[dtype], count=count, offset=start + first).reshape(shape).clone()
