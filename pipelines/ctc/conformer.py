"""Conformer blocks (Gulati et al. 2020), with places told by rotation (Su et al. 2021).

torchaudio's Conformer tells attention no places, and its convolution and batch norm read padding; so these are our own.
B utterances, T frames, D the width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pipelines.ctc.config import EncoderConfig
from pipelines.ctc.norms import Speech, norm_of
from pipelines.ctc.sizes import HEAD

KERNEL = 15  # frames that the convolution sees, 0.6 s
WIDER = 4  # the inner width of a feed-forward part, in widths
SLOWEST = 10000.0  # frames, about, in which the slowest rotation turns by a radian


def rotated(values: Tensor) -> Tensor:
    """Turn pairs of numbers by angles that grow with time, so that the product of two tells how far apart they are.

    Shape:
        (B, heads, T, HEAD) -> the same
    """
    half = values.shape[-1] // 2
    speeds = SLOWEST ** (-torch.arange(half, device=values.device, dtype=torch.float32) / half)
    angles = torch.arange(values.shape[-2], device=values.device, dtype=torch.float32).unsqueeze(1) * speeds
    cos, sin = angles.cos().to(values.dtype), angles.sin().to(values.dtype)
    first, second = values[..., :half], values[..., half:]
    return torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1)


@torch.compiler.disable  # type: ignore[untyped-decorator]
def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    """Attention itself, one kernel already; torch 2.11 compiles its way back with wrong strides where sizes vary.

    Shape:
        three of (B, heads, T, HEAD), (B, 1, 1, T) -> (B, heads, T, HEAD)
    """
    return nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)


class FeedForward(nn.Module):
    """Two layers, frame by frame."""

    def __init__(self, width: int, config: EncoderConfig) -> None:
        super().__init__()
        self.norm = norm_of(config.norm, width)
        self.wide = nn.Linear(width, WIDER * width)
        self.narrow = nn.Linear(WIDER * width, width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, values: Tensor, speech: Speech) -> Tensor:
        """(B, T, D) and where it holds speech -> (B, T, D)."""
        result: Tensor = self.dropout(self.narrow(self.dropout(nn.functional.silu(self.wide(self.norm(values, speech))))))
        return result


class Attention(nn.Module):
    """Attention of each frame to all frames that are no padding."""

    def __init__(self, width: int, config: EncoderConfig) -> None:
        super().__init__()
        self.norm = norm_of(config.norm, width)
        self.inward = nn.Linear(width, 3 * width)
        self.outward = nn.Linear(width, width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, values: Tensor, speech: Speech) -> Tensor:
        """(B, T, D) and where it holds speech -> (B, T, D)."""
        heads = self.inward(self.norm(values, speech)).unflatten(2, (3, -1, HEAD)).permute(2, 0, 3, 1, 4)
        query, key, value = rotated(heads[0]), rotated(heads[1]), heads[2]
        told = attend(query, key, value, speech.mask[:, None, None, :])
        result: Tensor = self.dropout(self.outward(told.transpose(1, 2).flatten(2)))
        return result


class Convolution(nn.Module):
    """A gate, then a convolution over time of each feature alone."""

    def __init__(self, width: int, config: EncoderConfig) -> None:
        super().__init__()
        self.norm = norm_of(config.norm, width)
        self.gate = nn.Linear(width, 2 * width)
        biased = config.norm != "batch"
        self.depthwise = nn.Conv1d(width, width, KERNEL, padding=KERNEL // 2, groups=width, bias=biased)
        self.inner_norm = norm_of(config.norm, width)
        self.outward = nn.Linear(width, width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, values: Tensor, speech: Speech) -> Tensor:
        """(B, T, D) and where it holds speech -> (B, T, D)."""
        gated = nn.functional.glu(self.gate(self.norm(values, speech)))
        spread = self.depthwise(gated.where(speech.mask.unsqueeze(2), 0.0).transpose(1, 2)).transpose(1, 2)
        result: Tensor = self.dropout(self.outward(nn.functional.silu(self.inner_norm(spread, speech))))
        return result


class ConformerLayer(nn.Module):
    """Half a feed-forward part, attention, convolution, the other half, norm."""

    is_recurrent = False

    def __init__(self, inputs: int, config: EncoderConfig) -> None:
        super().__init__()
        self.width = inputs
        self.first = FeedForward(inputs, config)
        self.attention = Attention(inputs, config)
        self.convolution = Convolution(inputs, config)
        self.second = FeedForward(inputs, config)
        self.norm = norm_of(config.norm, inputs)

    def forward(self, values: Tensor, speech: Speech) -> Tensor:
        """(B, T, D) and where it holds speech -> (B, T, D)."""
        values = values + 0.5 * self.first(values, speech)
        values = values + self.attention(values, speech)
        values = values + self.convolution(values, speech)
        result: Tensor = self.norm(values + 0.5 * self.second(values, speech), speech)
        return result
