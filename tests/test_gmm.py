import math

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from pipelines.phoneme.gmm import Chunks, Mixtures
from pipelines.phoneme.transforms import mllt


def random_mixtures(states, gaussians, features, seed=0):
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.ones(gaussians), states)
    shape = (states, gaussians, features)
    parts = (weights, rng.normal(0, 3, shape), rng.uniform(0.2, 2, shape))
    return Mixtures(*(torch.tensor(part, dtype=torch.float32) for part in parts))


def draw(mixtures, frames, seed=0):
    """Frames and their states, drawn from the mixtures."""
    rng = np.random.default_rng(seed)
    states = rng.integers(0, len(mixtures.weights), frames)
    picked = [
        rng.choice(mixtures.weights.shape[1], p=(w := mixtures.weights[s].numpy().astype(float)) / w.sum()) for s in states
    ]
    means, variances = mixtures.means[states, picked].numpy(), mixtures.variances[states, picked].numpy()
    return torch.tensor(rng.normal(means, np.sqrt(variances)), dtype=torch.float32), torch.from_numpy(states)


def mean_likelihood(mixtures, frames, states):
    return float(mixtures.log_likelihoods(frames).gather(1, states[:, None]).mean())


def test_log_likelihoods_against_scipy():
    mixtures, frames = random_mixtures(3, 4, 5), np.random.default_rng(1).normal(0, 3, (20, 5))
    oracle = [
        logsumexp(
            [
                math.log(weight) + multivariate_normal(mean, np.diag(variance)).logpdf(frames)
                for weight, mean, variance in zip(
                    *(part[state].numpy().astype(float) for part in vars(mixtures).values()), strict=True
                )
            ],
            axis=0,
        )
        for state in range(3)
    ]
    found = mixtures.log_likelihoods(torch.tensor(frames, dtype=torch.float32))
    np.testing.assert_allclose(found.numpy(), np.transpose(oracle), atol=1e-3, rtol=1e-4)


def test_the_nearest_gaussian_is_the_greatest_part_of_the_sum():
    mixtures, frames = random_mixtures(3, 4, 5), torch.randn(20, 5)
    alone = [Mixtures(*(part[:, [n]] for part in vars(mixtures).values())).log_likelihoods(frames) for n in range(4)]
    torch.testing.assert_close(mixtures.scorer().nearest(frames, torch.tensor([2, 0])), torch.stack(alone).amax(0)[:, [2, 0]])


@pytest.mark.parametrize("seed", range(5))
def test_em_raises_the_likelihood(seed):
    frames, states = draw(random_mixtures(3, 4, 4, seed), 3000, seed)
    mixtures = Mixtures.flat(3, frames.shape[1]).update([Chunks.of(frames, states)]).split().split()
    raised = 0
    for _ in range(8):
        before, mixtures = mixtures, mixtures.update([Chunks.of(frames, states)])
        if torch.equal(before.weights > 0, mixtures.weights > 0):  # dropping a Gaussian costs a little
            gain = mean_likelihood(mixtures, frames, states) - mean_likelihood(before, frames, states)
            assert gain >= -1e-4
            raised += gain > 1e-3
    assert raised >= 3


def test_planted_mixtures_are_found():
    planted = Mixtures(
        torch.tensor([[0.3, 0.7], [0.5, 0.5]]),
        torch.tensor([[[-4.0, 0.0], [4.0, 1.0]], [[0.0, -5.0], [0.0, 5.0]]]),
        torch.tensor([[[1.0, 0.5], [0.3, 1.0]], [[0.6, 0.6], [1.2, 0.8]]]),
    )
    frames, states = draw(planted, 8000)
    found = Mixtures.flat(2, frames.shape[1]).update([Chunks.of(frames, states)]).split()
    for _ in range(24):
        found = found.update([Chunks.of(frames, states)])
    for state, axis in ((0, 0), (1, 1)):
        order = found.means[state, :, axis].argsort()
        torch.testing.assert_close(found.means[state][order], planted.means[state], atol=0.1, rtol=0)
        torch.testing.assert_close(found.variances[state][order], planted.variances[state], atol=0.1, rtol=0)
        torch.testing.assert_close(found.weights[state][order], planted.weights[state], atol=0.03, rtol=0)


def test_threads_change_nothing(request, monkeypatch):
    monkeypatch.setattr("pipelines.phoneme.gmm.PIECE", 3)
    frames, states = draw(random_mixtures(5, 2, 4), 3000)
    mixtures = Mixtures.flat(5, 4).update([Chunks.of(frames, states)]).split()
    alone, transform = mixtures.update([Chunks.of(frames, states)]), mllt(mixtures, [Chunks.of(frames, states)])
    request.getfixturevalue("two_threads")
    together = mixtures.update([Chunks.of(frames, states)])
    assert all(map(torch.equal, vars(alone).values(), vars(together).values()))
    assert torch.equal(mllt(mixtures, [Chunks.of(frames, states)]), transform)


def test_update_of_one_gaussian_is_mean_and_variance():
    frames, states = draw(random_mixtures(2, 3, 3), 500)
    found = Mixtures.flat(2, frames.shape[1]).update([Chunks.of(frames, states)])
    for state in range(2):
        own = frames[states == state]
        torch.testing.assert_close(found.means[state, 0], own.mean(0), atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(found.variances[state, 0], own.var(0, correction=0), atol=1e-3, rtol=1e-3)


def test_weights_sum_to_1():
    frames, states = draw(random_mixtures(2, 8, 3), 300)
    mixtures = Mixtures.flat(2, frames.shape[1]).update([Chunks.of(frames, states)])
    for _ in range(4):
        mixtures = mixtures.split().update([Chunks.of(frames, states)]).update([Chunks.of(frames, states)])
        torch.testing.assert_close(mixtures.weights.sum(1), torch.ones(2))
        assert torch.isfinite(mixtures.log_likelihoods(frames)).all()


def test_a_state_without_frames_stays_as_it_is():
    frames, states = draw(random_mixtures(2, 2, 3), 400)
    flat = Mixtures.flat(4, frames.shape[1])  # states 2 and 3 are never met
    found = flat.update([Chunks.of(frames, states)]).split().update([Chunks.of(frames, states)])
    torch.testing.assert_close(found.means[2:].mean(1), flat.means[2:, 0])
    assert torch.isfinite(found.log_likelihoods(frames)).all()


def test_frames_that_are_all_alike_stay_finite():
    frames, states = torch.full((50, 3), 2.5), torch.zeros(50, dtype=torch.long)
    mixtures = Mixtures.flat(2, frames.shape[1]).update([Chunks.of(frames, states)]).split().update([Chunks.of(frames, states)])
    assert torch.isfinite(mixtures.log_likelihoods(frames)).all()


def test_a_gaussian_without_frames_is_dropped():
    frames, states = draw(random_mixtures(1, 1, 2), 200)
    far = Mixtures(torch.tensor([[0.5, 0.5]]), torch.tensor([[[0.0, 0.0], [90.0, 90.0]]]), torch.ones(1, 2, 2))
    found = far.update([Chunks.of(frames, states)])
    assert found.weights.tolist() == [[1.0, 0.0]]
    later = found.split().update([Chunks.of(frames, states)])
    assert torch.isfinite(later.log_likelihoods(frames)).all()
    assert mean_likelihood(later, frames, states) >= mean_likelihood(found, frames, states) - 0.05


def test_split_keeps_the_likelihood_nearly_the_same():
    frames, states = draw(random_mixtures(3, 2, 4), 2000)
    mixtures = Mixtures.flat(3, frames.shape[1]).update([Chunks.of(frames, states)])
    split = mixtures.split()
    assert split.weights.shape == (3, 2)
    assert mean_likelihood(split, frames, states) == pytest.approx(mean_likelihood(mixtures, frames, states), abs=0.15)


def test_blocks_add_up():
    frames, states = draw(random_mixtures(3, 2, 4), 900)
    start = Mixtures.flat(3, 4).update([Chunks.of(frames, states)]).split()
    whole = start.update([Chunks.of(frames, states)])
    parts = start.update([Chunks.of(frames[a : a + 100], states[a : a + 100]) for a in range(0, 900, 100)])
    for name, value in vars(whole).items():
        torch.testing.assert_close(getattr(parts, name), value, atol=1e-5, rtol=1e-4)
