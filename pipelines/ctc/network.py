"""From log-mel features to characters or phonemes: two strided convolutions with batch norm, bidirectional LSTMs, CTC.

B utterances, T frames, F features, V tokens (the blank is token 0). Source: Amodei et al. 2016 (Deep Speech 2); Graves et al.
2006 (CTC). LSTMs where Deep Speech 2 has GRUs: on a CPU they run through oneDNN, twice as fast.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pipelines.batches import pad
from pipelines.ctc.config import EncoderConfig
from pipelines.parallel import SyncedBatchNorm
from pipelines.tuning import Candidates
from speechbench.features import FRAME_SHIFT

KERNEL = 5
STEP = 4 * FRAME_SHIFT  # s, between two outputs
AT_ONCE = 16  # utterances per batch outside training
CANDIDATES = Candidates((0.7, 1.0, 0.5), (0.3, 0.0, 0.6), (0.0, -0.7, -1.4, 0.7))  # decoding weights to try on dev


def steps_of(lengths: Tensor) -> Tensor:
    """How many steps so many frames give."""
    return torch.div(torch.div(lengths + 1, 2, rounding_mode="floor") + 1, 2, rounding_mode="floor")


class MaskedBatchNorm(SyncedBatchNorm):
    """Batch norm over the frames that are not padding, so that padding changes nothing (Ioffe and Szegedy 2015)."""

    def forward(self, values: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, T, F) with a mask (B, T), true where there is speech; padding comes out as 0."""
        assert mask is not None
        result = torch.zeros_like(values)
        result[mask] = super().forward(values[mask])
        return result


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
        steps = torch.arange(values.shape[1], device=values.device)
        last = lengths.to(values.device).unsqueeze(1) - 1
        mirror = torch.where(steps <= last, last - steps, steps).unsqueeze(2)  # (B, T, 1); its own inverse
        reversed_, _ = self.backward_(values.take_along_dim(mirror, dim=1))
        return torch.cat([self.onward(values)[0], reversed_.take_along_dim(mirror, dim=1)], dim=2)


class Network(nn.Module):
    """(B, T, F) and lengths (B,) -> log-probabilities (B, T / 4, V) and lengths."""

    def __init__(self, tokens: int, config: EncoderConfig) -> None:
        super().__init__()
        widths = [config.bands, config.channels, config.channels]
        # Batch norm's beta makes a bias redundant.
        self.convolutions = nn.ModuleList(
            nn.Conv1d(i, o, KERNEL, stride=2, padding=KERNEL // 2, bias=False) for i, o in itertools.pairwise(widths)
        )
        self.norms = nn.ModuleList(MaskedBatchNorm(width) for width in widths[1:])
        self.dropout = nn.Dropout(config.dropout)
        self.recurrent = nn.ModuleList(
            Bidirectional(config.channels if n == 0 else 2 * config.recurrent, config.recurrent) for n in range(config.layers)
        )
        self.recurrent_norms = nn.ModuleList(MaskedBatchNorm(2 * config.recurrent) for _ in range(config.layers))
        self.output = nn.Linear(2 * config.recurrent, tokens)

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Score every step of a padded batch."""
        values = features
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            values = convolution(values.transpose(1, 2)).transpose(1, 2)
            lengths = torch.div(lengths + 1, 2, rounding_mode="floor")
            mask = torch.arange(values.shape[1], device=values.device) < lengths.to(values.device).unsqueeze(1)
            values = self.dropout(norm(values, mask).relu())
        for recurrent, norm in zip(self.recurrent, self.recurrent_norms, strict=True):
            values = self.dropout(norm(recurrent(values, lengths), mask))
        return torch.log_softmax(self.output(values), dim=-1), lengths


@torch.inference_mode()
def score_all(network: Network, features: Sequence[Tensor]) -> list[Tensor]:
    """Log-probabilities (T / 4, V) of each utterance's features (T, F); the batching changes no result."""
    network.eval()
    results: list[Tensor] = []
    for first in range(0, len(features), AT_ONCE):
        batch, lengths = pad(features[first : first + AT_ONCE])
        scores, steps = network(batch.to(next(network.parameters()).device), lengths)
        results += [s[:n] for s, n in zip(scores.cpu(), steps.tolist(), strict=True)]
    return results


def greedy_tokens(scores: Tensor) -> list[int]:
    """The likeliest token of each step (T, V), repeats joined, blanks dropped."""
    return [token for token in torch.unique_consecutive(scores.argmax(-1)).tolist() if token]
