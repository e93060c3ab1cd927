"""Training on scenes that are rendered while it goes on: other noise under the same speech in each epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from pipelines.ctc.edges import cut
from pipelines.ctc.heads import Labels
from pipelines.ctc.items import Batch, Batches, Groups, Item, too_short
from pipelines.ctc.speakers import Table
from pipelines.speakers import Listener
from speechbench.features import cmvns, frames_of, log_mels
from speechbench.manifest import Skipped
from speechbench.progress import track

HEARD = 20  # scenes of a speaker that tell how the speaker sounds in noise
AT_ONCE = 32  # of them that are rendered at once


class Noise(Protocol):
    """What is asked of a piece of noise here."""

    @property
    def condition(self) -> str | None:
        """City, rain, horn, ..."""
        ...


class Scene(Protocol):
    """What is asked of a scene here."""

    @property
    def id(self) -> str:
        """Its own, the same in each epoch."""
        ...

    @property
    def clean_id(self) -> str:
        """The utterance that it is made from."""
        ...

    @property
    def snr_db(self) -> float | None:
        """Of the whole noise; None without noise."""
        ...

    @property
    def heard(self) -> Iterator[tuple[Noise, float]]:
        """Every piece of noise, and from where in its file it counts as used (s)."""
        ...


class Rendered(Protocol):
    """What is asked of a rendered batch."""

    @property
    def samples(self) -> Tensor:
        """(B, N), on any device."""
        ...

    @property
    def lengths(self) -> Tensor:
        """(B,), samples."""
        ...

    @property
    def scenes(self) -> Sequence[Scene]:
        """B."""
        ...


class Renderer(Protocol):
    """What draws and renders scenes; the command line hands one in, for synthesis and training do not know each other."""

    def scenes(self, epoch: int) -> Sequence[Scene]:
        """The scenes of an epoch, from 0, the same whenever it is asked for."""
        ...

    def render(self, groups: Iterable[Sequence[Scene]]) -> Iterator[Rendered]:
        """Their audio, in the groups they come in; what cannot be rendered is noted and left out."""
        ...


def no_labels(_: Scene) -> Labels:
    """What a scene says of its own where no head asks."""
    return {}


@dataclass(frozen=True)
class Scenes:
    """The scenes of the utterances that can be trained on."""

    renderer: Renderer
    clean: Mapping[str, Item]  # by the utterance's id
    bands: int  # of the features
    skipped: Skipped
    speaker_frames: float = 0.0  # that all of its speaker's speech counts for beside an utterance that is normalised
    label: Callable[[Scene], Labels] = no_labels  # what a scene says of its own, beside what its utterance says

    @cached_property
    def items(self) -> Sequence[Item]:
        """An item for each scene: the frames of its clean utterance, with the same tokens."""
        return [replace(self.clean[scene.clean_id], id=scene.id) for scene in self._usable(0)]

    def read(self, epoch: int, groups: Groups) -> Batches:
        """Render groups of scenes and compute their features, where they are rendered."""
        by_id = {item.id: item for item in self.items}
        speakers = self._speakers  # before a later epoch is drawn: going back would draw all again
        scenes = self._usable(epoch)
        number_of = {scenes[place].id: number for number, places in groups.items() for place in places}
        for batch in self.renderer.render([scenes[place] for place in places] for places in groups.values()):
            energies, lengths = self._energies(batch)
            known = speakers.of_batch([self._speaker(scene) for scene in batch.scenes]) if speakers else ()
            features = cmvns(energies, lengths, *known)
            items, kept = list[Item](), list[int]()
            starts = torch.tensor([by_id[scene.id].start for scene in batch.scenes])
            lengths = torch.minimum(torch.tensor([by_id[scene.id].frames for scene in batch.scenes]), lengths - starts)
            features = cut(features, starts, lengths)
            for place, (scene, frames) in enumerate(zip(batch.scenes, lengths.tolist(), strict=True)):
                item = by_id[scene.id]
                if item.fits(frames):  # its audio may be a little shorter than its manifest says
                    items.append(replace(item, labels={**item.labels, **self.label(scene)}))
                    kept.append(place)
                else:
                    self.skipped.add(scene.id, too_short(item, frames))
            if items:
                whole = len(items) == len(lengths)
                yield number_of[items[0].id], Batch(items, features if whole else features[kept], lengths[kept])

    def _usable(self, epoch: int) -> list[Scene]:
        return [scene for scene in self.renderer.scenes(epoch) if scene.clean_id in self.clean]

    def _energies(self, batch: Rendered) -> tuple[Tensor, Tensor]:
        """Log-mel energies (B, T, F), and lengths in frames (B,) on the CPU."""
        lengths = torch.tensor([frames_of(length) for length in batch.lengths.tolist()])
        return log_mels(batch.samples, batch.lengths, self.bands), lengths

    def _speaker(self, scene: Scene) -> str | None:
        return self.clean[scene.clean_id].speaker

    @cached_property
    def _speakers(self) -> Table | None:
        """How those sound who have several scenes: in the first few scenes of each, in the noise of the first epoch."""
        by_speaker: dict[str, list[Scene]] = {}
        for scene in self._usable(0) if self.speaker_frames else []:
            if (speaker := self._speaker(scene)) is not None:
                by_speaker.setdefault(speaker, []).append(scene)
        chosen = [scene for scenes in by_speaker.values() if len(scenes) > 1 for scene in scenes[:HEARD]]
        listener, device = Listener(), torch.device("cpu")
        groups = [chosen[first : first + AT_ONCE] for first in range(0, len(chosen), AT_ONCE)]
        for batch in self.renderer.render(track(groups, "speakers in noise")):
            energies, lengths = self._energies(batch)
            device = energies.device
            for scene, mel, frames in zip(batch.scenes, energies.cpu(), lengths.tolist(), strict=True):
                listener.hear(self._speaker(scene), mel[:frames])
        found = listener.speakers()
        return Table.of(found, self.speaker_frames, device) if found else None
