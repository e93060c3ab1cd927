"""Noise on both sides of a split, by its audio: recordings that share a stretch under whatever names.

By id and source it is seen from the manifests alone (`synth/warning.py`); this reads the audio.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from speechbench.errors import AudioError, SpeechbenchError
from speechbench.manifest import Skipped, usable
from speechbench.progress import track
from synth import fingerprint
from synth.fingerprint import Fingerprint
from synth.noise import Noise, side_of
from synth.scene import folder_of, read

_Side = tuple[str, Sequence[Noise]]  # its name and its noise


@dataclass(frozen=True)
class Shared:
    """A stretch of sound that two recordings share; times in seconds, in their files."""

    first: str
    first_side: str  # a split, or the folder of another build
    first_start: float
    second: str
    second_side: str
    second_start: float
    seconds: float


def noise_of(folder: Path) -> list[Noise]:
    """The noise that another build used: each recording from the first to the last second that it heard.

    Raises:
        SpeechbenchError: No folder that `synth` wrote.
    """
    path = folder / "scenes.jsonl"
    if not path.is_file():
        raise SpeechbenchError(f"{folder}: holds no scenes.jsonl; --against takes a folder that 'speechbench synth' wrote")
    heard: dict[tuple[str, str, str], tuple[float, float]] = {}
    for scene in read(path, folder_of(folder)):
        for piece in scene.noise:
            key = piece.id, piece.audio_filepath, piece.source
            start, end = heard.get(key, (piece.offset, 0.0))
            heard[key] = min(start, piece.offset), max(end, piece.offset + piece.duration)
    return [Noise(name, file, start, end - start, source) for (name, file, source), (start, end) in heard.items()]


def compare(ours: Sequence[Noise], others: Iterable[tuple[Path, Sequence[Noise]]], worker_count: int) -> dict[str, Any] | None:
    """Find the sound that recordings of different splits, or of another build, share.

    Args:
        ours: The bank's recordings.
        others: Other build folders with their noise.
        worker_count: Threads: most of the work is done outside Python, and what is decoded already they need not decode again.

    Returns:
        How many `recordings` were compared, how many were `too_short` or `unreadable` to be, and what they `shared`; None
        where there is but one split and no other build.
    """
    sides: dict[str, list[Noise]] = {}
    for noise in ours:
        sides.setdefault(side_of(noise.split) or "no split", []).append(noise)
    pairs: list[tuple[_Side, _Side]] = [((a, sides[a]), (b, sides[b])) for a, b in combinations(sorted(sides), 2)]
    pairs += [((side, sides[side]), (str(folder), theirs)) for side in sorted(sides) for folder, theirs in others]
    if not pairs:
        return None
    wanted = list({_key(noise): noise for pair in pairs for _, recordings in pair for noise in recordings}.values())
    skipped = Skipped()
    with ThreadPoolExecutor(worker_count) as pool:
        heard = track(pool.map(_fingerprint, wanted), "compare noise", len(wanted))
        known: dict[str, Fingerprint] = dict(usable(heard, skipped))
    shared = [found for first, second in pairs for found in _shared(first, second, known)]
    return {
        "recordings": len(known),
        "too_short": sum(one.words.size < fingerprint.STRETCH for one in known.values()),
        "unreadable": len(skipped.reasons),
        "shared": [asdict(one) for one in shared],
    }


def _key(noise: Noise) -> str:
    return f"{noise.audio_filepath} from {noise.offset:.3f} s for {noise.duration:.3f} s"


def _fingerprint(noise: Noise) -> tuple[str, Fingerprint | AudioError]:
    try:
        return _key(noise), fingerprint.read(Path(noise.audio_filepath), noise.offset, noise.duration)
    except AudioError as error:
        return _key(noise), error


def _shared(first: _Side, second: _Side, known: dict[str, Fingerprint]) -> list[Shared]:
    ours, theirs = ([noise for noise in side[1] if _key(noise) in known] for side in (first, second))
    found = []
    for match in fingerprint.matches([known[_key(noise)] for noise in ours], [known[_key(noise)] for noise in theirs]):
        one, two = ours[match.first], theirs[match.second]
        if (one.audio_filepath, one.source) == (two.audio_filepath, two.source):
            continue  # is named by its source
        found.append(
            Shared(
                one.audio_filepath,
                first[0],
                round(one.offset + match.first_start, 2),
                two.audio_filepath,
                second[0],
                round(two.offset + match.second_start, 2),
                round(match.seconds, 2),
            )
        )
    return found
