"""The part of dev whose errors are read (Ear), and the rest (Blackbox): how often Ear was looked at, and whether it is burnt.

Who reads errors mends what he read. Ear is therefore drawn once, at random, and kept; when its error has fallen faster than
that of Blackbox, which nobody reads, the gain on Ear says nothing about other speech any more.

Source: Ng, "Machine Learning Yearning", chapters 17 and 18.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from speechbench.diagnostics.bootstrap import Array, Blocks, Estimate, difference, resample
from speechbench.diagnostics.scored import ScoredSet
from speechbench.errors import SpeechbenchError, name_some
from speechbench.files import read_json, write_json
from speechbench.seeds import generator_of

LARGEST = 0.5  # of dev: Blackbox must be worth asking
CHANCE = 0.05  # of calling a fresh Ear burnt, over all its looks together


@dataclass(frozen=True)
class Look:
    """The errors of a system when the sheet was drawn, by utterance in the order of `Ear.ids`."""

    system: str
    errors: tuple[int, ...]


@dataclass(frozen=True)
class Ear:
    """A dev set in two parts. Its utterances are in the random order in which Ear was drawn: the first `size` are Ear."""

    ids: tuple[str, ...]
    words: tuple[int, ...]  # of the references, by utterance
    size: int
    looks: tuple[Look, ...] = ()

    @classmethod
    def draw(cls, scored: ScoredSet, wrong: int, seed: int) -> Ear:
        """Draw Ear: utterances at random until so many of them have errors, at most half of dev."""
        order = generator_of(seed, "ear").permutation(len(scored.manifest))
        found = np.cumsum(scored.errors[order] > 0)
        size = min(int(np.searchsorted(found, wrong)) + 1, int(LARGEST * len(order)))
        if size < 1 or not found[size - 1]:
            raise SpeechbenchError(
                f"{scored.manifest.name}: the half of it that may be read has no errors; take a larger dev set"
            )
        utterances = [scored.manifest.utterances[number] for number in order]
        words = {key: counts.words for key, counts in scored.score.counts.items()}
        return cls(tuple(u.id for u in utterances), tuple(words[u.id] for u in utterances), size)

    def look(self, scored: ScoredSet, system: str) -> Ear:
        """The same Ear, looked at once more.

        Raises:
            SpeechbenchError: The set holds other utterances.
        """
        counts = scored.score.counts
        if odd := sorted(counts.keys() ^ set(self.ids)):
            raise SpeechbenchError(
                f"{scored.manifest.name}: is not the dev set that Ear was drawn from: {len(odd)} ids differ: {name_some(odd)}; "
                "name another file with --ear for another dev set"
            )
        words = tuple(counts[key].words for key in self.ids)  # references may have been corrected since
        look = Look(system, tuple(counts[key].errors for key in self.ids))
        return replace(self, words=words, looks=(*self.looks, look))

    def parts(self, look: Look) -> tuple[float, float]:
        """The error rates of Ear and of Blackbox."""
        ear, rest = self._blocks(look.errors)
        return ear.rate, rest.rate

    def rate(self, look: Look) -> float:
        """The error rate of the whole dev set."""
        return sum(look.errors) / sum(self.words)

    def fall(self, seed: int = 0) -> Estimate | None:
        """How much more Ear's error has fallen since the first look than Blackbox's (points, as a fraction).

        The parts are halves drawn at random from the same speakers, so utterances are what chance may deal differently.
        """
        if len(self.looks) < 2:
            return None
        change = np.subtract(self.looks[0].errors, self.looks[-1].errors)
        ear, rest = self._blocks(change)
        return difference(resample(ear, generator_of(seed, "ear fall")), resample(rest, generator_of(seed, "blackbox fall")))

    def judge(self, seed: int = 0) -> dict[str, Any]:
        """What a reader must know of Ear.

        Returns:
            `looks`, `utterances`, `ear` and `blackbox` (rates at the last look), `fell_faster_by`, `low`, `high` (None at the
            first look; the interval allows for the number of looks), `burnt`, `sentence`.
        """
        ear, rest = self.parts(self.looks[-1])
        facts = {"looks": len(self.looks), "utterances": self.size, "ear": ear, "blackbox": rest}
        fall = self.fall(seed)
        if fall is None:
            return facts | {
                "fell_faster_by": None,
                "low": None,
                "high": None,
                "burnt": False,
                "sentence": f"First look at Ear: {self.size} of {len(self.ids)} utterances.",
            }
        low, high = fall.interval(1 - CHANCE / (len(self.looks) - 1)) or (None, None)
        burnt = low is not None and low > 0
        said = f"Look {len(self.looks)} at Ear: its error fell by {100 * fall.value:.1f} points more than that of Blackbox"
        said += "; Ear is burnt, draw another." if burnt else ", which can be chance."
        return facts | {"fell_faster_by": fall.value, "low": low, "high": high, "burnt": burnt, "sentence": said}

    def _blocks(self, errors: Sequence[int] | Array) -> tuple[Blocks, Blocks]:
        figures = np.asarray(errors, dtype=np.float64), np.asarray(self.words, dtype=np.float64)
        ear, rest = (
            Blocks("utterance", *(column[part] for column in figures)) for part in (np.s_[: self.size], np.s_[self.size :])
        )
        return ear, rest

    def write(self, path: Path) -> None:
        """Write it whole or not at all."""
        write_json(path, asdict(self))

    @classmethod
    def read(cls, path: Path) -> Ear:
        """Read what `write` wrote.

        Raises:
            SpeechbenchError: The file is missing or is something else.
        """
        document = read_json(path)
        try:
            return cls._of(document)
        except (KeyError, TypeError, ValueError) as error:
            raise SpeechbenchError(
                f"{path}: is no Ear that 'speechbench errors draw' wrote; name its file with --ear"
            ) from error

    @classmethod
    def _of(cls, document: Mapping[str, Any]) -> Ear:
        looks = tuple(Look(look["system"], tuple(map(int, look["errors"]))) for look in document["looks"])
        ear = cls(tuple(document["ids"]), tuple(map(int, document["words"])), int(document["size"]), looks)
        if {len(ear.words), *(len(look.errors) for look in looks)} != {len(ear.ids)} or not 0 < ear.size < len(ear.ids):
            raise ValueError("lengths differ")
        return ear
