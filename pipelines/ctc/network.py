"""From log-mel features to characters or phonemes: two strided convolutions, recurrent or Conformer layers, CTC.

B utterances, T frames, F features, V tokens (the blank is token 0). Source: Graves et al. 2006 (CTC).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn

from pipelines.batches import pad
from pipelines.ctc.config import EncoderConfig
from pipelines.ctc.dropout import LockedDropout
from pipelines.ctc.norms import Speech, norm_of, packed, speech_of, unpacked
from pipelines.ctc.recurrent import RecurrentLayer
from pipelines.ctc.sizes import Kind
from pipelines.tuning import Candidates
from speechbench.features import FRAME_SHIFT
from speechbench.progress import say

if TYPE_CHECKING:
    from pipelines.ctc.conformer import ConformerLayer

Count = TypeVar("Count", int, Tensor)

KERNEL = 5
STRIDE = 4  # frames between two outputs
STEP = STRIDE * FRAME_SHIFT  # s
AT_ONCE = 16  # utterances per batch outside training
CANDIDATES = Candidates((0.7, 1.0, 0.5), (0.3, 0.0, 0.6), (0.0, -0.7, -1.4, 0.7))  # decoding weights to try on dev


def _layer(kind: Kind, width: int, config: EncoderConfig) -> RecurrentLayer | ConformerLayer:
    if kind == "recurrent":
        return RecurrentLayer(width, config)
    from pipelines.ctc.conformer import ConformerLayer  # here, for torch's compiler comes with it, which takes 2 s to import

    return ConformerLayer(width, config)


def steps_of(lengths: Count) -> Count:
    """How many steps so many frames give."""
    return halved(halved(lengths))


def halved(lengths: Count) -> Count:
    """How many frames a convolution makes of so many."""
    return (lengths + 1) // 2


class Convolutions(nn.Module):
    """Two convolutions that halve the frames each, norm and ReLU behind both."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        widths = [config.bands, config.shape.channels, config.shape.channels]
        biased = config.norm != "batch"
        self.layers = nn.ModuleList(
            nn.Conv1d(i, o, KERNEL, stride=2, padding=KERNEL // 2, bias=biased) for i, o in itertools.pairwise(widths)
        )
        self.norms = nn.ModuleList(norm_of(config.norm, width) for width in widths[1:])
        self.dropouts = nn.ModuleList(LockedDropout(config.dropout) for _ in widths[1:])

    def forward(self, values: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Speech]:
        """(B, T, F) and lengths (B,) -> (B, T / 4, channels), lengths, and where there is speech."""
        for layer, norm, dropout in zip(self.layers, self.norms, self.dropouts, strict=True):
            values = layer(values.transpose(1, 2)).transpose(1, 2)
            lengths = halved(lengths)
            speech = speech_of(lengths, values)
            values = dropout(unpacked(norm(packed(values, speech)).relu(), speech))
        return values, lengths, speech


class Network(nn.Module):
    """(B, T, F) and lengths (B,) on the CPU -> log-probabilities (B, T / 4, V) and lengths."""

    def __init__(self, tokens: int, config: EncoderConfig) -> None:
        super().__init__()
        self.convolutions = Convolutions(config)
        self.layers = nn.ModuleList()
        width = config.shape.channels
        for _ in range(config.shape.layers):
            layer = _layer(config.kind, width, config)
            self.layers.append(layer)
            width = layer.width
        self.output = nn.Linear(width, tokens)
        self.width = width  # F', of what the encoder makes
        self.heads = nn.ModuleDict()  # further tasks that the encoder is trained for; decoding needs none
        self.frozen: list[nn.Module] = []  # plain, for they are parts of the encoder already

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Score every step of a padded batch, padded with zeros."""
        values, lengths, _ = self.encode(features, lengths)
        return self.score(values), lengths

    def encode(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Speech]:
        """What the encoder makes of a batch, (B, T / 4, F'), with lengths (B,) and where there is speech."""
        values, lengths, speech = self.convolutions(features, lengths)
        for layer in self.layers:
            values = layer(values, speech)
        return values, lengths, speech

    def score(self, values: Tensor) -> Tensor:
        """The log-probabilities of the tokens, from what the encoder made."""
        return torch.log_softmax(self.output(values), dim=-1)

    @property
    def encoder_layers(self) -> list[nn.ModuleList]:
        """The encoder from below: each convolution, then each recurrent layer or Conformer block."""
        parts = self.convolutions
        below = [nn.ModuleList(each) for each in zip(parts.layers, parts.norms, parts.dropouts, strict=True)]
        return below + [nn.ModuleList([layer]) for layer in self.layers]

    def freeze(self, count: int) -> None:
        """Keep so many layers from below as they are in use: no gradient, no dropout, batch norm by its running averages.

        The averages stay, too. Were they to follow the new data, the layer would be another function than the one that is kept.
        """
        self.frozen = [*self.encoder_layers[:count]]
        for layer in self.frozen:
            layer.requires_grad_(False)

    def train(self, mode: bool = True) -> Network:
        """As torch's, but for the frozen layers."""
        super().train(mode)
        for layer in self.frozen:
            layer.eval()
        return self

    @property
    def parameter_count(self) -> int:
        """How many numbers are trained."""
        return sum(parameter.numel() for parameter in self.parameters())


class Tasks(nn.Module):
    """A network with its heads, as it is trained."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """The log-probabilities of the tokens, the lengths, and what each head tells."""
        values, lengths, speech = self.network.encode(features, lengths)
        told = {name: head(values, speech.mask) for name, head in self.network.heads.items()}
        return self.network.score(values), lengths, told


def report_size(network: Network, log: Callable[[dict[str, Any]], None]) -> None:
    """Tell how many parameters a network has, and log it as a row."""
    log({"parameters": network.parameter_count, "tokens": network.output.out_features})
    say(f"the network has {network.parameter_count:,} parameters and {network.output.out_features} tokens, the blank included")


def score_all(network: Network, features: Sequence[Tensor]) -> list[Tensor]:
    """Log-probabilities (T / 4, V) of each utterance's features (T, F); the batching changes no result."""
    starts = range(0, len(features), AT_ONCE)
    return [scores for at in starts for scores in score_batch(network, *pad(features[at : at + AT_ONCE]))]


@torch.inference_mode()
def score_batch(network: Network, features: Tensor, lengths: Tensor) -> list[Tensor]:
    """The same of a batch (B, T, F) that is padded with zeros, with lengths (B,)."""
    network.eval()
    scores, steps = network(features.to(next(network.parameters()).device), lengths)
    return [s[:n] for s, n in zip(scores.cpu(), steps.tolist(), strict=True)]


def greedy_tokens(scores: Tensor) -> list[int]:
    """The likeliest token of each step (T, V), repeats joined, blanks dropped."""
    return [token for token in torch.unique_consecutive(scores.argmax(-1)).tolist() if token]
