"""The training loop that characters and phonemes share, on features that are drawn at random."""

import pytest
import torch

from pipelines.ctc.config import AugmentConfig, EncoderConfig, TrainingConfig
from pipelines.ctc.network import Network, greedy_tokens, steps_of
from pipelines.ctc.train import LOOK_EVERY, Item, Training, fitting, log_priors
from speechbench.errors import SpeechbenchError
from speechbench.manifest import Skipped
from speechbench.score import Counts

BANDS = 6
TOKENS = 4
OFF = AugmentConfig(stretch=0.0, warp=0.0, frequency_masks=0, time_masks=0)


def make_item(name, frames, tokens):
    values = torch.randn(frames, BANDS, generator=torch.Generator().manual_seed(frames))
    return Item(name, f"text of {name}", frames, lambda: values, torch.tensor(tokens, dtype=torch.long))


def make_network():
    torch.manual_seed(0)
    return Network(TOKENS, EncoderConfig(bands=BANDS, channels=8, recurrent=8, layers=1, dropout=0.0))


def unread():
    raise AssertionError("features are read")


def test_utterances_with_more_tokens_than_steps_are_left_out_by_name():
    assert int(steps_of(torch.tensor(21))) == 6
    tokens = {
        "fits": [1, 2, 3, 1, 2, 3],
        "barely": [1, 1, 2, 3, 3][:4],
        "long": [1, 2, 3, 1, 2, 3, 1],
        "twins": [1, 1, 2, 2, 3],
    }
    items = [Item(name, name.upper(), 21, unread, torch.tensor(numbers)) for name, numbers in tokens.items()]
    skipped = Skipped()
    assert [item.id for item in fitting(items, "train", skipped)] == ["fits", "barely"]
    assert skipped.reasons == {name: f"6 steps are too few for '{name.upper()}'" for name in ("long", "twins")}
    with pytest.raises(SpeechbenchError, match=r"train: no utterance is left to train on"):
        fitting(items[2:], "train", Skipped())


def test_the_epoch_with_the_fewest_errors_is_kept():
    """Of equals the last; the rates are unknown where dev has nothing to be right."""
    errors, states, rows = iter([3, 1, 1, 2]), [], []

    def count(network):
        states.append({name: value.clone() for name, value in network.state_dict().items()})
        return Counts(insertions=next(errors))

    network = make_network()
    training = Training(TrainingConfig(epochs=3 * LOOK_EVERY + 1), OFF, 0, "per", count)
    training.fit(network, [make_item("a", 40, [1, 2]), make_item("b", 30, [3])], rows.append)
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


def test_it_learns_its_tokens_by_heart():
    items = [make_item("a", 40, [1, 2]), make_item("b", 60, [3, 1, 3]), make_item("silence", 20, [])]

    def wrong(network):
        told = (greedy_tokens(network.eval()(item.features()[None], torch.tensor([item.frames]))[0][0]) for item in items)
        differ = sum(tokens != item.tokens.tolist() for tokens, item in zip(told, items, strict=True))
        return Counts(hits=len(items) - differ, substitutions=differ)

    network, rows = make_network(), []
    Training(TrainingConfig(epochs=60, learning_rate=1e-2), OFF, 0, "wer", wrong).fit(network, items, rows.append)
    assert rows[-1]["dev_greedy_wer"] == 0
    assert rows[-1]["loss"] < 0.1 * rows[0]["loss"]
    priors = log_priors(network, items).exp()
    assert priors.sum() == pytest.approx(1, abs=1e-5) and priors.min() > 0.02  # all tokens are there


def test_a_loss_that_is_not_finite_names_its_utterances():
    bad = Item("bad", "", 40, lambda: torch.full((40, BANDS), torch.nan), torch.tensor([1]))
    with pytest.raises(SpeechbenchError, match="the loss is not finite at bad; lower the learning rate"):
        Training(TrainingConfig(), OFF, 0, "wer", lambda _: Counts()).fit(make_network(), [bad], [].append)


def test_greedy_joins_repeats_unless_a_blank_stands_between():
    path = torch.tensor([0, 2, 2, 0, 2, 1, 1, 3, 0, 0])
    assert greedy_tokens(torch.nn.functional.one_hot(path).float()) == [2, 2, 1, 3]
