"""Scenes taken apart: what an utterance would have been without its noise, its room, its level, or with other noise.

From the clean recording upwards each rung adds one thing, until the last is the scene as it was drawn. All rungs but the last
have the clean recording's level, and nothing is cut off in them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from speechbench import audio, levels
from speechbench.manifest import Manifest
from speechbench.seeds import generator_of
from synth import scene
from synth.build import SCENES
from synth.noise import FADE, SHORTEST_NOISE, Piece
from synth.scene import Scene, folder_of

Pool = Mapping[str | None, tuple[Piece, ...]]  # pieces of noise by condition


def scenes_of(manifest: Manifest) -> dict[str, Scene]:
    """The scenes of those utterances of a manifest that `synth` made, by id; wherever the manifest itself lies."""
    ids: dict[Path, set[str]] = {}  # by folder of audio
    for utterance in manifest:
        if "clean_id" in utterance.extra:
            ids.setdefault(utterance.audio_filepath.parent, set()).add(utterance.id)
    homes = {folder: home for folder in ids if (home := _home(folder))}
    wanted = {home: set().union(*(ids[folder] for folder in homes if homes[folder] == home)) for home in homes.values()}
    found = ((one, some) for home, some in wanted.items() for one in scene.read(home / SCENES, folder_of(home)))
    return {one.id: one for one, some in found if one.id in some}


def _home(folder: Path) -> Path | None:
    """The build that a folder of audio is part of."""
    return next((place for place in (folder, *folder.parents) if (place / SCENES).is_file()), None)


@dataclass(frozen=True)
class Seen:
    """The stretches of noise that some scenes heard."""

    backgrounds: Pool
    events: Pool

    @classmethod
    def of(cls, scenes: Iterable[Scene]) -> Seen:
        """Of all of them."""
        heard = list(scenes)
        return cls(
            _pool(piece for one in heard for piece in one.noise), _pool(event.piece for one in heard for event in one.events)
        )

    @property
    def sources(self) -> set[str]:
        """Where the backgrounds come from."""
        return {piece.source for pieces in self.backgrounds.values() for piece in pieces}

    def under(self, one: Scene, seed: int) -> Scene:
        """The scene with seen noise in place of its own: of the same conditions where there is any, at the same SNRs.

        An event of a kind that was never seen is left out.
        """
        if not one.noise:
            return one
        rng = generator_of(seed, "ladder", one.id)
        background = self._background(one.noise[0].condition, one.clean_duration, rng)
        events = []
        for event in one.events:
            if known := self.events.get(event.piece.condition):
                piece = known[int(rng.integers(len(known)))]
                # No longer than its own, for longer events would leave less of the noise's power to the background.
                events.append(replace(event, piece=replace(piece, duration=min(piece.duration, event.piece.duration))))
        return replace(one, noise=background, events=tuple(events))

    def _background(self, condition: str | None, seconds: float, rng: np.random.Generator) -> tuple[Piece, ...]:
        """Pieces of one source, drawn as often as it was used, that last so long together; again where there are too few."""
        pool = self.backgrounds.get(condition) or [piece for pieces in self.backgrounds.values() for piece in pieces]
        first = pool[int(rng.integers(len(pool)))]
        same = [piece for piece in pool if piece.source == first.source and piece is not first]
        pieces, covered = [first], first.duration
        while covered < seconds:
            for number in rng.permutation(len(same)).tolist() if same else [None]:
                piece = first if number is None else same[number]
                pieces.append(piece)
                covered += piece.duration - FADE
                if covered >= seconds:
                    break
        return tuple(pieces)


def _pool(pieces: Iterable[Piece]) -> Pool:
    """The pieces by condition, without those that are little more than their fades."""
    pool: dict[str | None, list[Piece]] = {}
    for piece in pieces:
        if piece.duration >= SHORTEST_NOISE:
            pool.setdefault(piece.condition, []).append(piece)
    return {condition: tuple(some) for condition, some in pool.items()}


def rungs(one: Scene, seen: Seen | None, seed: int) -> dict[str, Scene]:
    """The scenes of an utterance from its clean recording up to what was drawn, by what each adds.

    Args:
        one: What was drawn.
        seen: Noise that training heard; without any, "seen_noise" is left out.
        seed: Of the choice of seen noise.

    Raises:
        AudioError: The clean recording cannot be read.
    """
    recording = audio.read(Path(one.clean_filepath), one.clean_offset, one.clean_duration)
    level_dbfs = round(levels.active_speech_level(recording).level_dbfs, 3)
    whole = replace(one, level_dbfs=level_dbfs, clip=False)
    room = replace(whole, noise=(), events=(), snr_db=None)
    voice = replace(room, cabin=None)
    found = {"clean": replace(voice, lombard_db=0.0), "raised_voice": voice, "room": room}
    if seen is not None and seen.backgrounds:
        found["seen_noise"] = seen.under(whole, seed)
    return found | {"own_noise": whole, "level": one}


def at_snr(one: Scene, snr_db: float) -> Scene:
    """The scene at another SNR; its events move with the whole."""
    assert one.snr_db is not None
    events = tuple(replace(event, snr_db=event.snr_db + snr_db - one.snr_db) for event in one.events)
    return replace(one, snr_db=snr_db, events=events)


def differing(ladders: Iterable[Mapping[str, Scene]]) -> Iterator[str]:
    """The rungs on which at least one utterance is another than on the rung before; the first always."""
    many = list(ladders)
    before: list[Scene] = []
    for name in many[0] if many else ():
        now = [ladder[name] for ladder in many]
        if now != before:
            yield name
        before = now
