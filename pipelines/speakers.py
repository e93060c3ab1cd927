"""How speakers sound in all that they say in a manifest. T frames, F features."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor

from pipelines.batches import extract
from speechbench.audio import Samples
from speechbench.features import Moments, cmvn, log_mel
from speechbench.manifest import Manifest, Skipped, Utterance

Speakers = Mapping[str, Moments]  # by name


class Listener:
    """Learns how speakers sound, from utterance to utterance."""

    def __init__(self) -> None:
        self._sums: dict[str, tuple[int, Tensor, Tensor]] = {}

    def hear(self, speaker: str | None, features: Tensor) -> None:
        """Take an utterance (T, F) into account, if its speaker is known."""
        if speaker is None:
            return
        values = features.double()
        count, total, squares = self._sums.get(speaker, (0, torch.tensor(0.0), torch.tensor(0.0)))
        self._sums[speaker] = count + len(values), total + values.sum(0), squares + values.square().sum(0)

    def speakers(self) -> dict[str, Moments]:
        """All that were heard."""
        return {speaker: _moments(*sums) for speaker, sums in self._sums.items()}


def _moments(count: int, total: Tensor, squares: Tensor) -> Moments:
    mean = total / count
    return Moments(mean.float(), (squares / count - mean.square()).clamp_min(0.0).float())  # rounding may go below


def speakers_of(manifest: Manifest, features: Callable[[Samples], Tensor]) -> dict[str, Moments]:
    """Those who say more than one thing in a manifest; what cannot be read of it is left out."""
    counts = Counter(utterance.speaker for utterance in manifest)
    listener = Listener()
    if said := manifest.select(lambda utterance: utterance.speaker is not None and counts[utterance.speaker] > 1):
        for utterance, values in extract(said, features, Skipped(), f"speakers of {manifest.name}", threaded=True):
            listener.hear(utterance.speaker, values)
    return listener.speakers()


def heard_of(
    manifest: Manifest, bands: int, speaker_frames: float, skipped: Skipped, label: str
) -> Iterator[tuple[Utterance, Tensor]]:
    """Each utterance with its normalised log-mel energies (T, F), which a network trained by CTC hears.

    Args:
        manifest: What is heard.
        bands: F.
        speaker_frames: That all of its speaker's speech counts for beside an utterance.
        skipped: Takes the utterances whose audio cannot be used.
        label: Of the progress.
    """

    def energies(samples: Samples) -> Tensor:
        return log_mel(samples, bands)

    speakers = speakers_of(manifest, energies) if speaker_frames else {}
    for utterance, mel in extract(manifest, energies, skipped, label):
        yield utterance, cmvn(mel, speakers.get(utterance.speaker or ""), speaker_frames)
