import itertools
from dataclasses import replace

import pytest
import torch
from torch import nn

from pipelines.ctc.config import EncoderConfig
from pipelines.ctc.network import Network, steps_of
from pipelines.ctc.norms import norm_of, packed, speech_of, unpacked
from pipelines.ctc.sizes import SIZES
from speechbench.config import load
from speechbench.errors import SpeechbenchError

SMALL = EncoderConfig(bands=6, channels=8, recurrent=5, layers=2, dropout=0.0)
TOKENS = 9
KINDS = {"recurrent": SMALL, "conformer": replace(SMALL, kind="conformer", channels=32, recurrent=None)}


@pytest.fixture(params=list(itertools.product(KINDS, ("batch", "layer", "none"))), ids="-".join)
def config(request):
    """Both kinds of encoder, with every norm."""
    kind, norm = request.param
    return replace(KINDS[kind], norm=norm)


def make_network(config=SMALL):
    torch.manual_seed(0)
    network = Network(TOKENS, config)
    for module in network.modules():  # as after training: averages and scales that are not 0 and 1
        if isinstance(module, nn.BatchNorm1d):
            nn.init.normal_(module.running_mean, std=0.3)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
        if isinstance(module, nn.BatchNorm1d | nn.LayerNorm):
            nn.init.uniform_(module.weight, 0.5, 2.0)
            nn.init.normal_(module.bias, std=0.5)
    return network


def batch_of(*lengths, padding=0.0, to=None):
    utterances = [torch.randn(length, SMALL.bands, generator=torch.Generator().manual_seed(length)) for length in lengths]
    padded = torch.full((len(lengths), to or max(lengths), SMALL.bands), padding)
    for row, utterance in zip(padded, utterances, strict=True):
        row[: len(utterance)] = utterance
    return padded, torch.tensor(lengths)


def test_steps_of_is_the_length_that_comes_out():
    network = make_network().eval()
    lengths = torch.arange(1, 201)
    with torch.inference_mode():
        real = [network(torch.zeros(1, int(length), SMALL.bands), length[None])[0].shape[1] for length in lengths]
        _, told = network(torch.zeros(200, 200, SMALL.bands), lengths)
    assert steps_of(lengths).tolist() == real == told.tolist()


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 17, 60])
def test_padding_changes_nothing_in_use(length, config):
    network = make_network(config).eval()
    with torch.inference_mode():
        alone, (steps,) = network(*batch_of(length))
        beside, both = network(*batch_of(length, 83))
    assert alone.shape == (1, steps, TOKENS)
    assert both[0] == steps
    torch.testing.assert_close(beside[0, :steps], alone[0], atol=1e-5, rtol=1e-4)


def test_scores_are_log_probabilities():
    scores, _ = make_network().eval()(*batch_of(30, 41))
    torch.testing.assert_close(scores.exp().sum(-1), torch.ones(scores.shape[:2]))


def test_padding_changes_nothing_in_training(config):
    """More padding behind the same utterances gives the same scores, batch-norm averages and gradients."""
    results = []
    for to in (None, 90):
        network = make_network(config).train()
        scores, steps = network(*batch_of(21, 40, to=to))
        valid = torch.cat([row[:count] for row, count in zip(scores, steps.tolist(), strict=True)])
        valid.square().mean().backward()
        averages = {name: value for name, value in network.named_buffers() if "running" in name}
        results.append((valid, averages, {name: value.grad for name, value in network.named_parameters()}))
    (tight, tight_averages, tight_gradients), (loose, loose_averages, loose_gradients) = results
    torch.testing.assert_close(loose, tight, atol=1e-5, rtol=1e-4)
    for name, value in tight_averages.items():
        torch.testing.assert_close(loose_averages[name], value, atol=1e-6, rtol=1e-4, msg=name)
    for name, value in tight_gradients.items():
        torch.testing.assert_close(loose_gradients[name], value, atol=1e-5, rtol=1e-3, msg=name)


def test_batch_norm_is_over_the_frames_that_are_no_padding():
    values, norm, plain = torch.randn(3, 10, 4) * 3 + 1, norm_of("batch", 4), nn.BatchNorm1d(4)
    speech = speech_of(torch.tensor([10, 4, 7]), values)
    mask = speech.mask
    padded, kept = values.masked_fill(~mask.unsqueeze(2), 1e6).requires_grad_(), values[mask].requires_grad_()
    result, wanted = unpacked(norm(packed(padded, speech)), speech), plain(kept)
    torch.testing.assert_close(result[mask], wanted)
    for one in (result[mask], wanted):
        (one**3).sum().backward()
    torch.testing.assert_close(padded.grad[mask], kept.grad)
    assert padded.grad[~mask].abs().max() == 0
    assert result[~mask].abs().max() == 0
    torch.testing.assert_close(norm.running_mean, 0.1 * kept.mean(0))
    torch.testing.assert_close(norm.running_var, 0.9 + 0.1 * kept.var(0))


@pytest.mark.parametrize("words", [1, 3, 30])
def test_gradients_are_finite_where_a_text_is_longer_than_its_steps(words, config):
    network = make_network(config).train()
    scores, steps = network(*batch_of(24, 33))  # 6 and 9 steps
    targets, sizes = torch.tensor([1, 2] * words + [3]), torch.tensor([2 * words, 1])
    loss = nn.functional.ctc_loss(scores.transpose(0, 1), targets, steps, sizes, reduction="none", zero_infinity=True)
    (loss / sizes).mean().backward()
    assert torch.isfinite(loss).all()
    assert (loss[0] == 0) == (2 * words > 6)
    for name, parameter in network.named_parameters():
        assert torch.isfinite(parameter.grad).all(), name


@pytest.mark.parametrize(("kind", "size"), [(kind, size) for kind, sizes in SIZES.items() for size in sizes])
def test_a_size_has_about_as_many_parameters_as_its_name_says(kind, size):
    with torch.device("meta"):
        network = Network(30, EncoderConfig(kind=kind, size=size))
    assert network.parameter_count == pytest.approx(1e6 * float(size.removesuffix("M")), rel=0.15)


def test_layers_may_be_larger_or_smaller_than_the_size_says():
    assert EncoderConfig(size="3M", layers=7).shape == SIZES["recurrent"]["3M"]._replace(layers=7)
    assert EncoderConfig(channels=24, recurrent=16).shape == SIZES["recurrent"]["1M"]._replace(channels=24, recurrent=16)


def test_what_goes_into_batch_norm_has_no_bias(config):
    convolutions = [module for module in make_network(config).modules() if isinstance(module, nn.Conv1d)]
    assert convolutions
    assert all((module.bias is None) == (config.norm == "batch") for module in convolutions)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (["size=2M"], "size '2M'"),
        (["kind=conformer", "channels=100"], "'channels' is 100; a conformer takes a multiple of 32"),
        (["kind=conformer", "recurrent=64"], "a conformer has no recurrence"),
        (["channels=0"], "'channels' is 0; expected 1 or more"),
    ],
)
def test_what_cannot_be_built_is_told(settings, told):
    with pytest.raises(SpeechbenchError, match=told):
        load(EncoderConfig, settings=settings)
