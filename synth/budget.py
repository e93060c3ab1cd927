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

from speechbench.manifest import Manifest
from synth import coverage as spectra
from synth import overlap, warning
from synth.noise import Noise, NoiseBank, side_of
from synth.scene import Scene
from synth.warning import amount


@dataclass
class Use:
    """What the scenes that passed by use of a noise bank."""

    bank: NoiseBank
    speech_seconds: float = 0.0
    noisy_seconds: float = 0.0  # of speech that has noise
    scenes: int = 0
    snr_db: array[float] = field(default_factory=lambda: array("d"))
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

    def budget(
        self, against: Iterable[Path] = (), target: Manifest | None = None, by_content: bool = False, worker_count: int = 1
    ) -> dict[str, Any]:
        """The document of noise_budget.json, without what rendering measures.

        Args:
            against: Other built folders, for example of the dev set, that shall share no noise with this one.
            target: Noisy recordings that the noise shall resemble.
            by_content: Read the noise to find what different splits and builds share under different names.
            worker_count: Threads or processes that read audio.

        Raises:
            SpeechbenchError: A folder that is no build, or a target that cannot be used.
        """
        backgrounds = [noise for noise in self.bank.recordings if not noise.event]
        document = {
            "utterances": self.scenes,
            "speech_seconds": round(self.speech_seconds, 3),
            **self._figures(backgrounds),
            "conditions": self._by_name(backgrounds),
            "events": self._by_name(noise for noise in self.bank.recordings if noise.event),
            "snr_db": {"asked": summary(self.snr_db), "measured": None},
        }
        others = [(folder, overlap.noise_of(folder)) for folder in against]
        used = [noise for noise in self.bank.recordings if noise.id in self.stretches]
        content = overlap.compare(self.bank.recordings, others, worker_count) if by_content else None
        coverage = spectra.compare([noise for noise in used if not noise.event], target, worker_count) if target else None
        warnings = [
            warning.reuse(document, self.noisy_seconds),
            warning.few_sources(document, self.noisy_seconds),
            warning.shared_sources(self._splits()),
            *(warning.shared_with(folder, used, theirs) for folder, theirs in others),
            *(warning.shared_sound(content) if content else []),
            warning.mismatch(coverage) if coverage else None,
        ]
        return document | {
            "content_compared": by_content,
            "content": content,
            "coverage": coverage,
            "warnings": [one for one in warnings if one],
        }

    def _by_name(self, recordings: Iterable[Noise]) -> dict[str, dict[str, Any]]:
        """The figures of each condition or event."""
        groups: dict[str, list[Noise]] = {}
        for noise in recordings:
            groups.setdefault(noise.condition or "", []).append(noise)
        return {name: self._figures(groups[name]) for name in sorted(groups)}

    def _figures(self, recordings: Iterable[Noise]) -> dict[str, Any]:
        """How some recordings are used."""
        available = unique = used = 0.0
        most = 0
        seconds: dict[str, float] = {}
        for noise in recordings:
            available += noise.duration
            if noise.id in self.stretches:
                length, cover, repeats = _overlay(self.stretches[noise.id])
                used, unique, most = used + length, unique + cover, max(most, repeats)
                seconds[noise.source] = seconds.get(noise.source, 0.0) + length
        shares = np.array(list(seconds.values())) / used if used else np.zeros(0)
        return {
            "noise_seconds_available": round(available, 3),
            "noise_seconds_used": round(used, 3),
            "unique_noise_seconds_used": round(unique, 3),
            "never_used_share": round(max(0.0, 1.0 - unique / available), 4) if available else 0.0,
            "repeats_mean": round(used / unique, 3) if unique else 0.0,
            "repeats_max": most,
            "sources": len(seconds),
            "effective_sources": round(1.0 / float(shares @ shares), 2) if used else 0.0,
            "source_seconds": {name: round(seconds[name], 3) for name in sorted(seconds)},
        }

    def _splits(self) -> dict[str, set[str]]:
        """Per source the splits of its recordings and of the speech above it."""
        splits = {source: set(found) for source, found in self.splits.items()}
        for noise in self.bank.recordings:
            if (side := side_of(noise.split)) is not None:
                splits.setdefault(noise.source, set()).add(side)
        return splits


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
        "unique noise used": f"{amount(budget['unique_noise_seconds_used'])}; {budget['never_used_share']:.0%} never used",
        "uses of each second": f"mean {budget['repeats_mean']:.2f}, most {budget['repeats_max']}",
        "sources": f"{budget['sources']}, counting as {budget['effective_sources']:.1f}",
    }
    parts = list(budget["conditions"].items()) if len(budget["conditions"]) > 1 else []
    for name, one in [*parts, *((f"event {name}", one) for name, one in budget["events"].items())]:
        rows[f"  {name or 'no condition'}"] = (
            f"{amount(one['noise_seconds_used'])} used of {amount(one['noise_seconds_available'])}, {one['sources']} sources, "
            f"each second {one['repeats_mean']:.2f} times, {one['never_used_share']:.0%} never used"
        )
    rows["same sound in other splits"] = _content(budget)
    if budget["coverage"]:
        rows["spectra like the target's"] = _coverage(budget["coverage"])
    rows["SNR asked (dB)"] = spread(asked)
    if measured:
        rows["SNR measured (dB)"] = spread(measured)
    return [{"noise budget": key, "": value} for key, value in rows.items()]


def _content(budget: dict[str, Any]) -> str:
    if not budget["content_compared"]:
        return "not compared: this reads headers alone"
    found = budget["content"]
    if found is None:
        return "nothing to compare: one split, no other build"
    left = f", {found['too_short']} too short to tell" if found["too_short"] else ""
    left += f", {found['unreadable']} unreadable" if found["unreadable"] else ""
    return f"{len(found['shared'])} stretches among {found['recordings']} recordings{left}"


def _coverage(found: dict[str, Any]) -> str:
    covered = found["recordings"] - found["uncovered"]
    distance = found["distance_db"]
    conditions = ", ".join(f"{name or 'noise'} {value:.1f}" for name, value in found["condition_db"].items())
    return (
        f"{covered} of {found['recordings']} recordings; mean distance {distance['mean']:.1f} dB, most {distance['max']:.1f}; "
        f"by condition {conditions} dB"
    )
