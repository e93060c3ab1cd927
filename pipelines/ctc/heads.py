"""Further tasks beside the text: heads on the encoder, which learns from their labels too.

A label that an utterance lacks is a missing key. Such utterances are left out of that head's loss, and the others' sum is
divided by how many they are.

B utterances, T steps, F features of the encoder, K utterances whose label is known, C classes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from pipelines import parallel
from pipelines.ctc.device import moved
from pipelines.ctc.losses import ctc_losses
from speechbench.torch_audio import torchaudio

Labels = Mapping[str, Tensor]  # of an utterance, by the head's name


class Tally(NamedTuple):
    """A figure on its way: a sum, and of how many."""

    total: float = 0.0
    number: int = 0


class Head(nn.Module, ABC):
    """What each head has."""

    figure: str  # its name in metrics
    size: int  # outputs

    def __init__(self, loss_weight: float) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    @abstractmethod
    def losses(self, told: Tensor, steps: Tensor, labels: Sequence[Tensor]) -> Tensor:
        """The losses (K,) of what was told of K utterances with so many steps (K,) and these labels."""

    @abstractmethod
    def tally(self, told: Tensor, label: Tensor) -> Tally:
        """How right it was of one utterance, without padding."""


class PhonemeHead(Head):
    """The phonemes in their order, by CTC; phoneme 0 is the blank."""

    figure = "per"

    def __init__(self, width: int, phonemes: int, loss_weight: float) -> None:
        super().__init__(loss_weight)
        self.size = phonemes + 1
        self.output = nn.Linear(width, self.size)

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        """(B, T, F) and a mask (B, T) -> log-probabilities (B, T, C)."""
        return torch.log_softmax(self.output(values), dim=-1)

    def losses(self, told: Tensor, steps: Tensor, labels: Sequence[Tensor]) -> Tensor:
        """CTC, per phoneme."""
        return ctc_losses(told, steps, labels)

    def tally(self, told: Tensor, label: Tensor) -> Tally:
        """Errors, of so many phonemes."""
        heard = [number for number in torch.unique_consecutive(told.argmax(-1)).tolist() if number]
        return Tally(torchaudio.functional.edit_distance(label.tolist(), heard), len(label))


class PooledHead(Head):
    """A head that tells one thing of the whole utterance, from mean and standard deviation over its steps.

    Source: Snyder et al. 2018 (statistics pooling).
    """

    def __init__(self, width: int, size: int, loss_weight: float) -> None:
        super().__init__(loss_weight)
        self.size = size
        self.output = nn.Linear(2 * width, size)

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        """(B, T, F) and a mask (B, T) -> (B, C)."""
        heard = mask.unsqueeze(2)
        count = heard.sum(1)
        mean = (values * heard).sum(1) / count
        variance = ((values - mean.unsqueeze(1)).square() * heard).sum(1) / count
        result: Tensor = self.output(torch.cat([mean, (variance + 1e-5).sqrt()], dim=1))
        return result


class SpeakerHead(PooledHead):
    """One of several classes: softmax and cross-entropy. A label is the class's number."""

    figure = "accuracy"

    def losses(self, told: Tensor, steps: Tensor, labels: Sequence[Tensor]) -> Tensor:
        """-log y_hat of the class that it is; the gradient is y_hat - y."""
        return nn.functional.cross_entropy(told, moved(torch.stack(list(labels)), told.device), reduction="none")

    def tally(self, told: Tensor, label: Tensor) -> Tally:
        """Whether the likeliest class is right."""
        return Tally(float(told.argmax() == label), 1)


class ConditionHead(PooledHead):
    """Which conditions hold: any number of them at once, so each has a logistic loss. A label is 0 or 1 for each, (C,)."""

    figure = "accuracy"

    def losses(self, told: Tensor, steps: Tensor, labels: Sequence[Tensor]) -> Tensor:
        """The sum over the conditions."""
        known = moved(torch.stack(list(labels)), told.device)
        return nn.functional.binary_cross_entropy_with_logits(told, known, reduction="none").sum(1)

    def tally(self, told: Tensor, label: Tensor) -> Tally:
        """Whether all conditions are right."""
        return Tally(float(((told > 0) == (label > 0.5)).all()), 1)


class SnrHead(PooledHead):
    """The SNR in dB, told in standard deviations from the training set's mean. A label is a number, ()."""

    figure = "mae_db"
    mean: Tensor
    spread: Tensor

    def __init__(self, width: int, mean_db: float, spread_db: float, loss_weight: float) -> None:
        super().__init__(width, 1, loss_weight)
        self.register_buffer("mean", torch.tensor(mean_db))
        self.register_buffer("spread", torch.tensor(spread_db))

    def losses(self, told: Tensor, steps: Tensor, labels: Sequence[Tensor]) -> Tensor:
        """The square of the error, in standard deviations."""
        wanted = (moved(torch.stack(list(labels)), told.device) - self.mean) / self.spread
        return (told.squeeze(1) - wanted).square()

    def tally(self, told: Tensor, label: Tensor) -> Tally:
        """The error in dB."""
        return Tally(float((told.squeeze(0) * self.spread.cpu() + self.mean.cpu() - label).abs()), 1)


def known_losses(head: Head, told: Tensor, steps: Tensor, labels: Sequence[Tensor | None]) -> Tensor:
    """The losses (K,) of the utterances whose label is known; none where none is, yet with a gradient, of zeros."""
    places = [place for place, label in enumerate(labels) if label is not None]
    if not places:
        return told.flatten()[:0]
    return head.losses(told[places], steps[places], [label for label in labels if label is not None])


def heads_loss(
    heads: Mapping[str, Head], told: Mapping[str, Tensor], steps: Tensor, labels: Sequence[Labels], share: float
) -> Tensor:
    """The sum over the heads of their weight times their mean loss; 0 for a head of which no label is known.

    Args:
        heads: By name.
        told: What each tells of this process's part of the batch.
        steps: Of each utterance, (B,).
        labels: Of each utterance.
        share: How much each utterance counts, for some are in the parts of several processes.
    """
    losses = {name: known_losses(heads[name], told[name].float(), steps, [one.get(name) for one in labels]) for name in told}
    if not losses:
        return torch.zeros(())
    sums = torch.stack([one.sum() * share for one in losses.values()])
    counts = torch.tensor([len(one) * share for one in losses.values()], device=sums.device)
    parallel.add_up([counts])
    weights = sums.new_tensor([heads[name].loss_weight for name in losses])
    # A label that is known counts 1 over all processes: a divisor below 1 is 0.
    return (weights * sums / counts.clamp_min(1.0)).sum()
