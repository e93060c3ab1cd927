"""Conformer blocks (Gulati et al. 2020), with places told by rotation (Su et al. 2021).

torchaudio's Conformer tells attention no places, and its convolution and batch norm read padding; so these are our own.
Only attention and the convolution look across time and see padding; all else is computed on the frames that are none.
B utterances, T frames with padding, n frames without, D the width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pipelines.ctc.config import EncoderConfig
from pipelines.ctc.norms import Speech, norm_of, packed, unpacked
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


class FeedForward(nn.Module):
    """Two layers, frame by frame."""

    def __init__(self, width: int, config: EncoderConfig) -> None:
        super().__init__()
        self.norm = norm_of(config.norm, width)
        self.wide = nn.Linear(width, WIDER * width)
        self.narrow = nn.Linear(WIDER * width, width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, frames: Tensor) -> Tensor:
        """(n, D) -> (n, D)."""
        result: Tensor = self.dropout(self.narrow(self.dropout(nn.functional.silu(self.wide(self.norm(frames))))))
        return result


class Attention(nn.Module):
    """Attention of each frame to all frames of its utterance."""

    def __init__(self, width: int, config: EncoderConfig) -> None:
        super().__init__()
        self.norm = norm_of(config.norm, width)
        self.inward = nn.Linear(width, 3 * width)
        self.outward = nn.Linear(width, width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, frames: Tensor, speech: Speech) -> Tensor:
        """(n, D) and where they lie -> (n, D)."""
        heads = unpacked(self.inward(self.norm(frames)), speech).view(*speech.mask.shape, 3, -1, HEAD).permute(2, 0, 3, 1, 4)
        query, key, value = rotated(heads[0]), rotated(heads[1]), heads[2]
        mask = speech.mask[:, None, None, :]
        told = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        result: Tensor = self.dropout(self.outward(packed(told.transpose(1, 2).flatten(2), speech)))
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

    def forward(self, frames: Tensor, speech: Speech) -> Tensor:
        """(n, D) and where they lie -> (n, D)."""
        gated = unpacked(nn.functional.glu(self.gate(self.norm(frames))), speech)
        spread = packed(self.depthwise(gated.transpose(1, 2)).transpose(1, 2), speech)
        result: Tensor = self.dropout(self.outward(nn.functional.silu(self.inner_norm(spread))))
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
        frames = packed(values, speech)
        frames = frames + 0.5 * self.first(frames)
        frames = frames + self.attention(frames, speech)
        frames = frames + self.convolution(frames, speech)
        return unpacked(self.norm(frames + 0.5 * self.second(frames)), speech)
