import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipelines.batches import extract, length_batches, pad
from speechbench import audio
from speechbench.manifest import Manifest, Skipped, Utterance


@given(st.lists(st.integers(1, 2000), min_size=1, max_size=80), st.integers(1, 4000), st.integers(0, 99))
def test_every_item_is_in_one_batch_and_batches_keep_their_size(lengths, most, seed):
    batches = length_batches(lengths, most, np.random.default_rng(seed))
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[index] for index in batch) <= most


def test_batches_hold_like_lengths():
    lengths = np.random.default_rng(0).integers(50, 1500, 400).tolist()
    batches = length_batches(lengths, 6000, np.random.default_rng(1))
    padded = sum(len(batch) * max(lengths[index] for index in batch) for batch in batches)
    assert padded < 1.2 * sum(lengths)


def test_batches_are_drawn_from_the_generator_alone():
    lengths = list(range(100, 200))
    first, second, third = (length_batches(lengths, 1000, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert first == second
    assert first != third


def test_batches_come_in_random_order():
    longest = [
        max(batch) for batch in length_batches(list(range(100, 400)), 1000, np.random.default_rng(0))
    ]  # lengths rise with the index
    assert longest != sorted(longest)
    assert longest != sorted(longest, reverse=True)


def test_pad():
    batch, lengths = pad([torch.ones(3, 2), torch.ones(5, 2), torch.ones(1, 2)])
    assert batch.shape == (3, 5, 2)
    assert lengths.tolist() == [3, 5, 1]
    assert batch.sum(dim=(1, 2)).tolist() == [6, 10, 2]


@pytest.fixture
def manifest(tmp_path):
    rows = []
    for number in range(4):
        path = tmp_path / f"u{number}.wav"
        if number != 1:
            audio.write(path, np.full(1600 * (number + 1), 0.1 * number, np.float32))
        rows.append(Utterance(path.stem, path, 0.1 * (number + 1)))
    (tmp_path / "u2.wav").write_bytes(b"no audio")
    return Manifest(tuple(rows))


@pytest.mark.parametrize("threaded", [False, True])
def test_extract_keeps_the_order_and_names_what_it_leaves_out(manifest, threaded):
    skipped = Skipped()
    found = [(utterance.id, count) for utterance, count in extract(manifest, len, skipped, "test", threaded=threaded)]
    assert found == [("u0", 1600), ("u3", 6400)]
    assert list(skipped.reasons) == ["u1", "u2"]
    assert "u1.wav" in skipped.reasons["u1"]
