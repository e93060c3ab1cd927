import dataclasses
import hashlib
import subprocess
import sys

import numpy as np
import pytest
from made_speech import RATE, syllables

from synth import cabin
from synth.recipe import CabinRanges


@pytest.fixture(scope="module")
def cabins():
    return cabin.draw(CabinRanges(count=6), 0)


def test_cabins_lie_in_their_ranges_and_survive_json(cabins):
    assert len({one.size for one in cabins}) == 6
    for one in cabins:
        assert 0.05 <= one.rt60 <= 0.1
        assert all(
            0 < place < side for point in (one.mouth, one.microphone) for place, side in zip(point, one.size, strict=True)
        )
        assert cabin.Cabin.of(one.row()) == one
    assert cabin.draw(CabinRanges(count=3), 0) == cabins[:3]


def test_the_direct_path_has_unit_gain_and_is_where_it_is_said(cabins):
    for one in cabins:
        response, delay = cabin.impulse_response(one)
        around = response[delay - 3 : delay + 4]
        assert 0.5 < np.abs(around).max() < 1.6  # spread over two samples where it falls between them
        assert np.abs(response[: delay - 45]).max(initial=0.0) < 0.05  # the foot of a high-pass at 10 Hz


def test_reverberation_is_as_short_as_in_a_car(cabins):
    for one in cabins:
        response, _ = cabin.impulse_response(one)
        left = np.cumsum(response[::-1].astype(float) ** 2)[::-1]
        decay = 10 * np.log10(left / left[0] + 1e-12)
        rt60 = 2 * (np.argmax(decay < -35) - np.argmax(decay < -5)) / RATE
        assert 0.03 < rt60 < 0.16


def test_the_walls_absorb_what_the_reverberation_time_needs(cabins):
    for one in cabins:
        length, width, height = one.size
        surface = 2 * (length * width + length * height + width * height)
        absorbed = cabin.absorption(one)
        assert np.all((absorbed > 0.05) & (absorbed < 0.99))
        assert 0.161 * length * width * height / (surface * absorbed[3]) == pytest.approx(one.rt60)  # Sabine, at 1 kHz
        assert absorbed[5] < absorbed[3]  # glass and leather throw the highest tones back
    cloth, leather = (cabin.absorption(dataclasses.replace(cabins[0], seats=seats)) for seats in ("cloth", "leather"))
    assert np.abs(cloth - leather).max() > 0.01
    assert {one.seats for one in cabin.draw(CabinRanges(count=20), 0)} == {"cloth", "leather"}
    assert {one.seats for one in cabin.draw(CabinRanges(count=20, leather=0.0), 0)} == {"cloth"}


def test_little_comes_late(cabins):
    for one in cabins:
        response, delay = cabin.impulse_response(one)
        energy = np.square(response.astype(float))
        assert 10 * np.log10(energy[delay + 800 :].sum() / energy.sum()) < -20  # after 50 ms


def test_words_stay_where_they_were(cabins):
    speech = syllables(np.random.default_rng(0), 2.0)
    for one in cabins:
        heard = cabin.apply(speech, *cabin.impulse_response(one))
        assert heard.size == speech.size
        lags = np.arange(-80, 81)
        match = [np.dot(heard[200:-200], speech[200 - lag : speech.size - 200 - lag]) for lag in lags]
        assert abs(lags[int(np.argmax(match))]) <= 48  # 3 ms


@pytest.mark.slow
def test_bytes_repeat_across_processes(cabins):
    program = (
        "import hashlib; from synth import cabin; from synth.recipe import CabinRanges;"
        "cabins = cabin.draw(CabinRanges(count=2), 0);"
        "print(*(hashlib.sha256(cabin.impulse_response(one)[0].tobytes()).hexdigest() for one in cabins))"
    )
    here = [hashlib.sha256(cabin.impulse_response(one)[0].tobytes()).hexdigest() for one in cabins[:2]]
    there = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert here == there


@pytest.mark.parametrize("length", [1, 70, 2100, 20_000])
@pytest.mark.parametrize("samples", [1, 900, 6_100, 50_000])
def test_the_filter_is_a_convolution(samples, length):
    rng = np.random.default_rng([samples, length])
    one, response = (rng.standard_normal(size).astype(np.float32) for size in (samples, length))
    heard, oracle = cabin.convolved(one, response), np.convolve(one.astype(float), response.astype(float))
    assert heard.dtype == np.float32 and np.abs(heard[: oracle.size] - oracle).max() < 1e-5 * max(1.0, np.abs(oracle).max())
    assert not np.abs(heard[oracle.size :]).max(initial=0.0) > 1e-3
