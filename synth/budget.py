"""The noise budget: how much noise there is, how often each second is heard, and from how many sources.

A network can learn one hour of car noise by heart: 10,000 hours of speech over it then train for that hour alone. And
1,000 hours from 10 cars still sound like 10 cars. Both are seen in the planned scenes, before any audio is rendered.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from speechbench.errors import SpeechbenchError, name_some
from synth.noise import NoiseBank, side_of
from synth.scene import Scene, folder_of, read

# Each use of a second comes with other speech, another SNR, cabin and level, so that a few uses still teach something
# new; our choice, to be moved once learning curves over it exist.
MOST_REPEATS = 5.0  # mean uses of the noise seconds in use
# Ng (Machine Learning Yearning, lectures on data synthesis): 10 cars are too few for any number of hours.
FEWEST_SOURCES = 20.0  # effective sources


@dataclass
class Use:
    """What the scenes that passed by use of a noise bank."""

    bank: NoiseBank
    speech_seconds: float = 0.0
    noisy_seconds: float = 0.0  # of speech that has noise
    scenes: int = 0
    snr_db: list[float] = field(default_factory=list)
    stretches: dict[str, array[float]] = field(default_factory=dict)  # per recording: start, end, start, end, ... in its file
    splits: dict[str, set[str]] = field(default_factory=dict)  # per source: splits of the speech above it

    def watch(self, scenes: Iterable[Scene], split_of: dict[str, str | None]) -> Iterator[Scene]:
        """Pass the scenes on and count them; `split_of` gives the split of each clean utterance."""
        for scene in scenes:
            self.scenes += 1
            self.speech_seconds += scene.clean_duration
            if scene.snr_db is not None:
                self.snr_db.append(scene.snr_db)
                self.noisy_seconds += scene.clean_duration
            split = side_of(split_of.get(scene.clean_id))
            for piece, start in scene.heard:
                stretches = self.stretches.get(piece.id)
                if stretches is None:
                    stretches = self.stretches[piece.id] = array("d")
                stretches.extend((start, piece.offset + piece.duration))
                if split is not None:
                    self.splits.setdefault(piece.source, set()).add(split)
            yield scene

    def budget(self, against: Iterable[Path] = ()) -> dict[str, Any]:
        """The document of noise_budget.json, without what rendering measures.

        Args:
            against: Other built folders, for example of the dev set, that shall share no noise with this one.
        """
        source_of = {noise.id: noise.source for noise in self.bank.recordings}
        seconds: dict[str, float] = {}
        unique = used = 0.0
        most = 0
        for name, stretches in self.stretches.items():
            length, cover, repeats = _overlay(stretches)
            used, unique, most = used + length, unique + cover, max(most, repeats)
            seconds[source_of[name]] = seconds.get(source_of[name], 0.0) + length
        shares = np.array(list(seconds.values())) / used if used else np.zeros(0)
        document: dict[str, Any] = {
            "utterances": self.scenes,
            "speech_seconds": round(self.speech_seconds, 3),
            "noise_seconds_available": round(self.bank.seconds, 3),
            "noise_seconds_used": round(used, 3),
            "unique_noise_seconds_used": round(unique, 3),
            "repeats_mean": round(used / unique, 3) if unique else 0.0,
            "repeats_max": most,
            "sources": len(seconds),
            "effective_sources": round(1.0 / float(shares @ shares), 2) if used else 0.0,
            "source_seconds": {name: round(seconds[name], 3) for name in sorted(seconds)},
            "snr_db": {"asked": summary(self.snr_db), "measured": None},
        }
        return document | {"warnings": self._warnings(document, against)}

    def _warnings(self, budget: dict[str, Any], against: Iterable[Path]) -> list[dict[str, Any]]:
        found = [_reuse(budget, self.noisy_seconds), _few_sources(budget, self.noisy_seconds), _shared_splits(self.splits)]
        used = {noise.id: (noise.source, noise.audio_filepath) for noise in self.bank.recordings if noise.id in self.stretches}
        found += [_overlap(used, folder) for folder in against]
        return [warning for warning in found if warning]


def _overlay(stretches: array[float]) -> tuple[float, float, int]:
    """The total length of some stretches of one recording, the length they cover, and the most that lie on one spot."""
    # In whole samples of 10 kHz: ends that were meant to meet must meet exactly.
    edges = np.rint(np.array(stretches).reshape(-1, 2) * 10_000).astype(np.int64)
    at = edges.ravel()
    step = np.tile(np.array([1, -1]), len(edges))
    order = np.lexsort((step, at))  # at equal places ends come before starts
    at, depth = at[order], np.cumsum(step[order])
    gaps = np.diff(at)
    return float((edges[:, 1] - edges[:, 0]).sum()) / 10_000, float(gaps[depth[:-1] > 0].sum()) / 10_000, int(depth.max())


def summary(values: Iterable[float]) -> dict[str, float] | None:
    """Least, mean and most of some values; None of none."""
    listed = list(values)
    if not listed:
        return None
    return {"min": round(min(listed), 3), "mean": round(math.fsum(listed) / len(listed), 3), "max": round(max(listed), 3)}


def amount(seconds: float) -> str:
    """Seconds as a person says them: "40.0 h", "11.2 min" or "5.0 s"."""
    if seconds >= 3600:
        return f"{seconds / 3600:,.1f} h"
    return f"{seconds / 60:.1f} min" if seconds >= 60 else f"{seconds:.1f} s"


def _lain(budget: dict[str, Any], speech_seconds: float) -> str:
    count = budget["sources"]
    sources = "1 source" if count == 1 else f"{count} sources"
    return f"{amount(speech_seconds)} of speech over {amount(budget['unique_noise_seconds_used'])} of noise from {sources}"


def _reuse(budget: dict[str, Any], speech_seconds: float) -> dict[str, Any] | None:
    mean = budget["repeats_mean"]
    if mean <= MOST_REPEATS:
        return None
    missing = budget["noise_seconds_used"] / MOST_REPEATS - budget["unique_noise_seconds_used"]
    message = (
        f"{_lain(budget, speech_seconds)}: each second used {mean:.0f} times, more than {MOST_REPEATS:.0f}; "
        f"record at least {amount(missing)} more noise, or make fewer copies"
    )
    return {"code": "NOISE_REUSE", "message": message, "repeats_mean": mean, "seconds_missing": round(missing, 1)}


def _few_sources(budget: dict[str, Any], speech_seconds: float) -> dict[str, Any] | None:
    effective = budget["effective_sources"]
    if effective >= FEWEST_SOURCES or not budget["sources"]:
        return None
    missing = math.ceil(FEWEST_SOURCES - effective)
    unequal = f", which count as {effective:.1f} for their unequal shares" if effective < budget["sources"] - 0.5 else ""
    message = (
        f"{_lain(budget, speech_seconds)}{unequal}: a recogniser can learn "
        f"so few by heart; record at least {missing} more sources (cars, routes), or spread their use more evenly"
    )
    return {"code": "NOISE_FEW_SOURCES", "message": message, "effective_sources": effective, "sources_missing": missing}


def _shared_splits(splits: dict[str, set[str]]) -> dict[str, Any] | None:
    shared = sorted(source for source, found in splits.items() if len(found) > 1)
    if not shared:
        return None
    names = sorted(set().union(*(splits[source] for source in shared)))
    message = (
        f"{len(shared)} noise sources lie under speech of several splits ({', '.join(names)}): {name_some(shared)}; errors "
        "there will look too small: give each noise recording a 'split', or build the splits from different sources"
    )
    return {"code": "NOISE_SPLIT_OVERLAP", "message": message, "sources": shared, "splits": names}


def _overlap(used: dict[str, tuple[str, str]], folder: Path) -> dict[str, Any] | None:
    path = folder / "scenes.jsonl"
    if not path.is_file():
        raise SpeechbenchError(f"{folder}: holds no scenes.jsonl; --against takes a folder that 'speechbench synth' wrote")
    theirs = [piece for scene in read(path, folder_of(folder)) for piece in scene.noise]
    sources = {piece.source for piece in theirs}
    files = {piece.audio_filepath for piece in theirs}
    shared = sorted({source for source, file in used.values() if source in sources or file in files})
    if not shared:
        return None
    message = (
        f"{len(shared)} noise sources are used in {folder} too: {name_some(shared)}; a recogniser that is trained on one "
        "and tested on the other looks better than it is: build each from sources of its own"
    )
    return {"code": "NOISE_SPLIT_OVERLAP", "message": message, "sources": shared, "against": str(folder)}


def lines(budget: dict[str, Any]) -> list[dict[str, Any]]:
    """The budget as rows of a table for people."""
    asked, measured = budget["snr_db"]["asked"], budget["snr_db"]["measured"]

    def spread(values: dict[str, float] | None) -> str:
        return f"{values['min']:.1f} to {values['max']:.1f}, mean {values['mean']:.1f}" if values else "none"

    rows = {
        "utterances": str(budget["utterances"]),
        "speech": amount(budget["speech_seconds"]),
        "noise available": amount(budget["noise_seconds_available"]),
        "noise used": amount(budget["noise_seconds_used"]),
        "unique noise used": amount(budget["unique_noise_seconds_used"]),
        "uses of each second": f"mean {budget['repeats_mean']:.2f}, most {budget['repeats_max']}",
        "sources": f"{budget['sources']}, counting as {budget['effective_sources']:.1f}",
        "SNR asked (dB)": spread(asked),
    }
    if measured:
        rows["SNR measured (dB)"] = spread(measured)
    return [{"noise budget": key, "": value} for key, value in rows.items()]
