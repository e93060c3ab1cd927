"""Files in the safetensors format, against its own package."""

import pytest
import safetensors.torch
import torch

from pipelines import tensors
from speechbench.errors import SpeechbenchError

VALUES = {
    "weight": torch.randn(3, 4, generator=torch.Generator().manual_seed(0)),
    "half": torch.arange(3).to(torch.bfloat16),
    "count": torch.tensor(7),
    "step": torch.tensor(2.5),
    "wide": torch.randn(2, generator=torch.Generator().manual_seed(1)).double(),
    "none": torch.zeros(0, 5),
    "turned": torch.arange(6.0).reshape(2, 3).T,
}


def same(first, second):
    return first.keys() == second.keys() and all(
        first[name].dtype == value.dtype and torch.equal(first[name], value) for name, value in second.items()
    )


def test_each_reads_what_the_other_writes(tmp_path):
    tensors.save(tmp_path / "ours", VALUES, {"epoch": 3, "named": "é"})
    assert same(safetensors.torch.load_file(tmp_path / "ours"), VALUES)
    safetensors.torch.save_file({name: value.contiguous() for name, value in VALUES.items()}, tmp_path / "theirs")
    read, facts = tensors.load(tmp_path / "theirs")
    assert same(read, VALUES) and facts is None
    assert tensors.load(tmp_path / "ours")[1] == {"epoch": 3, "named": "é"}


def test_same_tensors_same_bytes(tmp_path):
    tensors.save(tmp_path / "a", VALUES)
    tensors.save(tmp_path / "b", dict(reversed(VALUES.items())))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_files_that_are_not_whole(tmp_path):
    tensors.save(tmp_path / "a", VALUES)
    whole = (tmp_path / "a").read_bytes()
    for left in (0, 7, 100, len(whole) - 1):
        (tmp_path / "a").write_bytes(whole[:left])
        with pytest.raises(SpeechbenchError, match="is no whole safetensors file; remove it, or make it again"):
            tensors.load(tmp_path / "a")
    with pytest.raises(SpeechbenchError, match="no such file"):
        tensors.load(tmp_path / "b")
