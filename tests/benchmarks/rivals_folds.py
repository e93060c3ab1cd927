"""The sets on which recognisers are compared: five folds of two corpora of recordings, clean, and under noise.

Each fold is a folder:

    train, dev, test.jsonl      clean speech
    car/train, car/dev          the same under training noise, with the clean utterances beside (car/train/manifest.jsonl)
    noisy/dev                   dev under training noise at the SNRs of the tests
    noisy/test, noisy/test-10   test under noise of other recordings, at 5 and at 10 dB
    lm.arpa, lexicon.txt        3-gram of the training text, and the pronunciations of its words

picovoice_intent does not publish its speakers, so its folds are by utterance: test is the fold's exact transcripts (grade A);
training is the other four folds whole, without 40 exact ones for tuning. fsdd holds out one speaker a fold, and its dev is
drawn from the training speakers.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from speechbench import manifest
from speechbench.errors import SpeechbenchError
from speechbench.language_model import train_ngram
from speechbench.lexicon import pronounce, write_lexicon
from speechbench.manifest import Manifest, Utterance
from speechbench.seeds import generator_of

FOLDS = 5
DEV_UTTERANCES = {"picovoice_intent": 40, "fsdd": 200}
TRAINING_NOISE = ("car_noise", "noise_esc10", "noise_torcs")
TEST_NOISE = "noise_blanket"  # no recording of it is in the training noise
TEST_CONDITIONS = ("train", "city", "rain")  # the loops of it that a cabin may hear
TEST_SECONDS = 25.0  # of each at most, so that the longest is not the only one heard
TEST_SNR_DB = {"test": 5, "test-10": 10}  # active speech level over noise; over whole files of picovoice_intent 4.4 dB lower

# The tests of a fold, each with the set on which a recogniser's weights are chosen for it.
CONDITIONS = {
    "clean": ("test.jsonl", "dev.jsonl"),
    "noisy-10": ("noisy/test-10/manifest.jsonl", "noisy/dev/manifest.jsonl"),
    "noisy-5": ("noisy/test/manifest.jsonl", "noisy/dev/manifest.jsonl"),
}


@dataclass(frozen=True)
class Sets:
    """Clean speech of one fold."""

    train: Manifest
    dev: Manifest
    test: Manifest


def fold_path(out: Path, corpus: str, number: int) -> Path:
    """The folder of a fold."""
    return out / corpus / str(number)


def make(data: Path, out: Path, corpora: Sequence[str], numbers: Sequence[int]) -> None:
    """Make the folds that are not there yet.

    Args:
        data: Folder that holds each corpus in a folder of its name.
        out: Where to make corpora, noise and folds.
        corpora: Of `DEV_UTTERANCES`.
        numbers: Which folds.
    """
    noise = [_prepare(data, out, name) for name in TRAINING_NOISE]
    unheard = _test_noise(_prepare(data, out, TEST_NOISE))
    for corpus in corpora:
        whole = manifest.read(_prepare(data, out, corpus))
        for number in numbers:
            folder = fold_path(out, corpus, number)
            sets = divide(whole, corpus, number)
            for name, part in vars(sets).items():
                part.write(folder / f"{name}.jsonl")
            texts = [utterance.text or "" for utterance in sets.train]
            train_ngram(texts, folder / "lm.arpa")
            write_lexicon(folder / "lexicon.txt", pronounce(word for text in texts for word in text.split()))
            _mix(folder / "train.jsonl", noise, folder / "car" / "train", "car", "-5:20", keep_clean=True)
            _mix(folder / "dev.jsonl", noise, folder / "car" / "dev", "car", "-5:20")
            _mix(folder / "dev.jsonl", noise, folder / "noisy" / "dev", "plain", "5:10")
            for name, snr_db in TEST_SNR_DB.items():
                _mix(folder / "test.jsonl", [unheard], folder / "noisy" / name, "plain", str(snr_db))


def divide(whole: Manifest, corpus: str, number: int) -> Sets:
    """The clean sets of a fold."""
    test, rest = _by_utterance(whole, number) if corpus == "picovoice_intent" else _by_speaker(whole, number)
    exact = Manifest(tuple(utterance for utterance in rest if utterance.get("grade") in (None, "A")))
    dev = exact.sample(DEV_UTTERANCES[corpus], seed=number)
    return Sets(rest.select(lambda utterance: utterance.id not in dev.by_id), dev, test)


def _by_utterance(whole: Manifest, number: int) -> tuple[Manifest, Manifest]:
    order = generator_of(0, "rivals").permutation(len(whole)).tolist()
    mine = {whole.utterances[index].id for index in order[number::FOLDS]}

    def tested(utterance: Utterance) -> bool:
        return utterance.id in mine and utterance.get("grade") == "A"

    return whole.select(tested), whole.select(lambda utterance: utterance.id not in mine)


def _by_speaker(whole: Manifest, number: int) -> tuple[Manifest, Manifest]:
    speaker = sorted({utterance.speaker or "" for utterance in whole})[number]
    return whole.where(f"speaker={speaker}"), whole.select(lambda utterance: utterance.speaker != speaker)


def _test_noise(path: Path) -> Path:
    chosen = path.with_name("test.jsonl")
    loops = manifest.read(path).select(lambda recording: recording.get("condition") in TEST_CONDITIONS)
    Manifest(tuple(replace(loop, duration=min(loop.duration, TEST_SECONDS)) for loop in loops)).write(chosen)
    return chosen


def _prepare(data: Path, out: Path, name: str) -> Path:
    """The manifest of a corpus or noise card, made where it is not there yet."""
    folder = out / name / "whole"
    if not (folder / "manifest.jsonl").is_file():
        root = ["--root", str(data / name)] if (data / name).is_dir() else []
        _speechbench("prepare", name, *root, "--out", str(folder))
    return folder / "manifest.jsonl"


def _mix(speech: Path, noise: Sequence[Path], out: Path, recipe: str, snr: str, keep_clean: bool = False) -> None:
    if (out / "manifest.jsonl").is_file():
        return
    options = ["--recipe", recipe, "--snr", snr, "--out", str(out), "--jobs", "1"]
    options += [part for path in noise for part in ("--noise", str(path))]
    options += ["--set", "keep_clean=true"] if keep_clean else []
    _speechbench("synth", "--speech", str(speech), *options)


def _speechbench(*arguments: str) -> None:
    command = [sys.executable, "-m", "speechbench", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SpeechbenchError(f"{' '.join(command[2:])}: {done.stderr.strip().splitlines()[-1]}")
