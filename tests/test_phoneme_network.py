from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipelines.frames import write_frames
from pipelines.phoneme.align import MARGIN
from pipelines.phoneme.config import NetworkConfig
from pipelines.phoneme.network import (
    EPOCHS,
    LEAST_STEPS,
    PADDING,
    STACK,
    Labelled,
    Scorer,
    TimeDelayNetwork,
    _chunks,
    fit,
    log_priors,
)

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
    scores = Scorer(network)(torch.randn(frames, FEATURES))
    assert scores.shape == (frames, STATES)
    torch.testing.assert_close(scores.exp().sum(1), torch.ones(frames))


def test_frames_come_out_in_their_order(network):
    """A change of one frame changes most what stands at that frame's step."""
    frames = torch.zeros(60, FEATURES)
    changed = frames.clone()
    changed[30] += 10
    differences = (Scorer(network)(changed) - Scorer(network)(frames)).abs().sum(1)
    reach = STACK * (1 + sum((1, 1, 2)))
    assert differences[: 30 - reach].max() == 0
    assert differences[31 + reach :].max() == 0
    assert differences[30 // STACK * STACK : 30 // STACK * STACK + STACK].min() > 0


def test_in_use_an_utterance_alone_gets_what_training_sees_in_a_batch(network):
    stretches = torch.randn(4, 30, FEATURES)
    together = network(stretches)
    for one, stretch in zip(together, stretches, strict=True):
        torch.testing.assert_close(one, Scorer(network)(stretch), atol=1e-5, rtol=1e-5)


def test_one_frame_of_each_step(network):
    stretches = torch.randn(4, 30, FEATURES)
    for place in range(STACK):
        torch.testing.assert_close(network(stretches, place), network(stretches)[:, place::STACK])


def test_a_frame_less_changes_only_the_end(network):
    frames = torch.randn(90, FEATURES)
    whole, shorter = Scorer(network)(frames), Scorer(network)(frames[:89])
    torch.testing.assert_close(whole[:70], shorter[:70])


def labelled(path, utterances):
    """Features and states of utterances as the trainer takes them."""
    frames = write_frames(path, [x for x, _ in utterances])
    return Labelled(frames, [states.numpy() for _, states in utterances])


SILENT = np.array([0, 1])


class Spoken:
    """As much of some utterances as chunks are drawn from."""

    def __init__(self, columns):
        self.frames, self.columns, self.lengths = self, columns, [len(one) for one in columns]


@given(
    st.lists(st.lists(st.integers(1, 500), min_size=1, max_size=10), min_size=1, max_size=3),
    st.integers(1, 120).map(lambda n: n * STACK),
    st.integers(0, 99),
)
def test_chunks_cover_every_frame_of_every_copy(copies, size, seed):
    chunks = _chunks(
        [Spoken([np.full(n, 2) for n in lengths]) for lengths in copies], SILENT, size, 0.0, np.random.default_rng(seed)
    )
    for copy, lengths in enumerate(copies):
        for utterance, length in enumerate(lengths):
            starts = [start for c, u, start in chunks if (c, u) == (copy, utterance)]
            covered = {frame for start in starts for frame in range(start, min(start + size, length))}
            assert covered == set(range(length))
            assert all(0 <= start <= max(0, length - size) for start in starts)
            assert len(starts) == max(1, -(-length // size))


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_a_share_of_the_utterances_is_heard_with_its_silence(share):
    data = Spoken([np.repeat([0, 2, 1], (300, 400, 500))] * 400)
    chunks = _chunks([data], SILENT, 60, share, np.random.default_rng(0))
    heard = [np.zeros(1200, bool) for _ in range(400)]
    for _, utterance, start in chunks:
        heard[utterance][start : start + 60] = True
    assert all(frames[300 - MARGIN : 700 + MARGIN].all() for frames in heard)
    whole = [frames.all() for frames in heard]
    assert sum(whole) == pytest.approx(share * 400, abs=30)
    for frames, every in zip(heard, whole, strict=True):
        assert every or not (frames[: 300 - MARGIN - 60].any() or frames[700 + MARGIN + 60 :].any())


def test_silence_alone_is_heard():
    data = Spoken([np.zeros(500, int), np.zeros(20, int), np.array([0] * 50 + [2] + [0] * 50)])
    chunks = _chunks([data], SILENT, 60, 0.0, np.random.default_rng(0))
    assert {utterance for _, utterance, _ in chunks} == {0, 1, 2}
    assert all(start in range(42) for _, utterance, start in chunks if utterance == 2)


def test_a_stretch_is_cut_from_its_own_utterance(tmp_path):
    first, second = (torch.full((4, 2), 1.0), torch.arange(4)), (torch.full((9, 2), 2.0), torch.arange(10, 19))
    data = labelled(tmp_path / "frames.f32", [first, second])
    values, columns = data.cut(0, 1, 5)
    assert values.tolist() == [[1, 1], [1, 1], [1, 1], [0, 0], [0, 0]]  # behind a short utterance stands padding
    assert columns.tolist() == [1, 2, 3, PADDING, PADDING]
    values, columns = data.cut(1, 2, 3)
    assert values.tolist() == [[2, 2]] * 3
    assert columns.tolist() == [12, 13, 14]


def test_columns_are_stretched_with_the_speech(tmp_path):
    data = labelled(tmp_path / "plain.f32", [(torch.zeros(6, 2), torch.tensor([4, 4, 4, 5, 5, 5]))])
    for length, expected in ((3, [4, 4, 5]), (8, [4] * 4 + [5] * 4), (12, [4] * 6 + [5] * 6)):
        changed = data.at_speed(write_frames(tmp_path / f"{length}.f32", [torch.zeros(length, 2)]))
        assert changed.columns[0].tolist() == expected


def test_log_priors():
    priors = log_priors(np.array([3, 1, 0, 1, 0]))
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


SMALL = NetworkConfig(width=16, layers=2, dropout=0.0, epochs=20, chunk=0.3, batch_seconds=3.0, learning_rate=1e-2)


def train(folder, seed=0):
    torch.manual_seed(seed)
    network = TimeDelayNetwork(FEATURES, STATES, SMALL)
    data = labelled(folder / "frames.f32", planted())
    return network, *fit(network, [data], SILENT, SMALL, np.random.default_rng(seed), "test")


def test_planted_states_are_learnt(tmp_path):
    network, history, priors = train(tmp_path)
    assert len(history) == SMALL.epochs
    assert history[-1]["loss"] < history[0]["loss"]
    assert history[-1]["frame_accuracy"] > 0.9
    assert not network.training
    assert priors.exp()[FEATURES:].max() < 0.01 < priors.exp()[:FEATURES].min()  # of the columns that were there
    unseen = planted(4, seed=9)
    right = [(Scorer(network)(frames).argmax(1) == states).float().mean() for frames, states in unseen]
    assert sum(right) / len(right) > 0.9


@pytest.mark.parametrize("epochs", [1, 2, 5, 10])
def test_few_updates(epochs, tmp_path):
    """One batch an epoch: with five, the warm-up is one step long."""
    config = replace(SMALL, epochs=epochs, batch_seconds=1000.0)
    data = [labelled(tmp_path / "frames.f32", planted(4))]
    network = TimeDelayNetwork(FEATURES, STATES, config)
    history, _ = fit(network, data, SILENT, config, np.random.default_rng(0), "test")
    assert len(history) == epochs


@pytest.mark.parametrize(("utterances", "seconds"), [(4, 0.3), (4, 0.6), (150, 0.3)])
def test_little_speech_is_heard_more_often(utterances, seconds, tmp_path):
    """Epochs that are not given are as many as make enough batches, two at least."""
    config = replace(SMALL, epochs=None, width=4, batch_seconds=seconds)
    data = [labelled(tmp_path / "frames.f32", planted(utterances))]
    chunks = len(_chunks(data, SILENT, 30, config.silence, np.random.default_rng(0)))
    network = TimeDelayNetwork(FEATURES, STATES, config)
    history, _ = fit(network, data, SILENT, config, np.random.default_rng(0), "test")
    assert len(history) == max(EPOCHS, -(-LEAST_STEPS * round(seconds / 0.3) // chunks))


def test_utterances_shorter_than_a_step(tmp_path):
    """A frame or two have no frame at a step's last place; batches of them alone are learnt from all the same."""
    data = [labelled(tmp_path / "frames.f32", [(torch.randn(length, FEATURES), torch.full((length,), 2)) for length in (1, 2)])]
    config = replace(SMALL, batch_seconds=0.1, chunk=0.1)
    network = TimeDelayNetwork(FEATURES, STATES, config)
    history, _ = fit(network, data, SILENT, config, np.random.default_rng(0), "test")
    assert all(np.isfinite([row["loss"], row["frame_accuracy"]]).all() for row in history)
    assert all(value.isfinite().all() for value in network.state_dict().values())


def test_same_seed_same_weights(tmp_path):
    first, second, other = (train(tmp_path, seed)[0] for seed in (3, 3, 4))
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name
    assert not torch.equal(first.output.weight, other.output.weight)
