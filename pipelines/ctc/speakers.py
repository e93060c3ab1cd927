"""How the speakers of a batch sound. B utterances, S speakers, F features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pipelines.ctc.device import moved
from pipelines.speakers import Speakers
from speechbench.features import Moments


@dataclass(frozen=True)
class Table:
    """Speakers side by side, from which a batch takes those of its utterances; the last row is nobody's."""

    rows: Mapping[str, int]
    moments: Moments  # (S + 1, F)
    weights: Tensor  # (S + 1,), frames that each counts for

    @classmethod
    def of(cls, speakers: Speakers, frames: float, device: torch.device) -> Table:
        """Of at least one speaker, who counts for so many frames."""
        nobody = Moments(*(torch.zeros_like(moment) for moment in next(iter(speakers.values()))))
        means, variances = zip(*speakers.values(), nobody, strict=True)
        moments = Moments(torch.stack(means).to(device), torch.stack(variances).to(device))
        weights = torch.tensor([frames] * len(speakers) + [0.0], device=device)
        return cls({name: row for row, name in enumerate(speakers)}, moments, weights)

    def of_batch(self, names: Sequence[str | None]) -> tuple[Moments, Tensor]:
        """Moments (B, F) and weights (B,) of each utterance's speaker."""
        rows = moved(torch.tensor([self.rows.get(name or "", len(self.rows)) for name in names]), self.weights.device)
        return Moments(self.moments.mean[rows], self.moments.variance[rows]), self.weights[rows]
