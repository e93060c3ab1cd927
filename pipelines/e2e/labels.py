"""What the heads are taught: labels of utterances, from the manifest, the lexicon and the scenes."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from pipelines.ctc.heads import ConditionHead, Head, Labels, PhonemeHead, SnrHead, SpeakerHead
from pipelines.ctc.items import PHONEMES, least_steps
from pipelines.ctc.network import steps_of
from pipelines.ctc.scenes import Renderer, Scene
from pipelines.e2e.config import HeadsConfig
from speechbench.errors import SpeechbenchError
from speechbench.lexicon import Lexicon, pronounce
from speechbench.manifest import Manifest, Utterance

SPEAKER, CONDITION, SNR = "speaker", "condition", "snr"


@dataclass(frozen=True)
class Classes:
    """All that the labels of a training set can say, kept beside the heads."""

    phonemes: tuple[str, ...] = ()
    speakers: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()
    snr_mean_db: float = 0.0
    snr_spread_db: float = 1.0

    def of_head(self, name: str) -> Any:
        """What a head tells; one that tells the same can start from its weights."""
        return {
            PHONEMES: self.phonemes,
            SPEAKER: self.speakers,
            CONDITION: self.conditions,
            SNR: (self.snr_mean_db, self.snr_spread_db),
        }[name]

    @classmethod
    def of_facts(cls, facts: Mapping[str, Any]) -> Classes:
        """From what `facts` gave, through JSON."""
        values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in facts.items()}
        return cls(**values)

    def facts(self) -> dict[str, Any]:
        """As a JSON document."""
        return asdict(self)


@dataclass(frozen=True)
class Labeller:
    """Gives utterances and scenes their labels, for the heads that are on."""

    config: HeadsConfig
    classes: Classes
    lexicon: Lexicon

    @classmethod
    def of(cls, config: HeadsConfig, train: Manifest, dev: Manifest, renderer: Renderer | None) -> Labeller:
        """From a training set, and the noise that is laid under it.

        Raises:
            SpeechbenchError: A head is on of which no utterance has a label.
        """
        words = {word for manifest in (train, dev) for utterance in manifest for word in utterance.words}
        lexicon = _pronounced(words, config) if config.phonemes else {}
        said = sorted({word for utterance in train for word in utterance.words} & lexicon.keys())
        scenes = list(renderer.scenes(0)) if renderer else []
        heard = [_heard(one) for one in scenes] if renderer else [_noted(utterance) for utterance in train]
        levels = [float(snr_db) for _, snr_db in heard if snr_db is not None]
        classes = Classes(
            tuple(sorted({phoneme for word in said for phoneme in lexicon[word][0]})),
            tuple(sorted({utterance.speaker for utterance in train if utterance.speaker is not None})),
            tuple(sorted({condition for conditions, _ in heard for condition in conditions or ()})),
            statistics.fmean(levels) if levels else 0.0,
            (statistics.pstdev(levels) if levels else 0.0) or 1.0,
        )
        found = {PHONEMES: classes.phonemes, SPEAKER: classes.speakers, CONDITION: classes.conditions, SNR: levels}
        for name, labels in found.items():
            if getattr(config, name) and not labels:
                raise SpeechbenchError(f"{train.name}: no utterance has {WANTED[name]}, which heads.{name} needs; set it to 0")
        return cls(config, classes, lexicon)

    def heads(self, width: int) -> dict[str, Head]:
        """New heads on an encoder of this width."""
        config, classes = self.config, self.classes
        makers: dict[str, Callable[[float], Head]] = {
            PHONEMES: lambda weight: PhonemeHead(width, len(classes.phonemes), weight),
            SPEAKER: lambda weight: SpeakerHead(width, len(classes.speakers), weight),
            CONDITION: lambda weight: ConditionHead(width, len(classes.conditions), weight),
            SNR: lambda weight: SnrHead(width, classes.snr_mean_db, classes.snr_spread_db, weight),
        }
        return {name: make(getattr(config, name)) for name, make in makers.items() if getattr(config, name)}

    def of_utterance(self, utterance: Utterance, frames: int) -> Labels:
        """The labels of an utterance of so many frames, as far as they are known."""
        phonemes = self._phonemes(utterance.words)
        if phonemes is not None and steps_of(frames) < least_steps(phonemes):
            phonemes = None
        speaker = None
        if utterance.speaker in self.classes.speakers:
            speaker = torch.tensor(self.classes.speakers.index(utterance.speaker))
        return self._wanted({PHONEMES: phonemes, SPEAKER: speaker, **self._noise(*_noted(utterance))})

    def of_scene(self, scene: Scene) -> Labels:
        """The labels that the noise of a scene gives."""
        return self._wanted(self._noise(*_heard(scene)))

    def _phonemes(self, words: Sequence[str]) -> Tensor | None:
        """The first pronunciation of each word; None where the lexicon lacks one, or training a phoneme."""
        numbers = {phoneme: number for number, phoneme in enumerate(self.classes.phonemes, start=1)}
        if not all(word in self.lexicon and numbers.keys() >= set(self.lexicon[word][0]) for word in words):
            return None
        return torch.tensor([numbers[unit] for word in words for unit in self.lexicon[word][0]], dtype=torch.long)

    def _noise(self, conditions: Iterable[str] | None, snr_db: float | None) -> dict[str, Tensor | None]:
        present = None if conditions is None else set(conditions)
        return {
            CONDITION: None if present is None else torch.tensor([float(one in present) for one in self.classes.conditions]),
            SNR: None if snr_db is None else torch.tensor(float(snr_db)),
        }

    def _wanted(self, labels: Mapping[str, Tensor | None]) -> Labels:
        return {name: label for name, label in labels.items() if label is not None and getattr(self.config, name)}


WANTED = {
    PHONEMES: "a text that the lexicon can pronounce",
    SPEAKER: "a 'speaker'",
    CONDITION: "a 'condition' in its 'noise'",
    SNR: "an 'snr_db'",
}


def _noted(utterance: Utterance) -> tuple[set[str] | None, float | None]:
    """The noise conditions and the SNR that a manifest tells, as `synth` writes them."""
    noise, snr_db = utterance.get("noise"), utterance.get("snr_db")
    is_known = isinstance(noise, list) and all(isinstance(piece, dict) for piece in noise)
    conditions = {str(piece["condition"]) for piece in noise if piece.get("condition")} if is_known else None
    return conditions, float(snr_db) if isinstance(snr_db, int | float) else None


def _heard(scene: Scene) -> tuple[set[str] | None, float | None]:
    """The same of a scene."""
    return {piece.condition for piece, _ in scene.heard if piece.condition}, scene.snr_db


def _pronounced(words: Iterable[str], config: HeadsConfig) -> Lexicon:
    try:
        return pronounce(words, config.lexicon)
    except ModuleNotFoundError as error:
        raise SpeechbenchError(
            f"heads.phonemes: {error.name} must be installed to pronounce texts, or set heads.lexicon to a file with all words"
        ) from error
