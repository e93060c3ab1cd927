"""Recurrence in both directions of time, as in Deep Speech 2 (Amodei et al. 2016).

LSTMs where Deep Speech 2 has GRUs: on a CPU they run through oneDNN, twice as fast.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pipelines.ctc.config import EncoderConfig
from pipelines.ctc.dropout import LockedDropout
from pipelines.ctc.norms import Speech, norm_of, packed, unpacked


class Bidirectional(nn.Module):
    """An LSTM in each direction of time, with padding always behind the speech, where it cannot reach it.

    Packed sequences would do the same, but their backward pass takes time quadratic in T on a CPU.
    """

    def __init__(self, inputs: int, units: int) -> None:
        super().__init__()
        self.onward = nn.LSTM(inputs, units, batch_first=True)
        self.backward_ = nn.LSTM(inputs, units, batch_first=True)

    def forward(self, values: Tensor, lengths: Tensor) -> Tensor:
        """(B, T, F) and lengths (B,) -> (B, T, 2 units)."""
        # Mixed precision would mean float16 here, whatever else has, and small gradients would be lost in it.
        with torch.autocast(values.device.type, enabled=False):
            return self._run(values.float(), lengths)

    def _run(self, values: Tensor, lengths: Tensor) -> Tensor:
        steps = torch.arange(values.shape[1], device=values.device)
        last = lengths.unsqueeze(1) - 1
        mirror = torch.where(steps <= last, last - steps, steps).unsqueeze(2)  # (B, T, 1); its own inverse
        reversed_, _ = self.backward_(_at(values, mirror))
        return torch.cat([self.onward(values)[0], _at(reversed_, mirror)], dim=2)


def _at(values: Tensor, places: Tensor) -> Tensor:
    """The frames of (B, T, F) at places (B, T, 1); take_along_dim would also look for negative ones, in each number."""
    return values.gather(1, places.expand(values.shape))


class RecurrentLayer(nn.Module):
    """Recurrence, norm, dropout."""

    is_recurrent = True

    def __init__(self, inputs: int, config: EncoderConfig) -> None:
        super().__init__()
        self.recurrence = Bidirectional(inputs, config.shape.recurrent)
        self.width = 2 * config.shape.recurrent
        self.norm = norm_of(config.norm, self.width)
        self.dropout = LockedDropout(config.dropout)

    def forward(self, values: Tensor, speech: Speech) -> Tensor:
        """(B, T, F) and where it holds speech -> (B, T, width)."""
        heard = packed(self.recurrence(values, speech.lengths), speech)
        result: Tensor = self.dropout(unpacked(self.norm(heard), speech))
        return result
