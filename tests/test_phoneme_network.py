from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipelines.phoneme.config import NetworkConfig
from pipelines.phoneme.network import PADDING, STACK, TimeDelayNetwork, _chunks, _cut, fit, log_priors

STATES, FEATURES = 7, 5


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    made = TimeDelayNetwork(FEATURES, STATES, NetworkConfig(width=16, layers=3))
    made.train()
    for _ in range(3):  # so that batch norm's averages are not those it began with
        made(torch.randn(4, 30, FEATURES) * 2 + 1)
    return made.eval()


@pytest.mark.parametrize("frames", [*range(1, 12), 100, 301])
def test_any_length_gives_log_posteriors_of_every_frame(network, frames):
    scores = network.log_posteriors(torch.randn(frames, FEATURES))
    assert scores.shape == (frames, STATES)
    torch.testing.assert_close(scores.exp().sum(1), torch.ones(frames))


def test_frames_come_out_in_their_order(network):
    """A change of one frame changes most what stands at that frame's step."""
    frames = torch.zeros(60, FEATURES)
    changed = frames.clone()
    changed[30] += 10
    differences = (network.log_posteriors(changed) - network.log_posteriors(frames)).abs().sum(1)
    reach = STACK * (1 + sum((1, 1, 2)))
    assert differences[: 30 - reach].max() == 0
    assert differences[31 + reach :].max() == 0
    assert differences[30 // STACK * STACK : 30 // STACK * STACK + STACK].min() > 0


def test_batching_is_irrelevant_in_use(network):
    stretches = torch.randn(4, 30, FEATURES)
    together = network(stretches)
    for one, stretch in zip(together, stretches, strict=True):
        torch.testing.assert_close(one, network.log_posteriors(stretch), atol=1e-5, rtol=1e-5)


def test_a_frame_less_changes_only_the_end(network):
    frames = torch.randn(90, FEATURES)
    whole, shorter = network.log_posteriors(frames), network.log_posteriors(frames[:89])
    torch.testing.assert_close(whole[:70], shorter[:70])


@given(st.lists(st.integers(1, 500), min_size=1, max_size=10), st.integers(1, 120).map(lambda n: n * STACK), st.integers(0, 99))
def test_chunks_cover_every_frame(lengths, size, seed):
    chunks = _chunks(lengths, size, np.random.default_rng(seed))
    for utterance, length in enumerate(lengths):
        starts = [start for u, start in chunks if u == utterance]
        covered = {frame for start in starts for frame in range(start, min(start + size, length))}
        assert covered == set(range(length))
        assert all(0 <= start <= max(0, length - size) for start in starts)
        assert len(starts) <= length // size + 2


def test_behind_a_short_utterance_stands_padding():
    assert _cut(torch.arange(4), 0, 6, PADDING).tolist() == [0, 1, 2, 3, PADDING, PADDING]
    assert _cut(torch.ones(4, 2), 1, 5, 0).tolist() == [[1, 1], [1, 1], [1, 1], [0, 0], [0, 0]]
    assert _cut(torch.arange(9), 2, 3, PADDING).tolist() == [2, 3, 4]


def test_log_priors():
    priors = log_priors([np.array([0, 0, 1]), np.array([0, 3])], 5)
    torch.testing.assert_close(priors.exp(), torch.tensor([4.0, 2.0, 1.0, 2.0, 1.0]) / 10)


def planted(count=30, seed=0):
    """States that the features tell plainly."""
    rng = np.random.default_rng(seed)
    means = torch.eye(STATES)[:, :FEATURES] * 3
    data = []
    for length in rng.integers(20, 80, count):
        states = torch.from_numpy(np.repeat(rng.integers(0, FEATURES, length // 5 + 1), 5)[:length])
        data.append((means[states] + 0.3 * torch.from_numpy(rng.normal(size=(length, FEATURES))).float(), states))
    return data


SMALL = NetworkConfig(width=16, layers=2, dropout=0.0, epochs=12, chunk=0.3, batch_seconds=3.0, learning_rate=1e-2)


def train(seed=0):
    torch.manual_seed(seed)
    network = TimeDelayNetwork(FEATURES, STATES, SMALL)
    history = fit(network, planted(), SMALL, np.random.default_rng(seed), "test")
    return network, history


def test_planted_states_are_learnt():
    network, history = train()
    assert len(history) == SMALL.epochs
    assert history[-1]["loss"] < history[0]["loss"]
    assert history[-1]["frame_accuracy"] > 0.9
    assert not network.training
    unseen = planted(4, seed=9)
    right = [(network.log_posteriors(frames).argmax(1) == states).float().mean() for frames, states in unseen]
    assert sum(right) / len(right) > 0.9


@pytest.mark.parametrize("epochs", [1, 2, 5, 10])
def test_few_updates(epochs):
    """One batch an epoch: with five, the warm-up is one step long."""
    config = replace(SMALL, epochs=epochs, batch_seconds=1000.0)
    history = fit(TimeDelayNetwork(FEATURES, STATES, config), planted(4), config, np.random.default_rng(0), "test")
    assert len(history) == epochs


def test_same_seed_same_weights():
    first, second, other = train(3)[0], train(3)[0], train(4)[0]
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name
    assert not torch.equal(first.output.weight, other.output.weight)
