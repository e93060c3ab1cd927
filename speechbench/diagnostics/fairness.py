"""Whether two trainings may be compared: every difference in data, text, augmentation, effort and software."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from speechbench.files import sha256
from speechbench.run import Run

# What a setting is about, by a word in its name; the first that fits. All other settings are of the model.
ABOUT = (
    ("augmentation", ("augment", "speeds", "stretch", "masks", "dropout")),
    ("text", ("language_model", "lexicon", "pronunciations", "stress")),
    ("training", ("training", "epochs", "batch", "learning_rate", "weight_decay", "iterations", "seed")),
    ("search", ("beam",)),
)
TEXTS = ("language_model.arpa", "lexicon.txt")
Difference = dict[str, Any]


def list_differences(newer: Run, older: Run) -> list[Difference]:
    """What differs between two trainings, so that a reader can tell what a change of the error is due to.

    Returns:
        Rows of `about` ("mode", "data", "text", "augmentation", "training", "search", "model", "tuning", "software"),
        `name`, and the value of the `newer` and the `older` run; None where one has no such thing. Of two modes only the
        settings that both have are compared.
    """
    one, other = newer.config, older.config
    settings = [dict(_flatten(config)) for config in (one, other)]
    if newer.mode != older.mode:
        settings = [{key: held[key] for key in held if key in settings[0].keys() & settings[1].keys()} for held in settings]
    rows = [
        *_differ("mode", {"mode": newer.mode}, {"mode": older.mode}),
        *_differ("data", _data(newer), _data(older)),
        *_differ("text", _texts(newer), _texts(older)),
        *_differ("", *settings),
        *_differ("tuning", {"looks at dev": newer.dev_looks()}, {"looks at dev": older.dev_looks()}),
        *_differ("software", newer.provenance.get("versions", {}), older.provenance.get("versions", {})),
    ]
    return [row for row in rows if row["about"] != "model" or row["name"] != "mode"]


def _differ(about: str, newer: Mapping[str, Any], older: Mapping[str, Any]) -> Iterator[Difference]:
    for name in dict.fromkeys([*newer, *older]):
        if newer.get(name) != older.get(name):
            yield {"about": about or _about(name), "name": name, "newer": newer.get(name), "older": older.get(name)}


def _about(name: str) -> str:
    return next((about for about, words in ABOUT if any(word in name for word in words)), "model")


def _flatten(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _data(run: Run) -> dict[str, Any]:
    manifests = run.provenance.get("manifests", {})
    return {f"{name} {key}": value for name, facts in manifests.items() for key, value in facts.items() if key != "path"}


def _texts(run: Run) -> dict[str, str]:
    return {name: sha256(run.path / name)[:12] for name in TEXTS if (run.path / name).is_file()}
