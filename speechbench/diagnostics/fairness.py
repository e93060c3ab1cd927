"""Whether two trainings may be compared: every difference in data, text, augmentation, effort and software."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from speechbench import manifest
from speechbench.diagnostics.scored import noise_source
from speechbench.files import sha256
from speechbench.run import Run

# What a setting is about, by a word in its name; the first that fits. All other settings are of the model.
ABOUT = (
    ("augmentation", ("augment", "speeds")),
    ("text", ("language_model", "lexicon", "pronunciations", "stress")),
    ("training", ("training", "epochs", "batch", "learning_rate", "weight_decay", "dropout", "iterations", "seed")),
    ("search", ("beam",)),
)
TEXTS = ("language_model.arpa", "lexicon.txt")
Difference = dict[str, Any]


def list_differences(newer: Run, older: Run) -> list[Difference]:
    """What differs between two trainings, so that a reader can tell what a change of the error is due to.

    Returns:
        Rows of `about` ("mode", "data", "text", "augmentation", "training", "search", "model", "tuning", "software"),
        `name`, and the value of the `newer` and the `older` run; None where one has no such thing. Of two modes, whose models
        and searches have nothing to be compared by, only those of their settings that both have are listed.
    """
    settings = [dict(_flatten(_in_use(config))) for config in (newer.config, older.config)]
    shared = settings[0].keys() & settings[1].keys()
    return [
        *_differ("mode", {"mode": newer.mode}, {"mode": older.mode}),
        *_differ("data", _data(newer), _data(older)),
        *_differ("text", _texts(newer), _texts(older)),
        *(
            row
            for row in _differ("", *settings)
            if newer.mode == older.mode or row["about"] not in ("model", "search") or row["name"] in shared - {"mode"}
        ),
        *_differ("tuning", {"looks at dev": newer.dev_looks()}, {"looks at dev": older.dev_looks()}),
        *_differ("software", newer.provenance.get("versions", {}), older.provenance.get("versions", {})),
    ]


def _differ(about: str, newer: Mapping[str, Any], older: Mapping[str, Any]) -> Iterator[Difference]:
    for name in dict.fromkeys([*newer, *older]):
        if newer.get(name) != older.get(name):
            yield {"about": about or _about(name), "name": name, "newer": newer.get(name), "older": older.get(name)}


def _about(name: str) -> str:
    return next((about for about, words in ABOUT if any(word in name for word in words)), "model")


def _in_use(config: Mapping[str, Any]) -> dict[str, Any]:
    """A pipeline's config without the acoustic model that it does not have."""
    unused = {"ctc"} if config.get("acoustic", "ctc") != "ctc" else set()
    return {key: value for key, value in config.items() if key not in unused}


def _flatten(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _data(run: Run) -> dict[str, Any]:
    manifests = run.provenance.get("manifests", {})
    facts = {
        f"{name} {key}": value
        for name, row in manifests.items()
        for key, value in row.items()
        if key in ("utterances", "seconds")
    }
    facts |= {f"{name} content": row["sha256"][:12] for name, row in manifests.items() if "sha256" in row}
    train = manifests.get("train", {})
    path = Path(train.get("path", ""))
    if path.is_file() and sha256(path) == train.get("sha256"):  # else it is not what the run was trained on
        utterances = manifest.read(path).utterances
        sources = [source for u in utterances if (source := noise_source(u)) is not None]
        speakers = {u.speaker for u in utterances if u.speaker}
        facts |= {
            "train speakers": len(speakers),
            "train utterances in noise": len(sources),
            "train noise sources": len(set(sources)),
        }
    return facts


def _texts(run: Run) -> dict[str, str]:
    return {name: sha256(run.path / name)[:12] for name in TEXTS if (run.path / name).is_file()}
