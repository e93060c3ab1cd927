"""Rendering a scene: pure functions of the scene and the files it names.

The SNR is the active level of the speech (ITU-T P.56, so that pauses do not count) as the microphone hears it, over
the RMS level of all the noise that lies under it: background and events. An event has an SNR of its own as well, over
its RMS level while it sounds. Offsets (DC) are taken out of speech and noise first. What comes out is measured on the
16-bit samples that are written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from speechbench import audio, levels
from speechbench.audio import Samples
from speechbench.errors import AudioError
from synth import cabin, lombard
from synth.cabin import Response
from synth.noise import SILENCE_DBFS
from synth.pieces import join, sounding
from synth.recordings import RECORDINGS, Recordings
from synth.scene import Scene

CEILING = 0.999  # of full scale: the largest peak that is written
FULL_SCALE = 32768.0  # 16-bit steps
FULL_SCALE_DB = float(20.0 * np.log10(FULL_SCALE))
ROUNDING = 1.0 / 12.0  # power of the error, in steps: even over a step
GOLDEN_RATIO = (1.0 + 5.0**0.5) / 2.0
SILENT = "speech is silent, it has no level; remove the utterance"
TOLERANCE_DB = 0.1  # by which an SNR may miss what was asked


@dataclass(frozen=True)
class Sound:
    """An event before it is levelled."""

    start: int  # samples
    samples: Samples  # (E,)
    snr_db: float  # active level of the speech over its RMS level while it sounds


@dataclass(frozen=True)
class Heard:
    """What became of an event."""

    gain_db: float
    snr_db: float  # measured


@dataclass(frozen=True)
class Laid:
    """All the noise, levelled."""

    samples: Samples  # (N,), in 16-bit steps
    gain_db: float  # of the background
    events: tuple[Heard, ...]


@dataclass(frozen=True)
class Parts:
    """A rendered scene, and what was measured on it."""

    steps: NDArray[np.int16]  # (N,), the utterance as it is written
    speech_steps: Samples  # (N,), what is in it of speech
    noise_steps: Samples | None  # (N,), all that is written beside the speech: background, events, the rounding to 16 bits
    noise_gain_db: float | None  # what the background was raised by, the output gain included
    events: tuple[Heard, ...]
    output_gain_db: float  # 0, or below it where the sum would have clipped
    clipped_samples: int
    snr_db: float | None  # measured: active level of the speech over RMS level of the noise
    snr_db_rms: float | None  # measured: both RMS, over the whole file

    @property
    def sum(self) -> Samples:
        """The utterance as it is heard, (N,)."""
        return self.steps * np.float32(1.0 / FULL_SCALE)

    @property
    def speech(self) -> Samples:
        """What is in it of speech, (N,)."""
        return self.speech_steps * np.float32(1.0 / FULL_SCALE)

    @property
    def noise(self) -> Samples | None:
        """What is in it beside the speech, (N,)."""
        return None if self.noise_steps is None else self.noise_steps * np.float32(1.0 / FULL_SCALE)


def render(scene: Scene) -> Parts:
    """Read, filter, level and lay together what the scene names.

    Raises:
        AudioError: A recording that cannot be read, silent speech or silent noise, an SNR that cannot be reached.
    """
    speech = audio.read(Path(scene.clean_filepath), scene.clean_offset, scene.clean_duration)
    response = response_of(scene)
    if response is not None:
        speech = cabin.apply(speech, *response)
    noise, events = noise_of(scene, speech.size)
    try:
        return mix(speech, noise, scene.snr_db, scene.level_dbfs, events, scene.clip)
    except AudioError as error:
        raise named(scene, error) from error


def noise_of(scene: Scene, samples: int, recordings: Recordings = RECORDINGS) -> tuple[Samples | None, list[Sound]]:
    """Background and events of a scene, for speech of so many samples.

    Raises:
        AudioError: A recording that cannot be read.
    """
    noise = join(scene.noise, samples, recordings) if scene.noise else None
    starts = [min(round(event.start * audio.SAMPLING_RATE), samples - 1) for event in scene.events]
    events = zip(starts, scene.events, strict=True)
    return noise, [Sound(start, sounding(event.piece, start, samples, recordings), event.snr_db) for start, event in events]


def named(scene: Scene, error: AudioError) -> AudioError:
    """The error with the recordings that it comes from."""
    lain = ", ".join(dict.fromkeys(piece.audio_filepath for piece, _ in scene.heard))
    return AudioError(f"{scene.clean_filepath}{f' with {lain}' if lain else ''}: {error}")


def response_of(scene: Scene) -> Response | None:
    """What lies between the recording and the microphone, raised voice and cabin, as one filter.

    Raises:
        AudioError: The user's own impulse response cannot be read, or is silent.
    """
    return joined(scene, None if scene.cabin is None else cabin.impulse_response(scene.cabin))


def joined(scene: Scene, room: Response | None) -> Response | None:
    """The same, where the room's part is known."""
    if not scene.lombard_db:
        return room
    voice, early = lombard.response(scene.lombard_db)
    if room is None:
        return voice, early
    return np.convolve(voice, room[0]).astype(np.float32), early + room[1]


def mix(
    speech: Samples,
    noise: Samples | None,
    snr_db: float | None,
    level_dbfs: float,
    events: Sequence[Sound] = (),
    clip: bool = False,
) -> Parts:
    """Bring the speech to its level and the noise to its distance from it.

    Args:
        speech: What the microphone hears of the speech.
        noise: The background, as long as the speech, or None.
        snr_db: The distance of all noise; None without noise.
        level_dbfs: Active level of the speech in the output.
        events: Sounds over the background.
        clip: Cut off what is too loud instead of turning everything down.

    Raises:
        AudioError: Silent speech or silent noise: there is no level to speak of. An SNR that cannot be reached.
    """
    speech = levels.without_offset(speech)
    envelope = levels.speech_envelope(speech)
    level = levels.decibels(envelope.sum_squares / speech.size)
    if level < SILENCE_DBFS:
        raise AudioError(SILENT)
    # P.56 answers by how the speech lies to its thresholds, so that the gain has to be known first: RMS is a beginning.
    speech_gain_db = level_dbfs - level
    for _ in range(2):
        speech_gain_db += level_dbfs - envelope.level(speech_gain_db).level_dbfs
    output_gain_db = 0.0
    while True:
        gain_db = speech_gain_db + output_gain_db
        heard, active = _steps(speech, gain_db), envelope.level(gain_db).level_dbfs
        laid = None if noise is None or snr_db is None else lay(noise, events, active, snr_db)
        total = heard if laid is None else np.add(heard, laid.samples, out=laid.samples)
        peak = max(float(total.max()), -float(total.min())) / FULL_SCALE
        if clip or peak <= CEILING:
            break
        # A little more than needed, for the active level and the noise with it move by hundredths of a dB.
        output_gain_db += 20.0 * float(np.log10(CEILING / peak)) - 0.001
    if laid is None or snr_db is None:
        steps, clipped = _written(np.rint(total), clip)
        return Parts(steps, heard, None, None, (), output_gain_db, clipped, None, None)
    rounded, around, noise_dbfs = _round(total, heard, active - snr_db)
    realised = active - noise_dbfs
    _check(realised, snr_db, "the SNR", active)
    for event, sound in zip(laid.events, events, strict=True):
        _check(event.snr_db, sound.snr_db, "an event's SNR", active)
    steps, clipped = _written(rounded, clip)
    return Parts(
        steps=steps,
        speech_steps=heard,
        noise_steps=around,
        noise_gain_db=laid.gain_db,
        events=laid.events,
        output_gain_db=output_gain_db,
        clipped_samples=clipped,
        snr_db=realised,
        snr_db_rms=level + gain_db - noise_dbfs,
    )


def lay(background: Samples, events: Sequence[Sound], active_dbfs: float, snr_db: float) -> Laid:
    """The noise under speech of an active level: events at their own SNRs, the background so that the sum meets its own.

    With the background b, the events e and P the power that all noise shall have, the gain g of the background solves
    mean((g b + e)^2) = P, that is g^2 mean(b^2) + 2 g mean(b e) + mean(e^2) - P = 0. Rounding to 16 bits adds its share.
    """
    level = levels.rms_dbfs(background)
    if level < SILENCE_DBFS:
        raise AudioError("noise is silent here, no SNR can be set; remove the silence from the noise")
    power = _power(active_dbfs - snr_db) - ROUNDING
    if power <= 0.0:
        raise AudioError(f"noise of {active_dbfs - snr_db:.0f} dBFS is less than 16 bits hold; ask for a lower SNR")
    if not events:
        gain_db = levels.decibels(power) - FULL_SCALE_DB - level
        return Laid(_steps(background, gain_db), gain_db, ())
    over = np.zeros_like(background)
    heard = []
    for event in events:
        alone = levels.rms_dbfs(event.samples)
        if alone < SILENCE_DBFS:
            raise AudioError("an event is silent here, no SNR can be set; remove the silence from the noise")
        gain_db = active_dbfs - event.snr_db - alone
        scaled = _steps(event.samples, gain_db)
        over[event.start : event.start + scaled.size] += scaled
        heard.append(Heard(gain_db, active_dbfs - _level_dbfs(scaled)))
    left = power - _power(_level_dbfs(over))
    if left <= 0.0:
        raise AudioError(f"the events alone exceed the noise of {snr_db:g} dB SNR; raise the events' 'snr_db'")
    own = _power(level)
    common = FULL_SCALE * float((background * over).mean())
    gain_db = 20.0 * float(np.log10((np.sqrt(common * common + own * left) - common) / own))
    over += _steps(background, gain_db)
    return Laid(over, gain_db, tuple(heard))


def _power(level_dbfs: float) -> float:
    """In 16-bit steps, squared."""
    return float(FULL_SCALE**2 * 10.0 ** (level_dbfs / 10.0))


def _level_dbfs(steps: Samples) -> float:
    return levels.rms_dbfs(steps) - FULL_SCALE_DB


def _round(total: Samples, speech: Samples, noise_dbfs: float) -> tuple[Samples, Samples, float]:
    """The sum as whole 16-bit steps; the noise that is in it, and that noise's level.

    Noise of few steps that takes the same values again and again (a cut-off recording, a square wave) is rounded the
    same way each time, which moves its level. A dither that runs evenly through the step undoes that; it is used only
    there, for it is noise itself. It is no chance: sample n gets the fraction of n times the golden ratio.
    """
    rounded = np.rint(total)
    noise = rounded - speech
    level = _level_dbfs(noise)
    if abs(level - noise_dbfs) > TOLERANCE_DB / 2:
        dither = np.arange(total.size) * GOLDEN_RATIO % 1.0 - 0.5
        dithered = np.rint(total + dither.astype(np.float32))
        beside = dithered - speech
        other = _level_dbfs(beside)
        if abs(other - noise_dbfs) < abs(level - noise_dbfs):
            return dithered, beside, other
    return rounded, noise, level


def _check(realised_db: float, asked_db: float, what: str, active_dbfs: float) -> None:
    if not abs(realised_db - asked_db) <= TOLERANCE_DB:  # not so for NaN either
        raise AudioError(
            f"{what} came out as {realised_db:.2f} dB where {asked_db:.2f} dB was asked for: 16 bits do not hold speech of "
            f"{active_dbfs:.0f} dBFS with noise of {active_dbfs - asked_db:.0f} dBFS; ask for another SNR or level"
        )


def _written(steps: Samples, clip: bool) -> tuple[NDArray[np.int16], int]:
    """The steps as 16-bit integers, and how many samples were cut off because they do not fit."""
    clipped = 0
    if clip:
        clipped = int(np.count_nonzero((steps > FULL_SCALE - 1) | (steps < -FULL_SCALE)))
        np.clip(steps, -FULL_SCALE, FULL_SCALE - 1, out=steps)
    return steps.astype(np.int16), clipped


def _steps(samples: Samples, gain_db: float) -> Samples:
    """The samples after a gain, in 16-bit steps."""
    return samples * np.float32(FULL_SCALE * 10.0 ** (gain_db / 20.0))
