"""The sets of noise_sources.py: the same speech under noise of few and of many sources, used once and many times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from speechbench import embedded, files, manifest
from speechbench.errors import SpeechbenchError
from speechbench.manifest import Manifest, Utterance
from speechbench.seeds import generator_of, seed_of
from synth import build, car, recipe

TESTS = ("heard", "seen", "unseen", "clean")
SPEECH = {"train": ("train",), "train-dev": ("train-dev",), "test": ("dev", "test")}  # which splits of the embedded corpus
HELD_OUT_PER_SPEAKER = 15  # utterances of each of the 16 speakers of the test, and of the 8 of train-dev
SECONDS_PER_UTTERANCE = 2.31  # of the embedded corpus, measured
TRAIN_SHARE = 0.6  # of each recording may be trained on, from its start; the rest is "seen"
SHORTEST_STRETCH = 4.0  # s; a source gives few long stretches rather than many short ones: utterances last 2 to 3 s
SHORTEST_RECORDING = 16.0  # s, of a procedural car
CONDITIONS = ("city", "highway", "rain", "parked")  # of a procedural car's recordings; it has three of each
RECORDINGS_PER_CAR = 3 * len(CONDITIONS)
UNSEEN_SOURCES = 32


class Kind(NamedTuple):
    """A noise set: how many sources, and how often each of its seconds is used."""

    sources: int
    uses: int


CLEAN = Kind(0, 0)  # training without noise


@dataclass(frozen=True)
class Study:
    """What varies, and what is the same in all cells."""

    out: Path
    minutes: float  # of speech to train on
    sources: tuple[int, ...]  # each second of their noise is used once
    uses: tuple[int, ...]  # of each second, with `uses_sources` sources
    uses_sources: int
    modes: tuple[str, ...]
    seeds: int
    snr: tuple[float, float]  # dB
    noise: Path | None  # recordings with a source each; None for procedural cars

    @property
    def kinds(self) -> list[Kind]:
        """The noise sets."""
        return list(dict.fromkeys([Kind(n, 1) for n in self.sources] + [Kind(self.uses_sources, n) for n in self.uses]))

    @property
    def most_sources(self) -> int:
        """How many sources the largest noise set has."""
        return max(kind.sources for kind in self.kinds)

    def seconds_of(self, rank: int) -> float:
        """The most seconds that any noise set takes of a source; rank 0 is the source that all sets have."""
        return max(60.0 * self.minutes / kind.uses / kind.sources for kind in self.kinds if rank < kind.sources)


def speak(study: Study) -> None:
    """Make the speech: train, train-dev, and dev and test together as the test."""
    folder = study.out / "speech"
    if files.is_finished(folder, "corpus"):
        return
    files.claim(folder, overwrite=True)
    with files.making(folder, "corpus"):
        speakers = sum(speaker.split == "train" for speaker in embedded.speakers())
        each = max(1, round(60.0 * study.minutes / SECONDS_PER_UTTERANCE / speakers))
        whole = embedded.generate(folder, embedded.Options(each, HELD_OUT_PER_SPEAKER))
        for name, splits in SPEECH.items():
            Manifest(tuple(u for u in whole if u.split in splits)).write(folder / f"{name}.jsonl")
        files.mark(folder, "corpus")


def read_speech(study: Study) -> dict[str, Manifest]:
    """The speech that `speak` made."""
    return {name: manifest.read(study.out / "speech" / f"{name}.jsonl") for name in SPEECH}


def sources_of(study: Study, seed: int) -> list[list[Utterance]]:
    """The recordings of each source that may be trained on; a noise set takes the first so many."""
    if study.noise is not None:
        return _recorded(study.noise, seed)[UNSEEN_SOURCES:]
    found: list[list[Utterance]] = []
    wanted = [study.seconds_of(rank) for rank in range(study.most_sources)]
    for seconds in dict.fromkeys(wanted):  # cars that must give the same are made together
        found += _cars(study.out / "noise" / f"seed{seed}-{len(found)}", wanted.count(seconds), seconds)
    return found


def unseen_sources(study: Study) -> list[list[Utterance]]:
    """The recordings of each source that no cell trains on."""
    if study.noise is not None:
        return _recorded(study.noise, 0)[:UNSEEN_SOURCES]
    return _cars(study.out / "noise" / "unseen", UNSEEN_SOURCES, 0.0)


def _recorded(path: Path, seed: int) -> list[list[Utterance]]:
    """The user's sources: the unseen ones first, the same for all seeds, then the others in an order of the seed's own."""
    by_source: dict[str, list[Utterance]] = {}
    for noise in manifest.read(path):
        if not noise.extra.get("source"):
            raise SpeechbenchError(f"{path}: {noise.id} has no 'source'; the study needs to know which recordings are alike")
        by_source.setdefault(str(noise.extra["source"]), []).append(noise)
    names = [sorted(by_source)[i] for i in generator_of(0, "sources").permutation(len(by_source))]
    others = names[UNSEEN_SOURCES:]
    order = generator_of(seed, "order of sources").permutation(len(others))
    return [by_source[name] for name in names[:UNSEEN_SOURCES] + [others[i] for i in order]]


def _cars(folder: Path, count: int, seconds: float) -> list[list[Utterance]]:
    """Cars with recordings of which at least so many seconds may be trained on."""
    if not files.is_finished(folder, "noise"):
        files.claim(folder, overwrite=True)
        with files.making(folder, "noise"):
            each = max(SHORTEST_RECORDING, 1.05 * seconds / RECORDINGS_PER_CAR / TRAIN_SHARE)  # 5 %: speech may come out longer
            car.generate(folder, seed_of(0, folder.name), 1, count, each).write(folder / "manifest.jsonl")
            files.mark(folder, "noise")
    cars: dict[str, list[Utterance]] = {}
    for noise in manifest.read(folder / "manifest.jsonl"):
        if noise.extra["condition"] in CONDITIONS:
            source = f"{folder.name}-{noise.extra['source']}"  # folders name their cars alike
            own = replace(noise, id=f"{folder.name}-{noise.id}", extra=dict(noise.extra) | {"source": source})
            cars.setdefault(source, []).append(own)
    return list(cars.values())


def heard_stretches(recordings: Sequence[Utterance], seconds: float) -> list[Utterance]:
    """The stretches of one source that are trained on: so many seconds, or all that may be."""
    order = generator_of(0, "recordings", recordings[0].id).permutation(len(recordings))
    count = min(len(recordings), max(1, int(seconds / SHORTEST_STRETCH)))
    return [replace(recordings[i], duration=min(seconds / count, TRAIN_SHARE * recordings[i].duration)) for i in order[:count]]


def other_stretches(recordings: Sequence[Utterance]) -> list[Utterance]:
    """The stretches of one source that no cell trains on."""
    return [
        replace(one, offset=one.offset + TRAIN_SHARE * one.duration, duration=(1 - TRAIN_SHARE) * one.duration)
        for one in recordings
    ]


def mix(study: Study, name: str, speech: Manifest, noise: Sequence[Utterance]) -> None:
    """Speech under noise in sets/<name>; the SNR of an utterance is the same in all sets."""
    folder = study.out / "sets" / name
    if files.is_finished(folder, "synth"):
        return
    listed = folder.with_name(f"{folder.name}.noise.jsonl")
    Manifest(tuple(replace(one, split=None) for one in noise)).write(listed)
    low, high = study.snr
    plan = build.Plan(speech, [listed], recipe.load("plain", [f"snr_db=[{low}, {high}]"]))
    build.build(plan, folder, overwrite=True)


def mix_unseen(study: Study) -> None:
    """The test under noise that no cell trains on."""
    noise = [stretch for recordings in unseen_sources(study) for stretch in other_stretches(recordings)]
    mix(study, "unseen", read_speech(study)["test"], noise)


def mix_kind(study: Study, item: tuple[Kind, int]) -> None:
    """What the cells of one kind and seed train on and are tested on, whatever their mode."""
    kind, seed = item
    speech = read_speech(study)
    chosen = sources_of(study, seed)[: kind.sources]
    if len(chosen) < kind.sources:
        raise SpeechbenchError(f"only {len(chosen)} sources are left to train on; ask for at most so many with --sources")
    seconds = speech["train"].seconds / kind.uses / kind.sources
    heard = [stretch for recordings in chosen for stretch in heard_stretches(recordings, seconds)]
    folder = set_name(kind, seed)
    mix(study, f"{folder}/train", speech["train"], heard)
    mix(study, f"{folder}/train-dev", speech["train-dev"], heard)
    mix(study, f"{folder}/heard", speech["test"], heard)
    mix(study, f"{folder}/seen", speech["test"], [stretch for recordings in chosen for stretch in other_stretches(recordings)])


def set_name(kind: Kind, seed: int) -> str:
    """The folder below sets/ with the speech under noise of a kind."""
    return f"sources{kind.sources}-uses{kind.uses}-seed{seed}"


def training_of(out: Path, kind: Kind, seed: int) -> dict[str, Manifest]:
    """The sets that a cell trains on."""
    names = ("train", "train-dev")
    if kind == CLEAN:
        return {name: manifest.read(out / "speech" / f"{name}.jsonl") for name in names}
    return {name: manifest.read(out / "sets" / set_name(kind, seed) / name / "manifest.jsonl") for name in names}


def tests_of(out: Path, kind: Kind, seed: int) -> dict[str, Manifest]:
    """The sets that a cell is tested on: the same utterances under other noise."""
    paths = {"unseen": out / "sets" / "unseen" / "manifest.jsonl", "clean": out / "speech" / "test.jsonl"}
    if kind != CLEAN:
        paths |= {name: out / "sets" / set_name(kind, seed) / name / "manifest.jsonl" for name in ("heard", "seen")}
    return {name: manifest.read(paths[name]) for name in TESTS if name in paths}
