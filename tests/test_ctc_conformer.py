import pytest
import torch
from torch import nn

from pipelines.ctc.config import EncoderConfig
from pipelines.ctc.conformer import Attention, ConformerLayer, rotated
from pipelines.ctc.norms import packed, speech_of, unpacked
from pipelines.ctc.sizes import HEAD


def test_rotated_products_depend_on_how_far_apart_they_are():
    torch.manual_seed(0)
    query, key = (torch.randn(HEAD).expand(1, 1, 50, HEAD) for _ in range(2))
    products = (rotated(query) @ rotated(key).transpose(2, 3))[0, 0]
    for distance in (-20, -1, 0, 1, 7):
        diagonal = products.diagonal(distance)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(products[3, 3], query[0, 0, 0] @ key[0, 0, 0])
    assert (products[0, 0] - products[0, 20]).abs() > 0.1


def test_rotation_keeps_lengths():
    values = torch.randn(2, 3, 40, HEAD)
    torch.testing.assert_close(rotated(values).norm(dim=-1), values.norm(dim=-1))


def test_attention_is_torchs_where_nothing_tells_places(monkeypatch):
    monkeypatch.setattr("pipelines.ctc.conformer.rotated", lambda values: values)
    torch.manual_seed(0)
    ours = Attention(64, EncoderConfig(norm="none", dropout=0.0)).eval()
    theirs = nn.MultiheadAttention(64, 64 // HEAD, batch_first=True).eval()
    with torch.no_grad():
        theirs.in_proj_weight.copy_(ours.inward.weight)
        theirs.in_proj_bias.copy_(ours.inward.bias)
        theirs.out_proj.load_state_dict(ours.outward.state_dict())
    values = torch.randn(2, 9, 64)
    speech = speech_of(torch.tensor([9, 5]), values)
    mask = speech.mask
    clean = values.masked_fill(~mask.unsqueeze(2), 0.0)  # as the norm leaves it
    expected, _ = theirs(clean, clean, clean, key_padding_mask=~mask)
    told = unpacked(ours(packed(values, speech), speech), speech)
    torch.testing.assert_close(told[mask], expected[mask], atol=1e-5, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # torch's own, while it compiles
@pytest.mark.parametrize("norm", ["batch", "layer"])
def test_a_compiled_block_computes_what_it_computes_uncompiled(norm):
    """All that torch.compile does but for making code, which takes minutes on a CPU; sizes differ between calls."""
    torch.manual_seed(0)
    config = EncoderConfig(kind="conformer", size="0.3M", norm=norm, dropout=0.0)
    plain, compiled = (ConformerLayer(64, config) for _ in range(2))
    compiled.load_state_dict(plain.state_dict())
    compiled.compile(dynamic=True, backend="aot_eager")
    for lengths in (torch.tensor([12, 7, 9]), torch.tensor([20, 3])):
        given = torch.randn(len(lengths), int(lengths.max()), 64)
        speech = speech_of(lengths, given)
        results = []
        for layer in (plain, compiled):
            values = given.clone().requires_grad_()
            result = layer(values, speech)
            layer.zero_grad()
            (result**3).sum().backward()
            results.append((result, values.grad, *(parameter.grad for parameter in layer.parameters())))
        for one, other in zip(*results, strict=True):
            torch.testing.assert_close(other, one, atol=1e-4, rtol=1e-4)
