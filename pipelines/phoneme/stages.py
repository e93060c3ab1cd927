"""The stages of Gaussian mixtures, each trained from the alignment of the one before it.

monophone: MFCC with deltas; flat start. triphone: spliced MFCC under LDA and MLLT; states tied by a phonetic decision tree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from pipelines.ahead import each
from pipelines.frames import Frames, write_frames
from pipelines.graph import Topology
from pipelines.phoneme.align import Alignment, Sentences, with_margins
from pipelines.phoneme.clustering import Contexts, grow
from pipelines.phoneme.config import GmmConfig, TreeConfig
from pipelines.phoneme.gmm import Block, Chunks, Mixtures
from pipelines.phoneme.heard import Energies, Heard
from pipelines.phoneme.transforms import lda, mllt, splice
from pipelines.tree import Tree
from speechbench.features import FRAME_SHIFT, Moments, cepstra, cmvn, with_deltas

Features = Callable[[Heard], Tensor]  # an utterance to features (T, F)
Start = Callable[[Sequence[int]], list[Alignment]]  # the numbers of utterances to their alignments
Report = Callable[[int, float], None]  # Gaussians per column, log-likelihood per frame

BLOCK = 400_000  # frames that are worked on at once, an hour: 64 MB of 40 features
KEPT = 1_200_000  # frames up to which chunks stay in memory: 384 MB of 40 features and their squares
SCORED_FRAMES = 5_000  # whose likelihood is reported
EPOCHS = 2  # EM steps at once; one Gaussian is found in one
MOST_MLLT = 4  # Gaussians per column up to which MLLT is estimated
MIXTURES, TREE, ALIGNMENT = "mixtures.safetensors", "tree.json", "alignment.npy"
SILENCE = "silence_"  # before the names of its tensors


@dataclass(frozen=True)
class Stage:
    """What a stage hands on: how features are made, the mixtures over them, and the alignment of the corpus."""

    topology: Topology
    mixtures: Mixtures
    silence: Mixtures  # of silence's columns alone, with more Gaussians
    transform: Tensor | None  # of spliced MFCC (D, F); None for deltas
    alignment: Alignment

    def features(self, config: GmmConfig) -> Features:
        """How the mixtures want their features."""
        return features_of(config, self.transform)

    def log_likelihoods(self, features: Tensor) -> Tensor:
        """Natural-log likelihood of each frame in each column, (T, F) -> (T, S)."""
        values = self.mixtures.log_likelihoods(features)
        values[:, self.topology.silent] = self.silence.log_likelihoods(features)
        return values

    def write(self, folder: Path) -> None:
        """Write it into a folder."""
        if self.topology.tree is not None:
            self.topology.tree.write(folder / TREE, self.topology.units)
        transform = {} if self.transform is None else {"transform": self.transform}
        silence = {SILENCE + name: tensor for name, tensor in vars(self.silence).items()}
        save_file({**vars(self.mixtures), **silence, **transform}, folder / MIXTURES)
        np.save(folder / ALIGNMENT, self.alignment.astype(np.int32))

    @classmethod
    def read(cls, folder: Path, topology: Topology) -> Stage:
        """Read what `write` wrote; the topology is that of the phonemes, without a tree."""
        tensors = load_file(folder / MIXTURES)
        transform = tensors.pop("transform", None)
        silence = {name.removeprefix(SILENCE): tensors.pop(name) for name in list(tensors) if name.startswith(SILENCE)}
        if (folder / TREE).exists():
            topology = topology.tied(Tree.read(folder / TREE, topology.units))
        return cls(topology, Mixtures(**tensors), Mixtures(**silence), transform, np.load(folder / ALIGNMENT).astype(np.int64))


def features_of(config: GmmConfig, transform: Tensor | None) -> Features:
    """MFCC, normalised over the utterance and its speaker, with deltas or spliced and transformed."""

    def normalised(values: Tensor, speaker: Moments | None) -> Tensor:
        if speaker is not None:
            speaker = Moments(*(moment[: config.mfcc] for moment in speaker))
        return cmvn(values, speaker, config.speaker_frames)

    def with_their_deltas(heard: Heard) -> Tensor:
        values = with_deltas(cepstra(heard.mel, config.mfcc))
        if heard.speaker is None:
            return cmvn(values)
        static, deltas = values[:, : config.mfcc], values[:, config.mfcc :]
        return torch.cat([normalised(static, heard.speaker), cmvn(deltas)], dim=1)

    def transformed(heard: Heard) -> Tensor:
        assert transform is not None, "it is asked for"
        return splice(normalised(cepstra(heard.mel, config.mfcc), heard.speaker), config.splice) @ transform.T

    return with_their_deltas if transform is None else transformed


@dataclass
class Training:
    """Mixtures in training, with the frames that they are trained on and the columns of these."""

    sentences: Sentences
    frames: Frames
    alignment: Alignment
    mixtures: Mixtures
    transform: Tensor | None = None  # (F, F), MLLT's, under which the frames lie in the file
    _chunks: list[Chunks] | None = field(default=None, init=False)

    def blocks(self) -> Iterator[Block]:
        """All frames with their columns."""
        for start in range(0, len(self.alignment), BLOCK):
            end = min(start + BLOCK, len(self.alignment))
            yield self.frames.slice(start, end), torch.from_numpy(self.alignment[start:end])

    def chunks(self) -> Iterable[Chunks]:
        """The same by column; they stay in memory where they are few."""
        if len(self.alignment) > KEPT:
            return (Chunks.of(*block) for block in self.blocks())
        if self._chunks is None:
            self._chunks = [Chunks.of(*block) for block in self.blocks()]
        return self._chunks

    def growing(self, most: int) -> Iterator[int]:
        """Give the number of Gaussians per column, doubling them between."""
        gaussians = 1
        yield gaussians
        while 2 * gaussians <= most:
            self.mixtures, gaussians = self.mixtures.split(), 2 * gaussians
            yield gaussians

    def align(self) -> None:
        """Align the corpus anew."""
        self._chunks = None
        self.alignment = self.sentences.align(self.frames, self.mixtures.scorer().nearest)

    def update(self) -> None:
        """Fit the mixtures to the alignment."""
        for _ in range(EPOCHS if self.mixtures.weights.shape[1] > 1 else 1):
            self.mixtures = self.mixtures.update(self.chunks())

    def silence(self, most: int) -> Mixtures:
        """Silence's mixtures with more Gaussians, doubled up to `most`, along the alignment as it is."""
        columns = torch.from_numpy(self.sentences.topology.silent)
        places = torch.full((self.sentences.topology.columns,), -1).index_copy(0, columns, torch.arange(len(columns)))

        def chunks() -> Iterator[Chunks]:
            for frames, owners in self.blocks():
                here = (silent := places[owners]) >= 0
                if here.any():
                    yield Chunks.of(frames[here], silent[here])

        kept = list(chunks()) if len(self.alignment) <= KEPT else None
        found = Mixtures(*(tensor[columns] for tensor in vars(self.mixtures).values()))
        while 2 * found.weights.shape[1] <= most:
            found = found.split()
            for _ in range(EPOCHS):
                found = found.update(kept or chunks())
        return found

    def decorrelate(self) -> None:
        """One step of MLLT."""
        step = mllt(self.mixtures, self.chunks())
        self._chunks = None
        self.transform = step if self.transform is None else step @ self.transform
        self.frames = self.frames.map(self.frames.path, lambda frames: frames @ step.T)
        moved = self.mixtures.means @ step.T
        self.mixtures = Mixtures(self.mixtures.weights, moved, self.mixtures.variances)
        self.update()

    def log_likelihood(self) -> float:
        """Per frame, on some frames."""
        end = min(BLOCK, len(self.alignment))
        step = max(1, end // SCORED_FRAMES)
        frames, columns = self.frames.slice(0, end, step), torch.from_numpy(self.alignment[:end:step])
        return float(self.mixtures.log_likelihoods(frames).gather(1, columns.unsqueeze(1)).mean())


class Fit(Protocol):
    """How a stage of mixtures is trained."""

    def __call__(
        self,
        folder: Path,
        mel: Energies,
        sentences: Sentences,
        start: Start,
        config: GmmConfig,
        realign: bool,
        report: Report,
    ) -> Stage:
        """Train.

        Args:
            folder: To work in.
            mel: Log-mel energies of the corpus, plain or as heard.
            sentences: Their topology is the stage's.
            start: Gives the alignments of utterances to start from, in the topology's columns.
            config: Sizes.
            realign: Whether to search the alignment again on the way; not where noise would lead it astray.
            report: Told of each number of Gaussians.
        """


def _near_speech(paths: Sequence[Alignment], topology: Topology, cut: bool) -> tuple[list[Alignment], list[slice]]:
    """Alignments without silence far from what is said, and the frames of each utterance that they are of; or all of them."""
    kept = [with_margins(path, topology.silent) if cut else slice(0, len(path)) for path in paths]
    return [path[part] for path, part in zip(paths, kept, strict=True)], kept


def monophone(
    folder: Path, mel: Energies, sentences: Sentences, start: Start, config: GmmConfig, realign: bool, report: Report
) -> Stage:
    """A mixture for each state of each phoneme, over MFCC with deltas.

    So few states need little speech: where the alignment is searched, only some utterances are trained on, without silence far
    from what is loud.
    """
    make, path, topology = features_of(config, None), folder / "features.f32", sentences.topology
    numbers = mel.some(round(60 / FRAME_SHIFT * config.monophone_minutes)) if realign else range(len(mel))
    columns, kept = _near_speech(start(numbers), topology, realign)
    some = each(make, (mel[number] for number in numbers))
    frames = write_frames(path, (values[part] for values, part in zip(some, kept, strict=True)))
    flat = Mixtures.flat(topology.columns, 3 * config.mfcc)
    training = Training(sentences.some(numbers) if realign else sentences, frames, np.concatenate(columns), flat)
    training.update()
    for gaussians in training.growing(config.monophone_gaussians):
        for _ in range(config.iterations):
            if realign:
                training.align()
            training.update()
        report(gaussians, training.log_likelihood())
    if realign:
        training.sentences, training.frames = sentences, mel.map(path, make)
        training.align()
    silence = training.silence(config.silence_gaussians)
    path.unlink()
    return Stage(topology, training.mixtures, silence, None, training.alignment)


def triphone(
    folder: Path, mel: Energies, sentences: Sentences, start: Start, config: GmmConfig, realign: bool, report: Report
) -> Stage:
    """A mixture for each tied state, over spliced MFCC under LDA and MLLT.

    Where the alignment is searched, silence far from speech is left out: it has been found, and would take half of the time.
    """
    topology, paths = sentences.topology, start(range(len(mel)))
    columns, kept = _near_speech(paths, topology, realign)

    def features(transform: Tensor) -> Iterator[Tensor]:
        return (values[part] for values, part in zip(each(features_of(config, transform), mel), kept, strict=True))

    spliced = features(torch.eye(config.mfcc * (2 * config.splice + 1)))
    first = lda(zip(spliced, map(torch.from_numpy, columns), strict=True), topology.columns, config.dimensions)
    frames = write_frames(folder / "features.f32", features(first))
    training = Training(sentences, frames, np.concatenate(columns), Mixtures.flat(topology.columns, config.dimensions))
    for gaussians in training.growing(config.gaussians if realign else config.noisy_gaussians):
        training.update()
        if gaussians <= MOST_MLLT:
            training.decorrelate()
        if realign and gaussians > 1:
            training.align()
        training.update()
        report(gaussians, training.log_likelihood())
    silence = training.silence(config.silence_gaussians)
    training.frames.remove()
    assert training.transform is not None, "it is decorrelated with one Gaussian"
    for path, part, found in zip(paths, kept, training.frames.cut(training.alignment), strict=True):
        path[part] = found
    return Stage(topology, training.mixtures, silence, training.transform @ first, np.concatenate(paths))


def grown(plain: Energies, before: Stage, config: GmmConfig, settings: TreeConfig) -> Topology:
    """The phonemes with the decision tree that a stage's alignment gives."""
    phonemes = before.topology.tied(None)
    make = before.features(config)
    features = each(lambda heard: make(heard).numpy(), plain)
    contexts = Contexts.gather(before.topology, zip(features, plain.cut(before.alignment), strict=True))
    return phonemes.tied(grow(contexts, phonemes, settings.columns, settings.least_frames, settings.least_gain))
