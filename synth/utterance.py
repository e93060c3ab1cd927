"""A scene becomes an utterance: the bytes of its audio file, what was measured on it, and its line in the manifest."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from speechbench import audio
from speechbench.manifest import Utterance
from synth import mix
from synth.noise import Piece
from synth.rir import Rir
from synth.scene import Scene, relative


def rendered(one: Scene, suffix: str = ".flac") -> tuple[bytes, dict[str, Any]]:
    """The bytes of a scene's audio file, of the suffix's format, and what was measured on it.

    Raises:
        AudioError: What the scene names cannot be used.
    """
    parts = mix.render(one)
    data = audio.encode(parts.steps, suffix=suffix)
    facts = {
        "id": one.id,
        "samples": int(parts.steps.size),
        "noise_gain_db": _rounded(parts.noise_gain_db),
        "output_gain_db": _rounded(parts.output_gain_db),
        "snr_db": _rounded(parts.snr_db),
        "snr_db_rms": _rounded(parts.snr_db_rms),
        "events": [{"gain_db": _rounded(event.gain_db), "snr_db": _rounded(event.snr_db)} for event in parts.events],
        "clipped_samples": parts.clipped_samples,
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    return data, facts


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def listed(one: Scene, clean: Utterance, facts: dict[str, Any], audio_filepath: Path, folder: str) -> Utterance:
    """The manifest's line of a rendered scene.

    Args:
        one: The scene.
        clean: The utterance that it was made from.
        facts: What `rendered` measured.
        audio_filepath: Where its audio lies, absolute.
        folder: Of the build, as `folder_of` names it: paths are relative to it.
    """
    background = [_told(piece) | {"gain_db": facts["noise_gain_db"]} for piece in one.noise]
    events = [
        _told(event.piece)
        | {"gain_db": measured["gain_db"], "start": event.start}
        | {"snr_db_requested": event.snr_db, "snr_db": measured["snr_db"]}
        for event, measured in zip(one.events, facts["events"], strict=True)
    ]
    cabin = one.cabin.row() if one.cabin else None
    if isinstance(one.cabin, Rir):
        cabin = {"id": one.cabin.id, "audio_filepath": relative(one.cabin.audio_filepath, folder)}
    provenance = {
        "clean_id": one.clean_id,
        "clean_filepath": relative(one.clean_filepath, folder),
        "clean_offset": one.clean_offset,
        "noise": background + events,
        "rir": one.cabin.id if one.cabin else None,
        "cabin": cabin,
        "lombard_db": one.lombard_db or None,
        "snr_db_requested": one.snr_db,
        "snr_db": facts["snr_db"],
        "snr_db_rms": facts["snr_db_rms"],
        "output_gain_db": facts["output_gain_db"],
        "clipped_samples": facts["clipped_samples"] if one.clip else None,
        "seed": one.seed,
        "sha256": facts["sha256"],
    }
    return replace(
        clean,
        id=one.id,
        audio_filepath=audio_filepath,
        duration=facts["samples"] / audio.SAMPLING_RATE,
        offset=0.0,
        sampling_rate=audio.SAMPLING_RATE,
        extra=dict(clean.extra) | {key: value for key, value in provenance.items() if value is not None},
    )


def _told(piece: Piece) -> dict[str, Any]:
    names = ("id", "source", "condition", "offset", "duration")
    return {name: getattr(piece, name) for name in names}
