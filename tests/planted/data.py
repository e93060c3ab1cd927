"""The data of the planted faults: made with the product's own commands, and then damaged in a known way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy import signal

from speechbench import audio, embedded, manifest
from speechbench.files import write_text
from speechbench.manifest import Manifest
from speechbench.seeds import generator_of

SPLITS = ("train", "train-dev", "dev", "test")
PER_SPEAKER = 15  # utterances
TEXTS_PER_SPEAKER = 100  # of the language model's text, which is another draw from the grammar
LACKING = 12  # words that are taken out of training
STARVED = 15  # sentences of the starved language model
WRONG = 0.05  # share of wrong transcripts
LOWPASS_HZ, HISS_DB = 1000.0, 25.0  # of the bad microphone: what it lets through, and the SNR of its hiss
LEAKS = 20  # times that the leaked language model reads dev's sentences
HELD_OUT = 3  # utterances of each training speaker
CONDITION = "city"  # of the one recording of noise, and of the sets that it is diagnosed with
ONE_RECORDING = ("--snr", "-15:-5")
SPEECH_HZ = 500.0, 4000.0
# By folder, what synth is told beside the noise.
ROOMS = {
    "car": ("--snr", "0:10"),
    "quiet-car": ("--snr", "12:25"),
    "room": ("--set", "noise=0.0", "--set", "cabin.rt60=[0.2,0.3]"),
    "quiet": ("--set", "noise=0.0", "--set", "cabin.count=0", "--set", "level_dbfs=[-82,-76]", "--snr", "0:2"),
}
IN_CARS = ("car", "quiet-car")  # made of every split


def commands(folder: Path, seed: int) -> dict[str, list[str]]:
    """The commands that make speech, noise and cars, in order, by a name for each."""
    speech, noise, cars, chance = folder / "speech", folder / "noise", folder / "cars", ["--seed", str(seed), "--jobs", "1"]
    size = [f"utterances_per_speaker={PER_SPEAKER}", f"held_out_per_speaker={PER_SPEAKER}"]
    return {
        "speech": ["prepare", "embedded", "--out", str(speech), *chance, "--set", size[0], "--set", size[1]],
        "noise": ["prepare", "car_noise", "--out", str(noise), *chance, "--set", "cars=40", "--set", "seconds=10.0"],
        "cars": [
            *("split", str(noise / "manifest.jsonl"), "--out", str(cars), "--by", "source", "--seed", str(seed)),
            *("--fractions", "train=.6,dev=.2,test=.2"),
        ],
    }


def mixes(folder: Path, seed: int) -> dict[str, list[str]]:
    """The commands that lay noise, rooms and levels under the speech."""
    found = {}
    for kind, told in ROOMS.items():
        for number, split in enumerate(SPLITS if kind in IN_CARS else ("dev",)):
            cars = "train" if split == "train-dev" else split
            found[f"{kind}/{split}"] = _mix(folder, split, f"cars/{cars}.jsonl", f"{kind}/{split}", seed + number, told)
    for number, (split, noise) in enumerate({"train": "noise", "train-dev": "noise", "dev": "others"}.items()):
        out = f"one-recording/{split}"
        found[out] = _mix(folder, split, f"one-recording/{noise}.jsonl", out, seed + number, ONE_RECORDING)
    return found


def _mix(folder: Path, split: str, noise: str, out: str, seed: int, told: tuple[str, ...]) -> list[str]:
    speech = ["--speech", str(folder / f"speech/{split}.jsonl"), "--noise", str(folder / noise)]
    return ["synth", *speech, "--out", str(folder / out), "--seed", str(seed), "--jobs", "1", *told]


def damage(folder: Path, seed: int) -> None:
    """Write the manifests and texts of all faults that are no mixes."""
    speech = {split: manifest.read(folder / f"speech/{split}.jsonl") for split in SPLITS}
    texts = [
        text for drawn in embedded.sentences(embedded.Options(TEXTS_PER_SPEAKER, 1), seed + 1000).values() for text in drawn
    ]
    _write_texts(folder / "text.txt", texts)
    _write_texts(folder / "starved.txt", texts[:STARVED])
    _write_texts(folder / "leaked.txt", texts + LEAKS * [u.text or "" for u in speech["dev"]])
    two = sorted({u.speaker or "" for u in speech["train"]})[::20][:2]
    speech["train"].select(lambda u: u.speaker in two).write(folder / "two-speakers/train.jsonl")
    _take_words(folder / "lacks-words", speech, texts, seed)
    for split in ("dev", "test"):
        _confuse(speech[split], seed).write(folder / f"wrong/{split}.jsonl")
    _muffle(speech["dev"], folder / "bad-speaker", seed).write(folder / "bad-speaker/dev.jsonl")
    for number in (1, 2, 3):
        _deal(
            folder / f"dealt-{number}", [u for split in SPLITS[1:] for u in speech[split]], generator_of(seed, "deal", number)
        )


def _write_texts(path: Path, texts: list[str]) -> None:
    write_text(path, "".join(f"{text}\n" for text in texts))


def choose_noise(folder: Path) -> None:
    """One recording of training's cars, the one that masks speech least; dev's cars have others."""
    known, others = (
        manifest.read(folder / f"cars/{split}.jsonl").select(lambda u: u.extra["condition"] == CONDITION)
        for split in ("train", "dev")
    )
    softest = min(known, key=_masking).id
    known.select(lambda u: u.id == softest).write(folder / "one-recording/noise.jsonl")
    others.write(folder / "one-recording/others.jsonl")


def _masking(noise: manifest.Utterance) -> float:
    """The share of the power that lies where most of speech is."""
    frequencies, power = signal.welch(noise.samples(), audio.SAMPLING_RATE, nperseg=1024)
    low, high = np.searchsorted(frequencies, SPEECH_HZ)
    return float(power[low:high].sum() / power.sum())


def hold_out(folder: Path) -> None:
    """A train-dev set of the training's own speakers and cars, and what is left to train on."""
    car = manifest.read(folder / "car/train/manifest.jsonl")
    count: Counter[str] = Counter()
    held = set()
    for utterance in car:
        count[utterance.speaker or ""] += 1
        if count[utterance.speaker or ""] <= HELD_OUT:
            held.add(utterance.id)
    car.select(lambda u: u.id not in held).write(folder / "held-out/train.jsonl")
    car.select(lambda u: u.id in held).write(folder / "held-out/train-dev.jsonl")


def thin(source: Path, target: Path) -> None:
    """Every third utterance, which are enough to choose decoding weights on."""
    utterances = manifest.read(source).utterances[::3]
    Manifest(utterances).write(target)


def _take_words(out: Path, speech: dict[str, Manifest], texts: list[str], seed: int) -> None:
    """Training without some of dev's words: no text and no utterance of train and train-dev has them."""
    counts: dict[str, int] = {}
    for utterance in speech["dev"]:
        for word in set(utterance.words):
            counts[word] = counts.get(word, 0) + 1
    known = sorted(word for word, count in counts.items() if 2 <= count <= 8)
    taken = set(generator_of(seed, "lacking").permutation(known)[:LACKING].tolist())
    keep: Callable[[str], bool] = lambda text: not taken.intersection(text.split())  # noqa: E731
    for split in ("train", "train-dev"):
        speech[split].select(lambda u: keep(u.text or "")).write(out / f"{split}.jsonl")
    _write_texts(out / "text.txt", [text for text in texts if keep(text)])


def _confuse(data: Manifest, seed: int) -> Manifest:
    """Some utterances have each other's transcripts."""
    chosen = generator_of(seed, "wrong", data.name).permutation(len(data))[: round(WRONG * len(data))]
    said = [u.text for u in data]
    texts = dict(zip(chosen.tolist(), (said[number] for number in np.roll(chosen, 1)), strict=True))
    return Manifest(tuple(replace(u, text=texts.get(number, u.text)) for number, u in enumerate(data)))


def _muffle(data: Manifest, out: Path, seed: int) -> Manifest:
    """One speaker's microphone lets only low frequencies through, and hisses."""
    speakers = sorted({u.speaker or "" for u in data})
    speaker = speakers[int(generator_of(seed, "bad microphone").integers(len(speakers)))]
    filters = signal.butter(4, LOWPASS_HZ, fs=audio.SAMPLING_RATE, output="sos")
    utterances = []
    for utterance in data:
        if utterance.speaker == speaker:
            path = out / "audio" / f"{utterance.id}.flac"
            heard = signal.sosfilt(filters, utterance.samples())
            hiss = np.sqrt(np.mean(heard**2)) * 10 ** (-HISS_DB / 20)
            noise = generator_of(seed, "hiss", utterance.id).normal(0.0, hiss, len(heard))
            audio.write(path, (heard + noise).astype(np.float32))
            utterance = replace(utterance, audio_filepath=path.absolute())
        utterances.append(utterance)
    return Manifest(tuple(utterances))


def _deal(out: Path, utterances: list[manifest.Utterance], rng: np.random.Generator) -> None:
    """Other train-dev, dev and test sets of the same held-out speakers."""
    speakers = rng.permutation(sorted({u.speaker or "" for u in utterances})).tolist()
    for number, split in enumerate(SPLITS[1:]):
        chosen = set(speakers[number :: len(SPLITS) - 1])
        Manifest(tuple(u for u in utterances if u.speaker in chosen)).write(out / f"{split}.jsonl")
