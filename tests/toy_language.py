"""A toy language that any recogniser must learn: each sound of a word is a pair of tones of its own."""

from pathlib import Path

import numpy as np

from speechbench import audio
from speechbench.cli import speechbench as command_line
from speechbench.lexicon import pronounce
from speechbench.manifest import Manifest, Utterance

RATE = audio.SAMPLING_RATE
WORDS = ("cat", "dog", "fish", "milk", "zebra", "yellow")
FIRST = (300, 500, 750, 1050, 1450)  # Hz
SECOND = (1900, 2500, 3250, 4200, 5400)


def sound(number: int, seconds: float, rng: np.random.Generator) -> audio.Samples:
    """Two tones with soft edges, a little out of tune."""
    time = np.arange(round(seconds * RATE)) / RATE
    tones = (FIRST[number % len(FIRST)], SECOND[number // len(FIRST) % len(SECOND)])
    wave = sum(np.sin(2 * np.pi * tone * rng.uniform(0.99, 1.01) * time) for tone in tones)
    return (0.2 * wave * np.minimum(1, np.minimum(time, time[-1] - time) / 0.008)).astype(np.float32)


def speak(words: list[str], by: str, rng: np.random.Generator) -> audio.Samples:
    """The words' phonemes or characters as sounds, with a pause around each word."""
    spelled = {word: tuple(word) for word in WORDS} if by == "characters" else {w: p[0] for w, p in pronounce(WORDS).items()}
    sounds = sorted({unit for units in spelled.values() for unit in units})

    def pause() -> audio.Samples:
        return np.zeros(round(rng.uniform(0.08, 0.15) * RATE), np.float32)

    pieces = [pause()]
    for word in words:
        pieces += [sound(sounds.index(unit), rng.uniform(0.09, 0.13), rng) for unit in spelled[word]] + [pause()]
    wave = np.concatenate(pieces)
    return np.clip(wave + rng.normal(0, 0.003, wave.size), -1, 1).astype(np.float32)


def make_corpus(folder: Path, name: str, utterances: int, by: str, seed: int = 0) -> Path:
    """A manifest of so many utterances of one to four words."""
    rows = []
    for number in range(utterances):
        rng = np.random.default_rng([seed, number])
        words = rng.choice(WORDS, size=rng.integers(1, 5)).tolist()
        path, samples = folder / name / f"{name}-{number:02d}.flac", speak(words, by, rng)
        audio.write(path, samples)
        rows.append(Utterance(path.stem, path, samples.size / RATE, text=" ".join(words)))
    Manifest(tuple(rows)).write(folder / f"{name}.jsonl")
    return folder / f"{name}.jsonl"


def run(*arguments: object) -> None:
    """The command line, in this process; an error of the user's is raised."""
    command_line.main([str(argument) for argument in arguments], standalone_mode=False)


def train(mode: str, manifest: Path, dev: Path, out: Path, *settings: str) -> Path:
    """A run with small settings; `settings` are KEY=VALUE, or flags."""
    flags = [setting for setting in settings if setting.startswith("--")]
    sets = [part for setting in (*SMALL[mode], *settings) if setting not in flags for part in ("--set", setting)] + flags
    run("train", "--mode", mode, "--train", manifest, "--dev", dev, "--out", out, *sets)
    return out


SMALL = {
    "pipeline": (
        "gmm.monophone_gaussians=2",
        "gmm.gaussians=2",
        "gmm.iterations=2",
        "tree.columns=90",
        "network.width=48",
        "network.layers=2",
        "network.epochs=4",
        "network.speeds=[1.1]",
        "network.batch_seconds=4.0",
    ),
    "e2e": (
        "encoder.bands=40",
        "encoder.channels=48",
        "encoder.recurrent=48",
        "encoder.layers=1",
        "encoder.dropout=0.0",
        "augment.frequency_width=4",
        "augment.time_width=4",
        "training.epochs=10",
        "training.batch_seconds=8.0",
        "training.learning_rate=5e-3",
    ),
}
BY_CTC = ("acoustic=ctc", *(f"ctc.{setting}" for setting in SMALL["e2e"]))  # for the pipeline
