"""Heads on the encoder: their losses by hand, labels that are not known, and what they tell of dev."""

import math

import pytest
import torch
from torch import Tensor

from pipelines import parallel
from pipelines.ctc.config import EncoderConfig
from pipelines.ctc.figures import head_figures
from pipelines.ctc.heads import ConditionHead, PhonemeHead, SnrHead, SpeakerHead, heads_loss, known_losses
from pipelines.ctc.items import Item, Stored
from pipelines.ctc.network import Network, Tasks

WIDTH, TEXTBOOK = 6, [5.0, 2.0, -1.0, 3.0]
STEPS = torch.tensor([9, 7, 9])
WEIGHTS = {"phonemes": 0.5, "speaker": 0.3, "condition": 2.0, "snr": 1.0}


@pytest.fixture
def heads():
    torch.manual_seed(0)
    return {
        "phonemes": PhonemeHead(WIDTH, 3, WEIGHTS["phonemes"]),
        "speaker": SpeakerHead(WIDTH, 4, WEIGHTS["speaker"]),
        "condition": ConditionHead(WIDTH, 3, WEIGHTS["condition"]),
        "snr": SnrHead(WIDTH, 10.0, 5.0, WEIGHTS["snr"]),
    }


@pytest.fixture
def values():
    return torch.randn(3, 9, WIDTH, generator=torch.Generator().manual_seed(1)).requires_grad_()


def labels() -> list[dict[str, Tensor]]:
    each = [([1, 2], 0, [1.0, 0.0, 1.0], 12.0), ([3], 3, [0.0, 0.0, 0.0], -3.0), ([2, 2, 1], 1, [0.0, 1.0, 0.0], 4.0)]
    return [
        {"phonemes": torch.tensor(p), "speaker": torch.tensor(s), "condition": torch.tensor(c), "snr": torch.tensor(r)}
        for p, s, c, r in each
    ]


def loss_of(heads, values, known):
    mask = torch.arange(9) < STEPS.unsqueeze(1)
    return heads_loss(heads, {name: head(values, mask) for name, head in heads.items()}, STEPS, known, 1.0)


def gradients(heads, values, known):
    loss = loss_of(heads, values, known)
    for head in heads.values():
        head.zero_grad()
    loss.backward()
    return {name: [parameter.grad.clone() for parameter in head.parameters()] for name, head in heads.items()}


def test_softmax_of_the_textbook():
    assert torch.tensor(TEXTBOOK).softmax(0).tolist() == pytest.approx([0.842, 0.042, 0.002, 0.114], abs=5e-4)


def test_the_gradient_of_cross_entropy_is_y_hat_minus_y(heads):
    told = torch.tensor([TEXTBOOK, [0.0, 1.0, 0.0, -1.0]], requires_grad=True)
    losses = heads["speaker"].losses(told, STEPS[:2], [torch.tensor(0), torch.tensor(3)])
    assert losses[0].item() == pytest.approx(-math.log(0.842), abs=1e-3)
    losses.sum().backward()
    expected = told.detach().softmax(1) - torch.tensor([[1.0, 0, 0, 0], [0, 0, 0, 1.0]])
    torch.testing.assert_close(told.grad, expected)


def test_several_conditions_are_a_sum_of_logistic_losses(heads):
    told = [1.5, -0.5, 0.2]
    (loss,) = heads["condition"].losses(torch.tensor([told]), STEPS[:1], [torch.tensor([1.0, 0.0, 1.0])]).tolist()
    chances = [1 / (1 + math.exp(-z)) for z in told]
    assert loss == pytest.approx(-math.log(chances[0]) - math.log(1 - chances[1]) - math.log(chances[2]), rel=1e-5)


def test_snr_is_told_in_standard_deviations(heads):
    (loss,) = heads["snr"].losses(torch.tensor([[0.5]]), STEPS[:1], [torch.tensor(15.0)]).tolist()
    assert loss == pytest.approx((0.5 - (15 - 10) / 5) ** 2)
    assert heads["snr"].tally(torch.tensor([0.5]), torch.tensor(15.0)).total == pytest.approx(2.5)


def test_padding_changes_nothing(heads, values):
    mask = torch.arange(9) < STEPS.unsqueeze(1)
    for name, head in heads.items():
        told = head(values, mask)
        alone = head(values[1:2, :7], mask[1:2, :7])
        torch.testing.assert_close(told[1:2, :7] if name == "phonemes" else told[1:2], alone)


def test_a_label_that_is_not_known_changes_no_other_heads_gradients(heads, values):
    whole = gradients(heads, values, labels())
    for dropped in heads:
        fewer = labels()
        del fewer[1][dropped]
        found = gradients(heads, values, fewer)
        for name in heads:
            same = all(torch.equal(a, b) for a, b in zip(whole[name], found[name], strict=True))
            assert same == (name != dropped), (name, dropped)


def test_the_sum_is_divided_by_how_many_are_known(heads, values):
    mask = torch.arange(9) < STEPS.unsqueeze(1)
    one = {"snr": heads["snr"]}
    told = {"snr": heads["snr"](values, mask)}
    each = known_losses(heads["snr"], told["snr"], STEPS, [label["snr"] for label in labels()])
    fewer = labels()
    del fewer[0]["snr"]
    assert heads_loss(one, told, STEPS, fewer, 1.0).item() == pytest.approx(each[1:].mean().item())


def test_a_batch_without_any_label_costs_nothing(heads, values):
    """And yet each parameter has a gradient, for processes add up as many numbers each."""
    found = gradients(heads, values, [{}, {}, {}])
    assert all(torch.count_nonzero(gradient) == 0 for each in found.values() for gradient in each)
    assert loss_of(heads, values, [{}, {}, {}]).item() == 0.0
    assert heads_loss({}, {}, STEPS, labels(), 1.0).item() == 0.0


def test_labels_are_counted_over_all_processes(heads, values, monkeypatch):
    """Half of a batch in each of two processes: the sum of both is the loss of one with all."""
    fewer = labels()
    del fewer[0]["snr"], fewer[1]["speaker"]
    whole = loss_of(heads, values, fewer).item()
    counts = torch.tensor([float(sum(name in label for label in fewer)) for name in heads])

    def add_up(tensors):
        for tensor in tensors:
            tensor.copy_(counts)

    monkeypatch.setattr(parallel, "add_up", add_up)
    mask = torch.arange(9) < STEPS.unsqueeze(1)
    parts = []
    for places in ([0], [1, 2]):
        told = {name: head(values[places], mask[places]) for name, head in heads.items()}
        parts.append(heads_loss(heads, told, STEPS[places], [fewer[place] for place in places], 1.0).item())
    assert sum(parts) == pytest.approx(whole, rel=1e-5)


def test_figures_are_over_known_labels_alone():
    torch.manual_seed(0)
    network = Network(4, EncoderConfig(bands=6, channels=8, recurrent=8, layers=1))
    network.heads["speaker"] = SpeakerHead(network.width, 2, 1.0)
    network.heads["phonemes"] = PhonemeHead(network.width, 2, 1.0)
    features = {f"item-{n}": torch.randn(40 + n, 6) for n in range(20)}
    told = {}
    for key, values in features.items():
        with torch.inference_mode():
            told[key] = Tasks(network.eval())(values[None], torch.tensor([len(values)]))[2]["speaker"].argmax()
    right = {f"item-{n}": n % 3 for n in range(20)}  # 0: known and right, 1: known and wrong, 2: not known
    items = [
        Item(
            key,
            "",
            len(features[key]),
            torch.tensor([1]),
            {} if kind == 2 else {"speaker": told[key] if kind == 0 else 1 - told[key]},
        )
        for key, kind in right.items()
    ]
    row = head_figures(network, Stored(items, features.__getitem__))
    assert row == {"dev_speaker_accuracy": 7 / 14, "dev_phonemes_per": None}


def test_errors_of_phonemes_are_counted(heads):
    path = torch.nn.functional.one_hot(torch.tensor([0, 1, 1, 0, 3, 0]), 4).float()
    assert heads["phonemes"].tally(path, torch.tensor([1, 2, 3])) == (1, 3)
