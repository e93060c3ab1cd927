"""What scenes are rendered from, read and laid side by side. B scenes, N samples."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor, Future
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import numpy as np

from speechbench.audio import Samples
from speechbench.errors import AudioError
from synth import mix
from synth.cabin import Response
from synth.recordings import Recordings
from synth.scene import Scene

AUDIO_BYTES = 2**30  # 4.7 h of decoded audio at 16 kHz

NO_CHANGE: Response = np.ones(1, dtype=np.float32), 0
Failed = list[tuple[Scene, AudioError]]


class Raw(NamedTuple):
    """What a scene is rendered from."""

    scene: Scene
    speech: Samples  # (N,), as recorded
    noise: Samples | None  # (N,), in 16-bit steps, as it lies under speech whose active level is 0 dBFS
    response: Response | None


class Rows(NamedTuple):
    """The same of a batch, padded with zeros."""

    scenes: tuple[Scene, ...]  # B
    lengths: tuple[int, ...]  # B, samples
    sounds: Samples  # (2, B, at least N): speech, and noise, zero where a scene has none
    responses: Samples | None  # (B, K), of voice and cabin; None where no scene has one
    delay: int  # samples, of all responses


def side_by_side(raw: Sequence[Raw]) -> Rows:
    """The rows of a batch."""
    lengths = tuple(one.speech.size for one in raw)
    both = np.empty((2, len(raw), max(lengths)), np.float32)
    for row, one in enumerate(raw):
        fill(both[:, row], one.speech, one.noise)
    return Rows(tuple(one.scene for one in raw), lengths, both, *aligned([one.response for one in raw]))


def fill(row: Samples, speech: Samples, noise: Samples | None) -> None:
    """Lay speech and noise of a scene into their rows (2, N), which end in zeros."""
    for values, one in zip(row, (speech, noise), strict=True):
        values[: speech.size] = 0.0 if one is None else one
        values[speech.size :] = 0.0


def aligned(responses: Sequence[Response | None]) -> tuple[Samples | None, int]:
    """Impulse responses, delayed so that all their direct paths arrive when the last of them does, and this delay.

    Shape:
        (B, K), K of the longest; None if there is none
    """
    if not any(responses):
        return None, 0
    each = [response or NO_CHANGE for response in responses]
    latest = max(delay for _, delay in each)
    rows = np.zeros((len(each), max(latest - delay + response.size for response, delay in each)), np.float32)
    for row, (response, delay) in zip(rows, each, strict=True):
        row[latest - delay :][: response.size] = response
    return rows, latest


class Reader:
    """Reads scenes; recordings stay decoded while there is room. Threads may share it."""

    def __init__(self, noise_bytes: int = AUDIO_BYTES, speech_bytes: int = AUDIO_BYTES) -> None:
        """Nothing is kept yet.

        Args:
            noise_bytes: The most memory for noise that is kept decoded.
            speech_bytes: The same for speech.
        """
        self.recordings, self.speech = Recordings(noise_bytes), Recordings(speech_bytes)
        self._lock, self._computing = Lock(), dict[object, Lock]()

    def submit(self, scenes: Sequence[Scene], pool: Executor) -> list[tuple[Scene, Future[Raw]]]:
        """Have the scenes read by a pool's threads."""
        return [(one, pool.submit(self.read, one)) for one in scenes]

    def read(self, one: Scene) -> Raw:
        """What a scene is rendered from.

        Raises:
            AudioError: As `sounds`, and the user's own impulse response that cannot be read, or is silent.
        """
        return Raw(one, *self.sounds(one), self._response(one))

    def sounds(self, one: Scene) -> tuple[Samples, Samples | None]:
        """Speech and noise of a scene, as `Raw` has them.

        Raises:
            AudioError: A recording that cannot be read, silent noise, events louder than all noise shall be.
        """
        speech = self.speech.read(Path(one.clean_filepath), one.clean_offset, one.clean_duration)
        background, events = mix.noise_of(one, speech.size, self.recordings)
        if background is None or one.snr_db is None:
            return speech, None
        try:
            return speech, mix.lay(background, events, 0.0, one.snr_db).samples
        except AudioError as error:
            raise mix.named(one, error) from error

    def _response(self, one: Scene) -> Response | None:
        """Each cabin is computed once: sixteen threads that meet sixteen new cabins computed each three times."""
        with self._lock:
            computing = self._computing.setdefault(one.cabin, Lock())
        with computing:
            return mix.response_of(one)


def finished(readings: Sequence[tuple[Scene, Future[Raw]]]) -> tuple[list[Raw], Failed]:
    """What could be read, and what could not."""
    raw: list[Raw] = []
    failed: Failed = []
    for one, future in readings:
        try:
            raw.append(future.result())
        except AudioError as error:
            failed.append((one, error))
    return raw, failed
