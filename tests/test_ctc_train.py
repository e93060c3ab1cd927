"""The training loop that characters and phonemes share, on features that are drawn at random."""

import threading
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pipelines.ctc.config import AugmentConfig, EncoderConfig, TrainingConfig
from pipelines.ctc.items import Item, Stored, fitting
from pipelines.ctc.network import Network, greedy_tokens, steps_of
from pipelines.ctc.step import Stepper
from pipelines.ctc.train import Training, _Epochs, log_priors
from speechbench.errors import SpeechbenchError
from speechbench.manifest import Skipped
from speechbench.score import Counts

BANDS = 6
TOKENS = 4
OFF = AugmentConfig(stretch=0.0, warp=0.0, frequency_masks=0, time_masks=0)


def make_item(name, frames, tokens):
    return Item(name, f"text of {name}", frames, torch.tensor(tokens, dtype=torch.long))


def noise(item):
    return torch.randn(item.frames, BANDS, generator=torch.Generator().manual_seed(item.frames))


def stored(*items, features=noise):
    by_id = {item.id: item for item in items}
    return Stored(items, lambda key: features(by_id[key]))


def make_items(count, seed=0):
    """Utterances of 30 to 80 frames and two to four tokens, each with features in which its tokens can be heard."""
    chance = np.random.default_rng(seed)
    return [
        make_item(f"item-{n:02d}", int(chance.integers(30, 80)), chance.integers(1, TOKENS, chance.integers(2, 5)).tolist())
        for n in range(count)
    ]


def make_network(dropout=0.0):
    torch.manual_seed(0)
    return Network(TOKENS, EncoderConfig(bands=BANDS, channels=8, recurrent=8, layers=1, dropout=dropout))


def test_utterances_with_more_tokens_than_steps_are_left_out_by_name():
    assert steps_of(21) == 6
    tokens = {
        "fits": [1, 2, 3, 1, 2, 3],
        "barely": [1, 1, 2, 3, 3][:4],
        "long": [1, 2, 3, 1, 2, 3, 1],
        "twins": [1, 1, 2, 2, 3],
    }
    items = [Item(name, name.upper(), 21, torch.tensor(numbers)) for name, numbers in tokens.items()]
    skipped = Skipped()
    assert [item.id for item in fitting(items, "train", skipped)] == ["fits", "barely"]
    assert skipped.reasons == {name: f"6 steps are too few for '{name.upper()}'" for name in ("long", "twins")}
    with pytest.raises(SpeechbenchError, match=r"train: no utterance is left to train on"):
        fitting(items[2:], "train", Skipped())


def test_the_epoch_with_the_fewest_errors_is_kept(tmp_path):
    """Of equals the last; the rates are unknown where dev has nothing to be right."""
    errors, states, rows = iter([3, 1, 1, 2]), [], []

    def count(network):
        states.append({name: value.clone() for name, value in network.state_dict().items()})
        return Counts(insertions=next(errors))

    network = make_network()
    training = Training(TrainingConfig(epochs=16), OFF, 0, "pipeline", count)
    training.fit(network, stored(make_item("a", 40, [1, 2]), make_item("b", 30, [3])), rows.append, tmp_path / "kept")
    assert [(row["epoch"], row["dev_greedy_per"]) for row in rows if "dev_greedy_per" in row] == [
        (5, None),
        (10, None),
        (15, None),
        (16, None),
    ]
    kept = network.state_dict()
    assert all(torch.equal(kept[name], value) for name, value in states[2].items())
    assert not all(torch.equal(kept[name], value) for name, value in states[1].items())
    assert not network.training


def test_it_learns_its_tokens_by_heart(tmp_path):
    items = [make_item("a", 40, [1, 2]), make_item("b", 60, [3, 1, 3]), make_item("silence", 20, [])]

    def wrong(network):
        told = (greedy_tokens(network.eval()(noise(item)[None], torch.tensor([item.frames]))[0][0]) for item in items)
        differ = sum(tokens != item.tokens.tolist() for tokens, item in zip(told, items, strict=True))
        return Counts(hits=len(items) - differ, substitutions=differ)

    network, rows = make_network(), []
    training = Training(TrainingConfig(epochs=60, learning_rate=1e-2), OFF, 0, "e2e", wrong)
    training.fit(network, stored(*items), rows.append, tmp_path / "kept")
    assert rows[-1]["dev_greedy_wer"] == 0
    assert rows[-1]["loss"] < 0.1 * rows[0]["loss"]
    priors = log_priors(network, stored(*items)).exp()
    assert priors.sum() == pytest.approx(1, abs=1e-5) and priors.min() > 0.02  # all tokens are there


def test_features_that_are_not_finite_are_named_alone(tmp_path):
    """Batch norm carries them into all losses of the batch."""
    items = [make_item("good", 40, [1]), make_item("bad", 40, [1])]
    source = stored(*items, features=lambda item: torch.full((40, BANDS), torch.nan) if item.id == "bad" else noise(item))
    with pytest.raises(SpeechbenchError, match="the loss is not finite, for the features of bad are not"):
        trained(tmp_path, "a", source, CONFIG)


def test_losses_that_are_not_finite_name_their_utterances(tmp_path):
    source = stored(make_item("loud", 40, [1]), features=lambda item: torch.full((40, BANDS), 3e38))
    with pytest.raises(SpeechbenchError, match="the loss is not finite at loud; lower the learning rate"):
        trained(tmp_path, "a", source, CONFIG)
    assert not (tmp_path / "a").exists()


def test_a_stretch_leaves_steps_enough(tmp_path):
    """17 to 24 frames for a text that 21 frames barely hold: without the guard some losses would be infinite."""
    config = AugmentConfig(stretch=0.2, frequency_masks=0, time_masks=0)
    items = [make_item(f"item-{n}", 21, [1, 2, 3, 1, 2, 3]) for n in range(20)]
    rows = []
    Training(TrainingConfig(epochs=2), config, 0, "e2e", lambda _: Counts()).fit(
        make_network(), stored(*items), rows.append, tmp_path / "kept"
    )
    assert len(rows) == 2 and all(0 < row["loss"] < 100 for row in rows)


def test_an_epoch_is_read_while_the_one_before_is_looked_at(tmp_path):
    """To read its first batch may take long; an early end leaves nothing open."""
    source, begun, ended = stored(*make_items(4)), {epoch: threading.Event() for epoch in range(5)}, []

    def read(epoch, groups):
        begun[epoch].set()
        try:
            yield from source.read(epoch, groups)
        finally:
            ended.append(epoch)

    looks = []

    def count(network):
        looks.append(begun[len(looks) + 1].wait(timeout=10))
        return Counts(hits=1, deletions=len(looks))  # more each time

    config = TrainingConfig(epochs=5, look_every=1, patience=1)
    watched = SimpleNamespace(items=source.items, read=read)
    training = Training(config, OFF, 0, "e2e", count)
    training.fit(make_network(), watched, [].append, tmp_path / "kept")
    assert looks == [True, True]
    assert ended == list(range(len(ended))) and len(ended) >= 3


class Stopped(BaseException):
    """Stands for the end of the process."""


def trained(tmp_path, name, source, config, count=lambda _: Counts(hits=1), stop=None):
    """The weights and the rows after a training, which is stopped and resumed at each step whose number `stop` holds."""
    kept, stops, read = tmp_path / name, set(stop or ()), source.read

    def until_stopped(epoch, groups):
        for number, examples in read(epoch, groups):
            if (epoch, number) in stops:
                stops.discard((epoch, number))
                raise Stopped
            yield number, examples

    watched = SimpleNamespace(items=source.items, read=until_stopped)
    while True:
        network, rows = make_network(dropout=0.2), []
        try:
            Training(config, AugmentConfig(frequency_width=2), 0, "e2e", count).fit(network, watched, rows.append, kept)
        except Stopped:
            continue
        assert not stops
        return network.state_dict(), rows


CONFIG = TrainingConfig(epochs=4, batch_seconds=2.0, look_every=2, average=2, checkpoint_seconds=0)


@pytest.mark.slow
def test_a_training_that_is_stopped_ends_in_the_same_weights(tmp_path):
    source = stored(*make_items(20))
    whole, rows = trained(tmp_path, "whole", source, CONFIG)
    again, same = trained(tmp_path, "stopped", source, CONFIG, stop=[(0, 3), (1, 0), (1, 2), (3, 1)])
    assert rows == same and len(rows) == 5
    assert all(torch.equal(again[name], value) for name, value in whole.items())


def test_steps_since_the_last_checkpoint_are_done_again(tmp_path):
    source, config = stored(*make_items(20)), replace(CONFIG, checkpoint_seconds=1e6)  # at the ends of epochs alone
    whole, rows = trained(tmp_path, "whole", source, config)
    again, same = trained(tmp_path, "stopped", source, config, stop=[(1, 3), (1, 4)])
    assert rows == same
    assert all(torch.equal(again[name], value) for name, value in whole.items())


def test_training_ends_when_looks_at_dev_become_no_better(tmp_path):
    errors = iter([5, 4, 4, 6, 5, 7, 1])
    config = replace(CONFIG, epochs=30, patience=2, average=1)
    _, rows = trained(tmp_path, "a", stored(*make_items(5)), config, lambda _: Counts(hits=1, insertions=next(errors)))
    assert [row["epoch"] for row in rows] == list(range(1, 11))  # epoch 6 is as good as 4, 8 and 10 are worse


@pytest.mark.parametrize(("errors", "kept"), [((9, 3, 2, 2), "mean"), ((9, 3, 2, 4), "best")])
def test_the_mean_of_the_best_weights_is_taken_unless_dev_has_more_errors_with_it(tmp_path, errors, kept):
    told, states = iter(errors), []

    def count(network):
        states.append({name: value.clone() for name, value in network.state_dict().items()})
        return Counts(hits=1, insertions=next(told))

    config = replace(CONFIG, epochs=3, look_every=1)
    final, rows = trained(tmp_path, "a", stored(*make_items(5)), config, count)
    assert rows[-1] == {"averaged": 2, "dev_greedy_wer": errors[-1]}
    for name, value in final.items():
        mean = (states[1][name].double() + states[2][name].double()).div(2).float() if value.is_floating_point() else value
        assert torch.equal(value, mean if kept == "mean" else states[2][name]), name


def test_scores_and_losses_in_bfloat16_stay_near(tmp_path):
    source = stored(*make_items(20))
    _, rows = trained(tmp_path, "a", source, CONFIG)
    _, half = trained(tmp_path, "b", source, replace(CONFIG, precision="bfloat16"))
    assert half != rows
    for row, other in zip(rows[:4], half[:4], strict=True):
        assert other["loss"] == pytest.approx(row["loss"], rel=0.05)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(SpeechbenchError, match=r"training\.device is 'cuda', but torch .* sees no GPU here"):
        trained(tmp_path, "a", stored(*make_items(2)), replace(CONFIG, device="cuda"))


def test_ten_minutes_and_a_tenth_of_a_second_and_nothing_said(tmp_path):
    """Each is a batch of its own."""
    items = [make_item("long", 60_000, [1, 2, 3]), make_item("short", 11, [1]), make_item("silent", 11, [])]
    _, rows = trained(tmp_path, "a", stored(*items), replace(CONFIG, epochs=1, batch_seconds=0.1))
    assert 0 < rows[0]["loss"] < 1e5


def test_a_gpu_whose_memory_does_not_hold_a_batch_says_what_to_do(tmp_path, monkeypatch):
    def step(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(Stepper, "step", step)
    with pytest.raises(SpeechbenchError, match=r"does not hold .* 7 s of audio; lower training.batch_seconds"):
        trained(tmp_path, "a", stored(*make_items(4)), replace(CONFIG, batch_seconds=7.0))


@pytest.mark.parametrize(("device", "frames", "said"), [("cuda", 100_000, "=100 "), ("cuda", 10_000, ""), ("cpu", 100_000, "")])
def test_a_gpu_is_offered_larger_batches_where_they_leave_enough_steps(device, frames, said, capsys):
    source = stored(*(make_item(f"item-{n}", frames, [1]) for n in range(20)))
    _Epochs(Training(TrainingConfig(epochs=1), OFF, 0, "e2e", count=None), source).advise(torch.device(device))
    err = capsys.readouterr().err
    assert said in err and bool(said) == bool(err)


def test_greedy_joins_repeats_unless_a_blank_stands_between():
    path = torch.tensor([0, 2, 2, 0, 2, 1, 1, 3, 0, 0])
    assert greedy_tokens(torch.nn.functional.one_hot(path).float()) == [2, 2, 1, 3]


@pytest.mark.parametrize(
    ("seconds", "utterances", "batch"), [(100, 200, 4), (1600, 3200, 8), (1600, 640, 10), (1600, 100, 16), (1e6, 10**6, 16)]
)
def test_a_small_training_set_has_small_batches_of_several_utterances(seconds, utterances, batch):
    assert TrainingConfig().batch_of(seconds, utterances) == batch
    assert TrainingConfig(batch_seconds=60.0).batch_of(seconds, utterances) == 60
