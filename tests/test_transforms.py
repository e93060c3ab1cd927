import numpy as np
import pytest
import torch

from pipelines.phoneme.gmm import Chunks, Mixtures
from pipelines.phoneme.transforms import lda, mllt, splice


def test_splice_repeats_the_edges():
    spliced = splice(torch.arange(4.0).unsqueeze(1), 2)
    assert spliced.tolist() == [[0, 0, 0, 1, 2], [0, 0, 1, 2, 3], [0, 1, 2, 3, 3], [1, 2, 3, 3, 3]]
    assert torch.equal(splice(torch.ones(3, 2), 0), torch.ones(3, 2))


def classes(seed=0, frames=4000):
    """Three classes that differ in one hidden direction alone, under much louder noise in the others."""
    rng = np.random.default_rng(seed)
    columns = rng.integers(0, 3, frames)
    hidden = rng.normal(0, [1.0, 20.0, 5.0], (frames, 3)) + np.outer(columns, [6.0, 0, 0])
    mixing = rng.normal(size=(3, 3))
    return torch.tensor(hidden @ mixing, dtype=torch.float32), torch.from_numpy(columns), mixing


def test_lda_finds_the_direction_that_parts_the_classes():
    frames, columns, mixing = classes()
    found = lda([(frames, columns)], 3, 1)
    assert found.shape == (1, 3)
    seen = (found @ torch.tensor(mixing, dtype=torch.float32).T)[0]  # of the hidden axes
    assert seen[0].abs() > 30 * seen[1:].abs().max()
    values = (frames @ found.T)[:, 0]
    within = torch.stack([values[columns == c].var() for c in range(3)])
    torch.testing.assert_close(within, torch.ones(3), atol=0.15, rtol=0)


def test_lda_does_not_depend_on_the_blocks():
    frames, columns, _ = classes()
    parts = [(frames[a : a + 500], columns[a : a + 500]) for a in range(0, 4000, 500)]
    torch.testing.assert_close(lda(parts, 4, 2), lda([(frames, columns)], 3, 2), atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("seed", range(3))
def test_mllt_undoes_a_mixing_of_independent_features(seed):
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(3, 3))
    columns = rng.integers(0, 4, 6000)
    deviations = rng.uniform(0.2, 3, (4, 3))  # of each class its own, or the mixing could not be told
    frames = (rng.normal(0, 1, (6000, 3)) * deviations[columns] + rng.normal(0, 3, (4, 3))[columns]) @ mixing.T
    block = torch.tensor(frames, dtype=torch.float32), torch.from_numpy(columns)
    transform = torch.eye(3)
    for _ in range(8):
        moved = Chunks.of(block[0] @ transform.T, block[1])
        mixtures = Mixtures.flat(4, 3).update([moved])
        transform = mllt(mixtures, [moved]) @ transform
    product = transform.double().numpy() @ mixing
    shares = np.abs(product) / np.abs(product).max(1, keepdims=True)
    assert sorted(shares.argmax(1)) == [0, 1, 2]
    assert np.sort(shares, axis=1)[:, 1].max() < 0.1


def test_mllt_raises_the_likelihood():
    frames, columns, _ = classes(1)
    mixtures = Mixtures.flat(3, 3).update([Chunks.of(frames, columns)])
    transform = mllt(mixtures, [Chunks.of(frames, columns)])
    after = Mixtures.flat(3, 3).update([Chunks.of(frames @ transform.T, columns)])
    before = float(mixtures.log_likelihoods(frames).gather(1, columns[:, None]).mean())
    gain = float(after.log_likelihoods(frames @ transform.T).gather(1, columns[:, None]).mean()) - before
    assert gain + float(torch.linalg.det(transform).abs().log()) > 0.5  # the change of volume is part of it
