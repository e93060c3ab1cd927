"""The silence before and behind the speech of an utterance, most of which a recogniser can do without.

It is half of what people record who press a button, speak and press it again; a network that hears all of it takes twice the
time to learn the same, and longer to find out which steps are those of the text. B utterances, T frames, F bands, V tokens.
"""

from __future__ import annotations

from math import log

import torch
from torch import Tensor

from pipelines.ctc.device import moved
from pipelines.ctc.network import STRIDE, Network, score_all, steps_of
from speechbench.features import FRAME_SHIFT

SMOOTHED = 5  # frames over which the level is averaged, so that a click is no speech
QUIET, LOUD = 0.1, 0.95  # shares of the frames that are quieter than what is taken for the noise's and the speech's level
# Where speech begins, as a share of the way from the noise's level to the speech's. 90 utterances of picovoice_intent in a car
# (SNR -5 to 20 dB), against the edges found without the noise: at 0.3 the noise hides more than 0.3 s of speech in one, at 0.4
# in three, at 0.5 in seven.
BEGINS = 0.3
UNHEARD = log(1e-6)  # of each token but the blank in a step of silence that the network does not hear


def speech_edges(features: Tensor) -> tuple[int, int]:
    """The first frame with speech and the first behind the last; where nothing stands out, all frames.

    Args:
        features: Log-mel after CMVN, so that each band tells as much.

    Shape:
        (T, F)
    """
    level = features.mean(1)
    near = torch.nn.functional.avg_pool1d(level.view(1, 1, -1), SMOOTHED, 1, SMOOTHED // 2, count_include_pad=False).flatten()
    quiet, loud = torch.quantile(near, near.new_tensor([QUIET, LOUD])).tolist()
    speech = (near > quiet + BEGINS * (loud - quiet)).nonzero()
    return (int(speech[0]), int(speech[-1]) + 1) if len(speech) else (0, len(features))


def part_of(edges: tuple[int, int], frames: int, silence: float) -> tuple[int, int]:
    """The first of an utterance's frames, and how many, that are left with so many seconds before and behind its speech.

    The first is one at which the whole utterance would have an output, too.
    """
    margin = round(silence / FRAME_SHIFT)
    first = max(0, edges[0] - margin) // STRIDE * STRIDE
    return first, min(frames, edges[1] + margin) - first


def spoken(features: Tensor, silence: float) -> tuple[int, Tensor]:
    """The same for features (T, F): the first frame, and what is left."""
    first, frames = part_of(speech_edges(features), len(features), silence)
    return first, features[first : first + frames]


def score_spoken(network: Network, features: Tensor, silence: float) -> Tensor:
    """The log-probabilities of all steps; blanks where silence is left out, so that all times are those of the recording.

    Shape:
        (T, F) -> (T / 4, V)
    """
    first, part = spoken(features, silence)
    (heard,) = score_all(network, [part])
    scores = heard.new_full((steps_of(len(features)), heard.shape[1]), UNHEARD)
    scores[:, 0] = 0.0
    scores[first // STRIDE :][: len(heard)] = heard
    return scores


def cut(features: Tensor, starts: Tensor, lengths: Tensor) -> Tensor:
    """A padded batch from other first frames on, zero behind each utterance's new length.

    Args:
        features: Of utterances that are at least so long.
        starts: The first frames, on the CPU.
        lengths: Frames of each utterance, on the CPU.

    Shape:
        (B, T, F), (B,), (B,) -> (B, the largest of lengths, F)
    """
    steps = torch.arange(int(lengths.max()))
    places = moved((starts.unsqueeze(1) + steps).clamp_max(features.shape[1] - 1), features.device).unsqueeze(2)
    kept = moved(steps < lengths.unsqueeze(1), features.device).unsqueeze(2)
    return features.gather(1, places.expand(-1, -1, features.shape[2])).where(kept, 0.0)
