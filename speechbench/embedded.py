"""The embedded corpus: in-car voice commands from a grammar, spoken by synthetic voices, made on the spot.

No speaker, no voice variant and no sentence is in two splits, and every word of the other splits occurs in train.
"""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr

from speechbench import audio, jobs, levels, voices
from speechbench.cards import datasets_folder
from speechbench.errors import SpeechbenchError
from speechbench.files import read_text
from speechbench.manifest import Manifest, Utterance
from speechbench.progress import track
from speechbench.seeds import generator_of

MIN_WORDS, MAX_WORDS = 2, 10
TRIES = 200  # for one sentence, before the grammar counts as exhausted
RATE_WPM = (130, 200)  # of a speaker
PITCH = (25, 75)  # of a speaker, on espeak-ng's scale of 0-100
RATE_VARIATION, PITCH_VARIATION = 0.08, 3.0  # of an utterance around its speaker's
SILENCE = (0.1, 0.3)  # s, before and after
LEVEL_DBFS = (-30.0, -20.0)  # active speech level
PEAK = 0.99


@dataclass(frozen=True)
class Options:
    """How large the corpus is."""

    utterances_per_speaker: int = 50  # in train
    held_out_per_speaker: int = 30  # in the other splits, and never more than in train

    def __post_init__(self) -> None:
        if min(self.utterances_per_speaker, self.held_out_per_speaker) < 1:
            raise ValueError("utterances_per_speaker and held_out_per_speaker are 1 or more")

    def of(self, split: str) -> int:
        """Utterances of each speaker in a split."""
        return self.utterances_per_speaker if split == "train" else min(self.utterances_per_speaker, self.held_out_per_speaker)


@dataclass(frozen=True)
class Speaker:
    """A synthetic voice."""

    name: str
    split: str
    voice: str  # espeak-ng's name
    accent: str
    sex: str
    rate: int  # words a minute
    pitch: int


@dataclass(frozen=True)
class Grammar:
    """Weighted sentences with {slots}, each slot with its options."""

    sentences: tuple[str, ...]
    weights: tuple[float, ...]  # they sum to 1
    slots: Mapping[str, tuple[str, ...]]

    def draw(self, rng: np.random.Generator) -> str:
        """A sentence of `MIN_WORDS` to `MAX_WORDS` words."""
        for _ in range(TRIES):
            text = self.sentences[int(rng.choice(len(self.sentences), p=self.weights))]
            while slot := re.search(r"\{(\w+)\}", text):
                options = self.slots[slot[1]]
                text = text[: slot.start()] + options[int(rng.integers(len(options)))] + text[slot.end() :]
            words = text.split()
            if MIN_WORDS <= len(words) <= MAX_WORDS:
                return " ".join(words)
        raise SpeechbenchError(f"the grammar gives no sentence of {MIN_WORDS} to {MAX_WORDS} words")


@functools.cache
def grammar() -> Grammar:
    """The grammar in datasets/embedded: a file's weight is shared by its sentences."""
    sentences: list[str] = []
    weights: list[float] = []
    slots: dict[str, tuple[str, ...]] = {}
    for path in sorted((datasets_folder() / "embedded").glob("*.toml")):
        document = tomllib.loads(read_text(path))
        if "sentences" in document:
            shares = document["sentences"]
            sentences += shares
            weights += [document["weight"] * share / sum(shares.values()) for share in shares.values()]
            slots |= {name: tuple(options) for name, options in document["slots"].items()}
    return Grammar(tuple(sentences), tuple(weight / sum(weights) for weight in weights), slots)


@functools.cache
def speakers() -> tuple[Speaker, ...]:
    """All speakers; who they are does not depend on the corpus's seed."""
    document = tomllib.loads(read_text(datasets_folder() / "embedded" / "speakers.toml"))
    accents = list(document.pop("accents").items())
    found: list[Speaker] = []
    for split, variants in document.items():
        people = [
            (sex, name)
            for pair in zip(variants["female"], variants["male"], strict=True)
            for sex, name in zip(variants, pair, strict=True)
        ]
        for number, (sex, variant) in enumerate(person for person in people for _ in range(2)):
            accent, voice = accents[number % len(accents)]
            name = f"{accent}-{variant.lower()}"
            rng = generator_of(0, "speaker", name)
            rate, pitch = int(rng.integers(*RATE_WPM, endpoint=True)), int(rng.integers(*PITCH, endpoint=True))
            found.append(Speaker(name, split, f"{voice}+{variant}", accent, sex, rate, pitch))
    return tuple(found)


def sentences(options: Options, seed: int) -> dict[str, list[str]]:
    """The sentences of each speaker, by name: all different, and in train every word that the other splits have.

    Raises:
        SpeechbenchError: More utterances are asked for than the grammar has sentences.
    """
    people = speakers()
    used: set[str] = set()
    train_words: set[str] = set()
    drawn: dict[str, list[str]] = {}
    for speaker in people:  # train comes first
        rng = generator_of(seed, "sentences", speaker.name)
        drawn[speaker.name] = [
            _new(rng, used, None if speaker.split == "train" else train_words) for _ in range(options.of(speaker.split))
        ]
        if speaker.split == "train":
            train_words |= {word for text in drawn[speaker.name] for word in text.split()}
    return drawn


def _new(rng: np.random.Generator, used: set[str], words: set[str] | None) -> str:
    for _ in range(TRIES):
        text = grammar().draw(rng)
        if text not in used and (words is None or words.issuperset(text.split())):
            used.add(text)
            return text
    raise SpeechbenchError(
        "the grammar has too few sentences for so many utterances; ask for fewer with utterances_per_speaker"
    )


def validate(options: Options, seed: int) -> None:
    """See that the corpus can be made, before anything is written or removed.

    Raises:
        SpeechbenchError: espeak-ng is not installed, or the grammar is too small.
    """
    voices.require()
    sentences(options, seed)


def generate(out: Path, options: Options, seed: int = 0, workers: int = 1) -> Manifest:
    """Speak the corpus into `out`/audio; the same bytes for any number of workers.

    Raises:
        SpeechbenchError: espeak-ng is not installed, or the grammar is too small.
    """
    return render(out, speakers(), sentences(options, seed), seed, workers)


def render(out: Path, people: tuple[Speaker, ...], texts: Mapping[str, list[str]], seed: int, workers: int) -> Manifest:
    """Speak each speaker's texts into `out`/audio, a speaker a job."""
    voices.require()
    batches = [(out, speaker, texts[speaker.name], seed) for speaker in people]
    rendered = track(jobs.run(_render_speaker, batches, workers), "speak embedded", len(batches))
    return Manifest(tuple(utterance for utterances in rendered for utterance in utterances))


def _render_speaker(batch: tuple[Path, Speaker, list[str], int]) -> list[Utterance]:
    out, speaker, texts, seed = batch
    ids = [f"{speaker.split}-{speaker.name}-{number:03d}" for number in range(len(texts))]
    chances = [generator_of(seed, "utterance", key) for key in ids]
    lines = [
        voices.Line(
            text,
            speaker.voice,
            round(speaker.rate * rng.uniform(1 - RATE_VARIATION, 1 + RATE_VARIATION)),
            round(speaker.pitch + rng.uniform(-PITCH_VARIATION, PITCH_VARIATION)),
        )
        for text, rng in zip(texts, chances, strict=True)
    ]
    spoken = voices.speak(lines)
    return [
        _finish(out / "audio" / f"{key}.flac", speaker, line, speech, rng)
        for key, line, speech, rng in zip(ids, lines, spoken, chances, strict=True)
    ]


def _finish(path: Path, speaker: Speaker, line: voices.Line, speech: voices.Speech, rng: np.random.Generator) -> Utterance:
    """Resample, put silence around it, set the level, and write it."""
    samples = soxr.resample(speech.samples, speech.sampling_rate, audio.SAMPLING_RATE)
    before, after = (round(rng.uniform(*SILENCE) * audio.SAMPLING_RATE) for _ in range(2))
    samples = np.pad(samples, (before, after))
    gain_db = rng.uniform(*LEVEL_DBFS) - levels.active_speech_level(samples).level_dbfs
    samples *= min(10.0 ** (gain_db / 20.0), PEAK / float(np.abs(samples).max()))
    audio.write(path, samples)
    lead = before / audio.SAMPLING_RATE
    times = {"words": speech.words, "phonemes": speech.phonemes}
    return Utterance(
        id=path.stem,
        audio_filepath=path.absolute(),
        duration=samples.size / audio.SAMPLING_RATE,
        sampling_rate=audio.SAMPLING_RATE,
        text=line.text,
        speaker=speaker.name,
        split=speaker.split,
        extra={
            "accent": speaker.accent,
            "sex": speaker.sex,
            "alignments": {
                kind: [[round(lead + start, 3), round(lead + end, 3), name] for start, end, name in rows]
                for kind, rows in times.items()
            },
        },
    )
