"""How right a network's heads are."""

from __future__ import annotations

import torch

from pipelines.batches import pad
from pipelines.ctc.checkpoint import Row
from pipelines.ctc.heads import Head, Tally
from pipelines.ctc.items import Stored
from pipelines.ctc.network import AT_ONCE, Network, Tasks


@torch.inference_mode()
def head_figures(network: Network, dev: Stored) -> Row:
    """A figure of each head over the utterances whose label is known; None where none is."""
    network.eval()
    tasks, device = Tasks(network), network.output.weight.device
    tallies = dict.fromkeys(network.heads, Tally())
    for first in range(0, len(dev.items), AT_ONCE):
        items = dev.items[first : first + AT_ONCE]
        features, lengths = pad([dev.heard(item) for item in items])
        _, steps, told = tasks(features.to(device), lengths)
        for name, outputs in told.items():
            head, sequence = network.heads[name], outputs.ndim == 3
            assert isinstance(head, Head)
            for item, output, count in zip(items, outputs.cpu(), steps.tolist(), strict=True):
                if name in item.labels:
                    found = head.tally(output[:count] if sequence else output, item.labels[name])
                    tallies[name] = Tally(tallies[name].total + found.total, tallies[name].number + found.number)
    return {
        f"dev_{name}_{network.heads[name].figure}": tally.total / tally.number if tally.number else None
        for name, tally in tallies.items()
    }
