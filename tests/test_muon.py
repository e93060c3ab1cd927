import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from pipelines.muon import ITERATIONS, Muon, orthogonal


def weights(seed, *shapes):
    generator = torch.Generator().manual_seed(seed)
    return [nn.Parameter(torch.randn(shape, generator=generator) * 0.1) for shape in shapes]


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_steps_are_those_of_torch(precision):
    """Which multiplies in bfloat16 whatever it is given; wide, tall and square matrices, some of a shape."""
    shapes = (32, 96), (32, 96), (48, 20), (16, 16)
    ours, theirs = weights(0, *shapes), weights(0, *shapes)
    one = Muon(ours, 6e-3, 0.1, precision=precision)
    other = torch.optim.Muon(theirs, 6e-3, 0.1, ns_steps=ITERATIONS, adjust_lr_fn="match_rms_adamw")
    for seed in range(20):
        for mine, its, gradient in zip(ours, theirs, weights(seed, *shapes), strict=True):
            mine.grad, its.grad = gradient.data.clone(), gradient.data.clone()
        one.step()
        other.step()
    for mine, its, before in zip(ours, theirs, weights(0, *shapes), strict=True):
        torch.testing.assert_close(mine, its, rtol=0, atol=2e-3)
        assert (mine - before).abs().max() > 0.02  # ten times what they may differ by


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 1000), st.floats(1e-6, 1e6))
def test_singular_values_are_brought_near_1(rows, columns, seed, scale):
    """Directions that are a twentieth as loud as the loudest come out as loud, however loud that is."""
    generator = torch.Generator().manual_seed(seed)
    matrices = torch.randn(2, rows, columns, generator=generator, dtype=torch.float64)
    left, values, right = torch.linalg.svd(matrices, full_matrices=False)
    values = scale * (0.05 + 0.95 * torch.rand(values.shape, generator=generator, dtype=torch.float64))
    values[:, 0] = scale
    found = left.mT @ orthogonal(left @ torch.diag_embed(values) @ right) @ right.mT
    turned = found.diagonal(dim1=1, dim2=2)
    assert turned.min() > 0.2
    assert turned.max() < 1.3
    torch.testing.assert_close(found, torch.diag_embed(turned), rtol=0, atol=1e-6)


def test_what_has_no_gradient_is_left_alone():
    kept, changed = weights(1, (4, 6), (4, 6))
    before = kept.detach().clone()
    optimizer = Muon([kept, changed], 1e-2, 0.1)
    changed.grad = torch.ones(4, 6)
    optimizer.step()
    assert torch.equal(kept, before)
    assert not torch.equal(changed, before)


def test_a_gradient_of_nothing_moves_nothing():
    (weight,) = weights(2, (4, 6))
    before = weight.detach().clone()
    weight.grad = torch.zeros(4, 6)
    Muon([weight], 1e-2, 0.0).step()
    assert torch.equal(weight, before)
