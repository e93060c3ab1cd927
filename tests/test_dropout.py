"""Dropout of whole features."""

import pytest
import torch

from pipelines.ctc.dropout import LockedDropout


def test_a_feature_of_an_utterance_is_hidden_in_all_its_frames():
    torch.manual_seed(0)
    values = torch.rand(40, 7, 50) + 1
    ratio = LockedDropout(0.25)(values) / values
    torch.testing.assert_close(ratio, ratio[:, :1].expand_as(ratio))
    hidden = ratio[:, 0] == 0
    assert hidden.float().mean() == pytest.approx(0.25, abs=0.05)
    assert (hidden[0] != hidden[1]).any()
    torch.testing.assert_close(ratio[:, 0][~hidden], torch.full((int((~hidden).sum()),), 1 / 0.75))


def test_nothing_is_hidden_in_use():
    values = torch.rand(2, 3, 4)
    assert LockedDropout(0.9).eval()(values) is values
