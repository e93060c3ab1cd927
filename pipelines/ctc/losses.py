"""The loss of texts and of other sequences of tokens."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pipelines.ctc.device import moved


def ctc_losses(scores: Tensor, steps: Tensor, targets: Sequence[Tensor]) -> Tensor:
    """The loss of each utterance per token, for sequences may differ in length and may be empty.

    Shape:
        (B, T, V), (B,) and B sequences -> (B,)

    Source: Graves et al. 2006.
    """
    sizes = torch.tensor([len(tokens) for tokens in targets])
    joined = moved(torch.cat(list(targets)), scores.device)
    losses = nn.functional.ctc_loss(scores.transpose(0, 1), joined, steps, sizes, reduction="none")
    return losses / moved(sizes.clamp_min(1), scores.device)
