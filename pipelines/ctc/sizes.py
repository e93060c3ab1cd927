"""How large the layers of a network of so many parameters are; runs keep the name alone, so a row must not change."""

from __future__ import annotations

from typing import Literal, NamedTuple

Kind = Literal["recurrent", "conformer"]
Size = Literal["0.3M", "1M", "3M", "10M", "30M", "100M"]

HEAD = 32  # width of an attention head


class Shape(NamedTuple):
    """Channels of each convolution, layers behind them, and units of each direction of each LSTM."""

    channels: int
    layers: int
    recurrent: int = 0


SIZES: dict[Kind, dict[Size, Shape]] = {
    "recurrent": {
        "0.3M": Shape(112, 2, 64),
        "1M": Shape(192, 2, 128),
        "3M": Shape(288, 3, 192),
        "10M": Shape(512, 4, 304),
        "30M": Shape(768, 5, 480),
        "100M": Shape(1280, 6, 800),
    },
    "conformer": {
        "0.3M": Shape(64, 3),
        "1M": Shape(96, 4),
        "3M": Shape(160, 5),
        "10M": Shape(256, 6),
        "30M": Shape(384, 8),
        "100M": Shape(640, 10),
    },
}
