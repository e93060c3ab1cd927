"""Cards: what a corpus is, where to get it and how it lies on disk, one TOML file each in datasets/."""

from __future__ import annotations

import os
import re
import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import speechbench
from speechbench import config
from speechbench.errors import SpeechbenchError, unknown_name
from speechbench.files import read_text
from speechbench.layouts import LAYOUTS, Layout


@dataclass(frozen=True)
class Text:
    """What is done to a corpus's texts."""

    normalizer: Literal["none", "plain"] = "plain"  # as in `score`: "plain" folds case, drops punctuation but apostrophes
    # A regular expression; texts that hold a match are dropped: stage directions, and signs that no lexicon can read.
    drop: str = r"[\[\](){}<>#*\d]"


@dataclass(frozen=True)
class Card:
    """What a corpus is, where to get it, and how it lies on disk."""

    name: str = ""
    description: str = ""
    kind: Literal["speech", "noise"] = "speech"
    licence: str = ""
    source: str = ""  # where to get it
    language: str = ""  # of the speech, for example "en"
    hours: float = 0.0
    utterances: int = 0
    splits: tuple[str, ...] = ()  # that it ships with
    places: tuple[str, ...] = ()  # folders where it usually lies, below one of `bases`; none named: the card's name
    values: dict[str, str] = field(default_factory=dict)  # keys of every utterance for which the layout says nothing
    source_prefix: str | None = None  # of noise sources, so that no two corpora share a name by chance; None: name and "-"
    text: Text = Text()
    generator: str = ""  # what makes it, for a corpus that is made and not found
    layout: Layout | None = None  # its reader, for a corpus that is found
    options: dict[str, Any] = field(default_factory=dict)  # of the generator

    def __post_init__(self) -> None:
        try:
            re.compile(self.text.drop)
        except re.error as error:
            raise ValueError(f"'text.drop' is no regular expression: {error}") from error


def datasets_folder() -> Path:
    """The folder with the cards: inside the installed package, beside it in a checkout."""
    package = Path(speechbench.__file__).parent
    return next(folder for folder in (package / "datasets", package.parent / "datasets") if folder.is_dir())


def names() -> list[str]:
    """The names of all cards."""
    return sorted(path.stem for path in datasets_folder().glob("*.toml"))


def load(name: str) -> Card:
    """A card by its name in datasets/, or by the path of a TOML file of the user's.

    Raises:
        SpeechbenchError: An unknown name (with the nearest known ones), or a card with a fault.
    """
    own = name.endswith(".toml")
    if not own and name not in names():
        raise SpeechbenchError(f"{unknown_name('corpus', name, names())}; or name a card of your own, a .toml file")
    path = Path(name) if own else datasets_folder() / f"{name}.toml"
    try:
        document = tomllib.loads(read_text(path))
    except tomllib.TOMLDecodeError as error:
        raise SpeechbenchError(f"{path}: not TOML: {error}") from error
    parts = {key: document.pop(key, None) for key in ("layout", "options")}
    card = config.build(Card, {"name": path.stem, **document}, str(path))
    layout = _layout(parts["layout"], path) if parts["layout"] else None
    if (layout is None) == (not card.generator):
        raise SpeechbenchError(f"{path}: expected either a table [layout] with its reader or a generator")
    return replace(card, layout=layout, options=parts["options"] or {})


def _layout(options: dict[str, Any], path: Path) -> Layout:
    reader = str(options.pop("reader", ""))
    if reader not in LAYOUTS:
        raise SpeechbenchError(f"{path}: {unknown_name('layout.reader', reader, LAYOUTS)}")
    return config.build(LAYOUTS[reader], options, str(path))


def bases() -> list[Path]:
    """The folders in which corpora are looked for: $SPEECHBENCH_DATA, ./data and ~/data."""
    named = os.environ.get("SPEECHBENCH_DATA")
    return [*([Path(named)] if named else []), Path("data"), Path.home() / "data"]


def places(card: Card) -> list[Path]:
    """Where the corpus is looked for."""
    return [base / place for base in bases() for place in card.places or (card.name,)]


def find(card: Card) -> Path | None:
    """Where the corpus lies, or None."""
    return next((place for place in places(card) if place.is_dir()), None)
