"""The arithmetic of `mix` and `cabin` on many scenes at once, with torch, on the CPU or a GPU.

Every row is computed as if it were alone: what pads it to the longest of the batch is silent and counts nowhere. Levels
are taken as `speechbench.audio` takes them. Nothing is rounded to 16 bits, so that scenes that these do not hold are
rendered too.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from speechbench import levels
from speechbench.audio import SAMPLING_RATE, Samples
from speechbench.errors import AudioError, SpeechbenchError
from synth import mix as one_by_one
from synth.noise import SILENCE_DBFS
from synth.reading import Failed, Rows
from synth.scene import Scene

SHORTEST_BLOCK = 4096  # samples; Fourier transforms of twice this or half are the fastest on a CPU
ENVELOPE_STEP = round(levels.STEP * SAMPLING_RATE)  # samples
HANGOVER_STEPS = round(levels.HANGOVER / levels.STEP)


@dataclass(frozen=True)
class Batch:
    """Rendered scenes, on the device that rendered them."""

    samples: Tensor  # (B, N), zero beyond each row's length
    lengths: Tensor  # (B,), samples
    snr_db: Tensor  # (B,), measured: active level of the speech over RMS level of the noise; NaN without noise
    scenes: tuple[Scene, ...]  # B; their `clean_id` leads to the text


class Sounds(NamedTuple):
    """What a batch is rendered from, on one device; rows are padded with zeros."""

    speech: Tensor  # (B, N)
    noise: Tensor  # (B, N), in 16-bit steps; zero where a scene has none
    lengths: Tensor  # (B,)
    responses: Tensor | None  # (B, K); None where no scene has one
    delay: int  # samples, of all responses
    level_dbfs: Tensor  # (B,)
    clip: Tensor | None  # (B,), truth values; None where all are turned down


class Mixed(NamedTuple):
    """Rows mixed, and what was measured; those of silent speech mean nothing."""

    samples: Tensor  # (B, N)
    snr_db: Tensor  # (B,)
    speech_dbfs: Tensor  # (B,), RMS level of the speech before it was levelled


class Envelopes(NamedTuple):
    """As `levels.SpeechEnvelope`, row by row."""

    held: Tensor  # (B, T), in rising order; -1 for the padding, which reaches no threshold
    lengths: Tensor  # (B,), samples
    sum_squares: Tensor  # (B,)

    def level_dbfs(self, gain_db: Tensor) -> Tensor:
        """The active levels after the gains, as `levels.SpeechEnvelope.level` has them; -infinity for silence.

        Shape:
            (B,) -> (B,)
        """
        thresholds_db = torch.from_numpy(levels.THRESHOLDS_DBFS).to(gain_db.device) - gain_db[:, None]
        steps = self.held.shape[1] - torch.searchsorted(self.held, 10.0 ** (thresholds_db / 20.0))
        counts = steps * (self.lengths / (-(-self.lengths // ENVELOPE_STEP)).double())[:, None]
        each = 10.0 * (self.sum_squares[:, None] / counts).log10()
        above = each - thresholds_db
        # Thresholds that are never reached come last; the first at or below the margin ends the search, else the last reached.
        reached = (counts > 0).count_nonzero(1)
        below = (counts > 0) & (above <= levels.MARGIN_DB)
        end = torch.where(below.any(1), below.int().argmax(1), (reached - 1).clamp_min(0))[:, None]
        start = (end - 1).clamp_min(0)
        high, low = above.gather(1, start), above.gather(1, end)
        share = torch.where((low <= levels.MARGIN_DB) & (high > low), (high - levels.MARGIN_DB) / (high - low), 1.0)
        level = torch.lerp(each.gather(1, start), each.gather(1, end), share.clamp(0.0, 1.0))[:, 0]
        return torch.where(reached > 0, level + gain_db, -torch.inf)


@cache
def _smoothing(device: torch.device) -> Tensor:
    """The impulse response of P.56's two smoothing stages, as long as float64 can tell it from zero.

    (1 - g)^2 / (1 - g z^-1)^2 has the impulse response (1 - g)^2 (n + 1) g^n.
    """
    g = float(np.exp(-levels.STEP / levels.TIME_CONSTANT))
    n = torch.arange(SHORTEST_BLOCK // 4, dtype=torch.float64, device=device)
    return ((1 - g) ** 2 * (n + 1) * g**n)[None]


def convolve(signals: Tensor, responses: Tensor) -> Tensor:
    """Each signal with its response, by overlapping and adding.

    Shape:
        (B, N), (B or 1, K) -> (B, at least N + K - 1)
    """
    if signals.device.type == "cpu" and len(signals) > 1:
        # One row after another: its transforms stay in the cache, which makes it three times as fast.
        responses = responses.expand(len(signals), -1)
        return torch.cat([convolve(signals[row : row + 1], responses[row : row + 1]) for row in range(len(signals))])
    block = max(SHORTEST_BLOCK, 1 << (responses.shape[1] - 1).bit_length())
    blocks = pad(signals, (0, -signals.shape[1] % block)).view(len(signals), -1, block)
    spectra = torch.fft.rfft(blocks, 2 * block) * torch.fft.rfft(responses, 2 * block)[:, None]
    pieces = torch.fft.irfft(spectra, 2 * block)
    first, second = pieces[..., :block], pieces[..., block:]
    first[:, 1:] += second[:, :-1]
    return torch.cat([first.flatten(1), second[:, -1]], 1)


def envelopes(samples: Tensor, lengths: Tensor) -> Envelopes:
    """The envelopes of ITU-T P.56 (12/2011), method B.

    Args:
        samples: Zero beyond each row's length.
        lengths: Of the rows, in samples.

    Shape:
        (B, N), (B,) -> T = N / 16, rounded up
    """
    rectified = pad(samples.abs(), (0, -samples.shape[1] % ENVELOPE_STEP)).view(len(samples), -1, ENVELOPE_STEP)
    mean = rectified.mean(-1).double()
    steps = mean.shape[1]
    smooth = convolve(mean, _smoothing(mean.device))[:, :steps]
    beyond = torch.arange(steps, device=smooth.device) * ENVELOPE_STEP >= lengths[:, None]
    held = _held(smooth).masked_fill(beyond, -1.0).sort(1).values
    return Envelopes(held, lengths, _sum_squares(samples))


def _held(envelope: Tensor) -> Tensor:
    """The maximum over the hangover before each step: of 2 steps, of 4, of 8, ... and of two stretches that overlap.

    Shape:
        (B, T) -> (B, T)
    """
    widest, width = pad(envelope, (HANGOVER_STEPS - 1, 0)), 1
    while width < HANGOVER_STEPS:
        shift = min(width, HANGOVER_STEPS - width)
        widest = torch.maximum(widest[:, shift:], widest[:, :-shift])
        width += shift
    return widest


def _sum_squares(samples: Tensor) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(samples, dim=1)
    return norm.double().square()


def device_of(name: str) -> torch.device:
    """A device by its name.

    Raises:
        SpeechbenchError: "cuda" where torch sees no GPU, or another kind of device.
    """
    device = torch.device(name)
    if device.type not in ("cpu", "cuda"):
        raise SpeechbenchError(f"scenes are rendered on 'cpu' or 'cuda', not on '{name}'")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise SpeechbenchError(f"torch {torch.__version__} sees no GPU here; render on 'cpu', or install a CUDA build of torch")
    return device


def render(rows: Rows, device: torch.device) -> tuple[Batch, Failed]:
    """The scenes as `mix.render` gives them before it rounds to 16 bits, and the scenes whose speech is silent."""
    sounds = gather(rows, device)
    mixed = mix(sounds)
    sounding = [level >= SILENCE_DBFS for level in mixed.speech_dbfs.tolist()]
    silent = [scene for scene, sounds_ in zip(rows.scenes, sounding, strict=True) if not sounds_]
    samples, lengths, snr_db = mixed.samples, sounds.lengths, mixed.snr_db
    if silent:
        kept = torch.tensor(sounding, device=device)
        samples, lengths, snr_db = samples[kept], lengths[kept], snr_db[kept]
    scenes = tuple(scene for scene, sounds_ in zip(rows.scenes, sounding, strict=True) if sounds_)
    errors = [(scene, one_by_one.named(scene, AudioError(one_by_one.SILENT))) for scene in silent]
    return Batch(samples, lengths, snr_db, scenes), errors


def gather(rows: Rows, device: torch.device) -> Sounds:
    """Bring what was read to the device."""
    clip = [scene.clip for scene in rows.scenes]
    speech, noise = _moved(torch.from_numpy(rows.sounds), device)[:, :, : max(rows.lengths)]
    return Sounds(
        speech=speech,
        noise=noise,
        lengths=torch.tensor(rows.lengths, device=device),
        responses=None if rows.responses is None else _moved(torch.from_numpy(rows.responses), device),
        delay=rows.delay,
        level_dbfs=torch.tensor([scene.level_dbfs for scene in rows.scenes], dtype=torch.float64, device=device),
        clip=torch.tensor(clip, device=device) if any(clip) else None,
    )


def _moved(values: Tensor, device: torch.device) -> Tensor:
    if device.type != "cuda":
        return values
    # Only from pinned memory, and all of a piece, does a copy to a GPU run beside other work.
    if not values.is_pinned():
        values = torch.empty(values.shape, dtype=values.dtype, pin_memory=True).copy_(values)
    return values.to(device, non_blocking=True)


@contextmanager
def pinned(values: Samples) -> Iterator[None]:
    """Memory from which a GPU copies while the processor goes on, until this is left.

    Raises:
        RuntimeError: The system does not pin so much.
    """
    runtime = torch.cuda.cudart()  # type: ignore[no-untyped-call]
    torch.cuda.check_error(runtime.cudaHostRegister(values.ctypes.data, values.nbytes, 0))
    try:
        yield
    finally:
        torch.cuda.synchronize()  # a copy may be under way
        torch.cuda.check_error(runtime.cudaHostUnregister(values.ctypes.data))


def mix(sounds: Sounds) -> Mixed:
    """Filter, level and add up, as `mix.mix` does one by one."""
    speech, noise, lengths, responses, delay, level_dbfs, clip = sounds
    if responses is not None:
        speech = convolve(speech, responses)[:, delay : delay + speech.shape[1]]
        _end(speech, lengths)  # what rings on is cut
    speech = _end(speech - (speech.sum(1) / lengths)[:, None], lengths)
    envelope = envelopes(speech, lengths)
    speech_dbfs = 10.0 * (envelope.sum_squares / lengths).log10()
    speech_gain_db = level_dbfs - speech_dbfs
    for _ in range(2):
        speech_gain_db = speech_gain_db + level_dbfs - envelope.level_dbfs(speech_gain_db)
    output_gain_db = torch.zeros_like(speech_gain_db)
    while True:
        active = envelope.level_dbfs(speech_gain_db + output_gain_db)
        total = torch.addcmul(speech * _factor(speech_gain_db + output_gain_db), noise, _factor(active) / one_by_one.FULL_SCALE)
        least, most = total.aminmax(dim=1)
        peak = torch.maximum(most, -least).double()
        over = peak > one_by_one.CEILING
        if clip is not None:
            over &= ~clip
        if not over.any():
            break
        lower = output_gain_db + 20.0 * (one_by_one.CEILING / peak).log10() - 0.001
        output_gain_db = torch.where(over, lower, output_gain_db)
    if clip is not None:
        total = torch.where(clip[:, None], total.clamp(-1.0, 1.0 - 1.0 / one_by_one.FULL_SCALE), total)
    noise_dbfs = 10.0 * (_sum_squares(noise) / lengths).log10() - one_by_one.FULL_SCALE_DB
    return Mixed(total, (-noise_dbfs).where(noise_dbfs.isfinite(), torch.nan), speech_dbfs)


def _end(rows: Tensor, lengths: Tensor) -> Tensor:
    """The rows, silenced in place beyond their lengths (B,)."""
    if rows.device.type == "cuda":
        return rows.mul_(torch.arange(rows.shape[1], device=rows.device) < lengths[:, None])
    for row, length in zip(rows, lengths.tolist(), strict=True):  # they differ little in a batch: a mask would cost a pass more
        row[length:] = 0.0
    return rows


def _factor(gain_db: Tensor) -> Tensor:
    """What the samples of each row are multiplied by.

    Shape:
        (B,) -> (B, 1)
    """
    return (10.0 ** (gain_db / 20.0)).float()[:, None]
