"""Prefix beam search against the sum over all alignments."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.ctc.beam import prefix_beam


def draw(seed, steps, tokens, spread=2.0):
    values = np.random.default_rng(seed).normal(0, spread, (steps, tokens))
    return (values - np.log(np.exp(values).sum(1, keepdims=True))).astype(np.float32)


def joined(alignment):
    """What an alignment says: repeats joined, blanks dropped."""
    return tuple(token for token, _ in itertools.groupby(alignment) if token)


def sums(scores):
    """The probability of each token sequence, by adding up all V^T alignments."""
    found = Counter()
    for alignment in itertools.product(range(scores.shape[1]), repeat=len(scores)):
        found[joined(alignment)] += math.exp(sum(float(scores[t, token]) for t, token in enumerate(alignment)))
    return found


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), steps=st.integers(0, 6), tokens=st.integers(1, 4))
def test_with_room_for_all_prefixes_the_sums_are_exact(seed, steps, tokens):
    scores = draw(seed, steps, tokens)
    truth = sums(scores)
    found = prefix_beam(scores, width=len(truth), least=0.0)
    assert {tuple(text) for text, _ in found} == truth.keys()
    for text, score in found:
        assert score == pytest.approx(math.log(truth[tuple(text)]), abs=1e-5)
    assert [score for _, score in found] == sorted((score for _, score in found), reverse=True)
    assert math.fsum(math.exp(score) for _, score in found) == pytest.approx(1, abs=1e-5)


def test_the_likeliest_text_need_not_have_the_likeliest_alignment():
    scores = np.log(np.array([[0.6, 0.4], [0.6, 0.4]], np.float32))
    assert joined(scores.argmax(1)) == ()  # 0.36, against 0.16 + 0.24 + 0.24 of (1,)
    (best, score), *_ = prefix_beam(scores, width=2)
    assert best == [1] and math.exp(score) == pytest.approx(0.64)


def test_a_token_twice_needs_a_blank_between():
    sure = np.log(np.full((3, 2), 1e-9, np.float32))
    sure[[0, 1, 2], [1, 0, 1]] = 0.0
    assert prefix_beam(sure, width=4)[0][0] == [1, 1]
    assert prefix_beam(sure[[0, 0, 2]], width=4)[0][0] == [1]


@pytest.mark.parametrize("seed", range(5))
def test_a_narrow_beam_loses_alignments_and_never_adds_any(seed):
    """Against torch's sum over all alignments of the text that was found."""
    scores = draw(seed, 20, 6, spread=6.0)
    for width, lost in ((2, 5.0), (300, 0.1)):
        (text, score), *_ = prefix_beam(scores, width, least=0.0)
        sizes = torch.tensor([20]), torch.tensor([len(text)])
        summed = torch.nn.functional.ctc_loss(torch.from_numpy(scores)[:, None], torch.tensor([text]), *sizes, reduction="sum")
        assert -summed - lost <= score <= -summed + 1e-4


def test_of_equals_the_first_that_was_met():
    even = np.log(np.full((2, 4), 0.25, np.float32))
    assert [text for text, _ in prefix_beam(even, width=20)][:3] == [[1], [2], [3]]


def test_long_audio_does_not_vanish():
    scores = draw(0, 15_000, 5, spread=5.0)  # 10 minutes
    (_, score), *_ = prefix_beam(scores, width=4)
    assert -math.inf < score < 0


def test_no_steps_say_nothing():
    assert prefix_beam(np.zeros((0, 5), np.float32), width=4) == [([], 0.0)]
