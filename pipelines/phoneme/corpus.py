"""Training speech as features in files, so that its hours need no memory. T frames, F features."""

from __future__ import annotations

import os
from collections.abc import Hashable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import soxr
import torch
from torch import Tensor

from pipelines.batches import extract
from pipelines.frames import Frames
from pipelines.phoneme.align import Alignment
from pipelines.phoneme.heard import BANDS, Energies, all_cepstra, energies
from pipelines.speakers import Listener
from speechbench import files
from speechbench.audio import SAMPLING_RATE, Samples
from speechbench.errors import AudioError, SpeechbenchError
from speechbench.features import Moments
from speechbench.lexicon import Lexicon
from speechbench.manifest import Manifest, Skipped, Utterance
from speechbench.progress import say

INDEX, SKIPPED, SPEAKERS, HEARD, PLAIN = "utterances.json", "skipped.json", "speakers.json", "heard.f32", "plain.f32"


@dataclass(frozen=True)
class Spoken:
    """An utterance that can be trained on."""

    id: str
    words: list[str]
    speaker: str | None
    frames: list[int]  # T, as it is and then at each speed
    plain: int  # the number of the speech without noise, which several utterances may share


class Corpus:
    """Utterances that can be trained on, with their log-mel energies as they sound and, for synthesised ones, without noise.

    Attributes:
        spoken: The utterances.
        heard: As they sound.
        plain: Without noise, once each; where nothing is synthesised, as they sound.
        said: The first utterance with each of the plain.
        at_speeds: Copies at other speeds, of the utterances as they sound.
    """

    def __init__(self, folder: Path) -> None:
        self.spoken = [Spoken(**row) for row in files.read_json(folder / INDEX)]
        self._speakers = files.read_json(folder / SPEAKERS)  # of each file, by speaker
        firsts = {one.plain: one for one in reversed(self.spoken)}
        self.said = [firsts[number] for number in range(len(firsts))]
        self.heard = self._open(folder / HEARD, self.spoken, 0)
        self.plain = self._open(folder / PLAIN, self.said, 0) if (folder / PLAIN).exists() else self.heard
        speeds = len(self.spoken[0].frames)
        self.at_speeds = [self._open(folder / _at_speed(place), self.spoken, place) for place in range(1, speeds)]

    def _open(self, path: Path, spoken: Sequence[Spoken], place: int) -> Energies:
        speakers = {speaker: Moments(*map(torch.tensor, moments)) for speaker, moments in self._speakers[path.name].items()}
        frames = Frames(path, [one.frames[place] for one in spoken], BANDS)
        return Energies(frames, [speakers.get(one.speaker or "") for one in spoken])

    def as_heard(self, alignment: Alignment) -> list[Alignment]:
        """An alignment of the plain speech as one of each utterance that it sounds in."""
        paths = self.plain.cut(alignment)
        return [paths[one.plain] for one in self.spoken]


def _at_speed(place: int) -> str:
    return f"heard-{place}.f32"


def load(folder: Path, manifest: Manifest, lexicon: Lexicon, states: int, speeds: Sequence[float], skipped: Skipped) -> Corpus:
    """The corpus of a training manifest, from its audio or, where it was made before, from its folder.

    Args:
        folder: To make.
        manifest: With texts.
        lexicon: Of the texts' words.
        states: Per phoneme; each takes a frame.
        speeds: Of further copies, 1.1 for a tenth faster (Ko et al. 2015).
        skipped: Takes the utterances whose audio cannot be used or is too short for the text.

    Raises:
        SpeechbenchError: No utterance is left; an utterance and its clean twin differ in length.
    """
    if folder.exists():
        for utterance_id, reason in files.read_json(folder / SKIPPED).items():
            skipped.add(utterance_id, AudioError(reason))
    else:
        with files.writing_folder(folder) as aside:
            before = set(skipped.reasons)
            _write(aside, manifest, lexicon, states, speeds, skipped)
            files.write_json(aside / SKIPPED, {key: why for key, why in skipped.reasons.items() if key not in before})
    return Corpus(folder)


def _write(folder: Path, manifest: Manifest, lexicon: Lexicon, states: int, speeds: Sequence[float], skipped: Skipped) -> None:
    def at_all_speeds(samples: Samples) -> list[Tensor]:
        return [energies(samples), *(energies(at_speed(samples, speed)) for speed in speeds)]

    spoken: list[Spoken] = []
    known: dict[Hashable, tuple[int, int]] = {}  # the number of speech without noise, and its frames
    speed_names = [_at_speed(place) for place in range(1, len(speeds) + 1)]
    streams = {name: (folder / name).open("wb") for name in (HEARD, PLAIN, *speed_names)}
    listeners = {name: Listener() for name in streams}
    twins = False
    try:
        for utterance, (heard, *others) in extract(manifest, at_all_speeds, skipped, "features of train", threaded=True):
            if len(heard) < shortest(utterance.words, lexicon, states):
                skipped.add(utterance.id, AudioError(f"{len(heard)} frames are too few for the phonemes of '{utterance.text}'"))
                continue
            twin = clean_twin(utterance, manifest)
            twins = twins or twin is not None
            clean = twin or utterance
            said = (clean.audio_filepath, clean.offset, clean.duration, clean.text, clean.speaker)
            copies = dict(zip(speed_names, others, strict=True))
            written = {HEARD: heard, **copies}
            if said not in known:
                written[PLAIN] = heard if twin is None else plain_energies(twin, heard)
                known[said] = len(known), len(written[PLAIN])
            number, frames = known[said]
            if frames != len(heard):
                raise SpeechbenchError(
                    f"{utterance.id}: {len(heard)} frames, but its clean twin has {frames}; synthesise it again"
                )
            for name, values in written.items():
                streams[name].write(values.numpy().tobytes())
                listeners[name].hear(utterance.speaker, all_cepstra(values))
            lengths = [len(heard), *map(len, copies.values())]
            spoken.append(Spoken(utterance.id, utterance.words, utterance.speaker, lengths, number))
    finally:
        for stream in streams.values():
            stream.close()
    if not spoken:
        raise SpeechbenchError(f"{manifest.name}: no utterance is left to train on")
    if not twins:
        (folder / PLAIN).unlink()
        spoken = [replace(one, plain=number) for number, one in enumerate(spoken)]
    speakers = {
        name: {speaker: [moment.tolist() for moment in moments] for speaker, moments in listener.speakers().items()}
        for name, listener in listeners.items()
    }
    files.write_json(folder / SPEAKERS, speakers)
    files.write_json(folder / INDEX, [asdict(one) for one in spoken])


def shortest(words: Sequence[str], lexicon: Lexicon, states: int) -> int:
    """The fewest frames that words can take: one for each state."""
    return sum(min(map(len, lexicon[word])) for word in words) * states


def at_speed(samples: Samples, speed: float) -> Samples:
    """The same speech faster and higher, or slower and lower: (N,) -> (N / speed,)."""
    changed: Samples = soxr.resample(samples, SAMPLING_RATE * speed, SAMPLING_RATE).astype(np.float32)
    return changed


def clean_twin(utterance: Utterance, manifest: Manifest) -> Utterance | None:
    """The clean speech under a synthesised utterance; None for other utterances."""
    name = utterance.extra.get("clean_filepath")
    if not isinstance(name, str) or manifest.path is None:
        return None
    path = Path(os.path.abspath(manifest.path.parent / name))  # noqa: PTH100 - links are kept, as in manifests
    return replace(utterance, audio_filepath=path, offset=float(utterance.extra.get("clean_offset", 0.0)))


def plain_energies(twin: Utterance, heard: Tensor) -> Tensor:
    """Those of a clean twin; as it sounds, with a word, where the twin cannot be read."""
    try:
        return energies(twin.samples())
    except AudioError as error:
        say(f"{twin.id}: taken as it sounds, for its clean twin cannot be used: {error}")
        return heard
