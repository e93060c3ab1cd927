import torch
from torch import nn

from pipelines.ctc.recurrent import Bidirectional


def copied(ours: Bidirectional) -> nn.LSTM:
    theirs = nn.LSTM(ours.onward.input_size, ours.onward.hidden_size, batch_first=True, bidirectional=True)
    state = dict(ours.onward.state_dict())
    state |= {f"{name}_reverse": value for name, value in ours.backward_.state_dict().items()}
    theirs.load_state_dict(state)
    return theirs


def test_bidirectional_is_torchs_with_packed_sequences():
    torch.manual_seed(1)
    ours = Bidirectional(4, 6)
    values, lengths = torch.randn(4, 12, 4), torch.tensor([12, 1, 7, 11])
    packed = nn.utils.rnn.pack_padded_sequence(values, lengths, batch_first=True, enforce_sorted=False)
    expected, _ = nn.utils.rnn.pad_packed_sequence(copied(ours)(packed)[0], batch_first=True)
    for mine, oracle, length in zip(ours(values, lengths), expected, lengths.tolist(), strict=True):
        torch.testing.assert_close(mine[:length], oracle[:length], atol=1e-6, rtol=1e-5)


def test_bidirectional_does_not_see_padding():
    ours, lengths = Bidirectional(4, 6), torch.tensor([5, 9])
    values = torch.randn(2, 9, 4)
    other = values.clone()
    other[0, 5:] = 1e3
    torch.testing.assert_close(ours(values, lengths)[0, :5], ours(other, lengths)[0, :5])
