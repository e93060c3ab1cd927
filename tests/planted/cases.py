"""The planted faults: for each one the cause that was planted, the run that is diagnosed, and the sets it is diagnosed with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

HEALTHY = "none"
SPEECH = {name: f"speech/{name}.jsonl" for name in ("train", "train-dev", "dev")}
TEST = {"test": "speech/test.jsonl"}
IN_CAR = {name: f"car/{name}/manifest.jsonl" for name in ("train", "train-dev", "dev", "test")}
QUIET_CAR = {name: path.replace("car/", "quiet-car/", 1) for name, path in IN_CAR.items()}
HELD_OUT = {name: f"held-out/{name}.jsonl" for name in ("train", "train-dev")}  # of the same speakers and cars
ONE_RECORDING = {name: f"one-recording/{name}/manifest.jsonl" for name in ("train", "train-dev", "dev")}
HUMAN, HUMAN_IN_NOISE = "0.005", "0.02:0.05"  # assumed; nobody has listened


@dataclass(frozen=True)
class Training:
    """A run: its training set and what is set for it; everything is relative to the seed's folder."""

    train: str = SPEECH["train"]
    dev: str = SPEECH["dev"]  # on a third of which the decoding weights are chosen
    text: str = "text.txt"  # of the language model
    settings: tuple[str, ...] = ("acoustic=triphone",)


@dataclass(frozen=True)
class Case:
    """One fault, or none, in otherwise healthy runs and sets."""

    name: str
    cause: str  # that diagnose must name first: a code of docs/diagnose.md
    run: str = "clean"
    sets: Mapping[str, str] = field(default_factory=lambda: SPEECH)
    ladder: bool = False
    human: str = HUMAN
    most: str = "40"  # utterances for ladder and stages


TRIPHONE = "acoustic=triphone"
TRAININGS = {
    "clean": Training(),
    "one-recording": Training(ONE_RECORDING["train"], ONE_RECORDING["train-dev"]),
    "tiny": Training(settings=("acoustic=monophone", "gmm.monophone_gaussians=1", "gmm.mfcc=3", "gmm.dimensions=9")),
    "short": Training(settings=("acoustic=monophone", "gmm.iterations=1", "gmm.monophone_minutes=0.5")),
    "two-speakers": Training("two-speakers/train.jsonl", settings=(TRIPHONE, "gmm.gaussians=32", "tree.least_frames=8")),
    "lacks-words": Training("lacks-words/train.jsonl", "lacks-words/train-dev.jsonl", "lacks-words/text.txt"),
    "starved": Training(text="starved.txt"),
    "narrow-beam": Training(settings=(TRIPHONE, "beam=1.5")),
    "leaked": Training(HELD_OUT["train"], IN_CAR["dev"], "leaked.txt"),
    "in-car": Training(QUIET_CAR["train"], QUIET_CAR["dev"]),
}


def _speech(**changed: str) -> dict[str, str]:
    return SPEECH | {name.replace("_", "-"): path for name, path in changed.items()}


def _dev(folder: str) -> dict[str, str]:
    return _speech(dev=f"{folder}/dev/manifest.jsonl")


FAULTS = (
    Case("never heard noise", "noise", sets=_dev("quiet-car"), ladder=True),
    Case("never heard a room", "room", sets=_dev("room"), ladder=True),
    Case("too quiet for 16 bits", "level", sets=_dev("quiet"), ladder=True),
    Case("5 % wrong transcripts", "labels", sets=_speech(dev="wrong/dev.jsonl", test="wrong/test.jsonl")),
    Case("a bad microphone", "speaker", sets=_speech(dev="bad-speaker/dev.jsonl")),
    Case(
        "words not in the lexicon",
        "lexicon",
        "lacks-words",
        _speech(train="lacks-words/train.jsonl", train_dev="lacks-words/train-dev.jsonl"),
    ),
    Case("language model of 15 sentences", "language_model", "starved"),
    Case("too narrow a beam", "search", "narrow-beam"),
    Case("language model fitted to dev", "dev_overfitting", "leaked", IN_CAR | HELD_OUT, human=HUMAN_IN_NOISE),
    Case("too small a model", "avoidable_bias", "tiny"),
    Case("trained on half a minute", "avoidable_bias", "short"),
    Case("trained on two speakers", "variance", "two-speakers", _speech(train="two-speakers/train.jsonl")),
    Case(
        "trained under one recording of noise",
        "unseen_source",
        "one-recording",
        ONE_RECORDING,
        ladder=True,
        human=HUMAN_IN_NOISE,
        most="120",
    ),
)
CONTROLS = (
    Case("clean", HEALTHY, sets=SPEECH | TEST),
    Case("clean, sets in turn", HEALTHY, sets=_speech(train_dev=SPEECH["dev"], dev=TEST["test"], test=SPEECH["train-dev"])),
    Case(
        "clean, sets in turn again", HEALTHY, sets=_speech(train_dev=TEST["test"], dev=SPEECH["train-dev"], test=SPEECH["dev"])
    ),
    Case("trained in the car", HEALTHY, "in-car", QUIET_CAR, ladder=True, human="0.01"),
    Case(
        "trained in the car, sets in turn",
        HEALTHY,
        "in-car",
        QUIET_CAR | {"dev": QUIET_CAR["test"], "test": QUIET_CAR["dev"]},
        ladder=True,
        human="0.01",
    ),
    Case(
        "clean, dealt anew (1)",
        HEALTHY,
        sets=_speech(**{name: f"dealt-1/{name}.jsonl" for name in ("train-dev", "dev", "test")}),
    ),
    Case(
        "clean, dealt anew (2)",
        HEALTHY,
        sets=_speech(**{name: f"dealt-2/{name}.jsonl" for name in ("train-dev", "dev", "test")}),
    ),
    Case(
        "clean, dealt anew (3)",
        HEALTHY,
        sets=_speech(**{name: f"dealt-3/{name}.jsonl" for name in ("train-dev", "dev", "test")}),
    ),
)
CASES = FAULTS + CONTROLS
