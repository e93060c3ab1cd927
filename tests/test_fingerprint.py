import io

import numpy as np
import pytest
import soundfile
import soxr

from speechbench import audio
from synth import fingerprint

RATE = audio.SAMPLING_RATE


def coloured(seed, seconds, slope=1.0):
    """Stationary noise whose power falls with the frequency: nothing tells it from another seed's but chance."""
    rng = np.random.default_rng(seed)
    spectrum = np.fft.rfft(rng.standard_normal(round(seconds * RATE)))
    spectrum /= np.maximum(np.arange(spectrum.size), 50.0) ** (slope / 2)
    noise = np.fft.irfft(spectrum)
    return (0.1 * noise / np.std(noise)).clip(-1, 1).astype(np.float32)


def hum(seed, seconds):
    """An engine at constant revolutions: the same orders from every seed, with a little noise of its own."""
    time = np.arange(round(seconds * RATE)) / RATE
    orders = np.sum([np.sin(2 * np.pi * 55.0 * order * time) / order for order in range(1, 15)], axis=0)
    return (0.05 * orders + 0.3 * coloured(seed, seconds)).astype(np.float32)


def recoded(samples, container, subtype, rate, gain_db):
    """As somebody else would have saved it, read again at the fingerprint's rate."""
    changed = soxr.resample(samples, RATE, rate) * 10 ** (gain_db / 20)
    buffer = io.BytesIO()
    soundfile.write(buffer, changed.clip(-1, 1), rate, format=container, subtype=subtype)
    buffer.seek(0)
    read, _ = soundfile.read(buffer, dtype="float32")
    return soxr.resample(read, rate, fingerprint.SAMPLING_RATE)


def whole(samples):
    return fingerprint.of(soxr.resample(samples, RATE, fingerprint.SAMPLING_RATE))


CODINGS = [
    ("WAV", "PCM_16", 44_100, -20.0),
    ("FLAC", "PCM_16", 8_000, -3.0),
    ("FLAC", "PCM_16", 48_000, 6.0),
    ("OGG", "VORBIS", 16_000, -10.0),
    ("OGG", "VORBIS", 44_100, 0.0),
]


@pytest.mark.parametrize("coding", CODINGS, ids=lambda coding: f"{coding[0]}-{coding[2]}")
@pytest.mark.parametrize("make", [coloured, hum])
def test_a_piece_of_a_recording_is_found_whatever_was_done_to_it(coding, make):
    recordings = [make(seed, 12.0) for seed in range(4)]
    starts = [0.0, 1.777, 4.0123, 8.9]
    pieces = [one[round(at * RATE) : round((at + 3.1) * RATE)] for one, at in zip(recordings, starts, strict=True)]
    found = fingerprint.matches([whole(one) for one in recordings], [fingerprint.of(recoded(one, *coding)) for one in pieces])
    assert [(match.first, match.second) for match in found] == [(n, n) for n in range(4)]
    for match, start in zip(found, starts, strict=True):
        assert match.first_start - match.second_start == pytest.approx(start, abs=0.1)
        assert match.seconds == pytest.approx(3.1, abs=0.15)


@pytest.mark.parametrize("make", [coloured, hum])
def test_recordings_of_one_kind_are_not_taken_for_each_other(make):
    prints = [whole(make(seed, 10.0)) for seed in range(10)]
    assert fingerprint.matches(prints[:5], prints[5:]) == []


def test_the_shared_stretch_is_told_apart_from_what_surrounds_it():
    shared = coloured(0, 6.0)
    first = np.concatenate([coloured(1, 5.0), shared, coloured(2, 4.0)])
    second = np.concatenate([coloured(3, 2.0), shared, coloured(4, 7.0)])
    (match,) = fingerprint.matches([whole(first)], [whole(second)])
    assert (match.first_start, match.second_start) == (pytest.approx(5.0, abs=0.5), pytest.approx(2.0, abs=0.5))
    assert match.seconds == pytest.approx(6.0, abs=0.8)
    assert match.error_share < 0.1


def test_silence_is_like_nothing():
    silence = np.zeros(5 * fingerprint.SAMPLING_RATE, np.float32)
    padded = np.concatenate([silence, soxr.resample(coloured(0, 2.0), RATE, fingerprint.SAMPLING_RATE), silence])
    other = np.concatenate([silence, soxr.resample(coloured(1, 2.0), RATE, fingerprint.SAMPLING_RATE), silence])
    prints = [fingerprint.of(one) for one in (silence, padded, other)]
    assert fingerprint.matches(prints, prints[:1]) == []
    assert [match for match in fingerprint.matches(prints[1:2], prints[2:]) if match.first != match.second] == []


def test_what_is_too_short_matches_nothing():
    noise = coloured(0, 6.0)
    short = [whole(noise[:size]) for size in (100, 8_000, 2 * RATE)]
    assert [one.words.size for one in short[:1]] == [0]
    assert fingerprint.matches([whole(noise)], short) == []
    assert fingerprint.matches([], []) == []


def test_a_loop_costs_no_more_than_other_noise():
    loop = np.tile(coloured(0, 0.5), 120)  # a minute
    (match,) = fingerprint.matches([whole(loop)], [whole(loop[RATE : 20 * RATE])])
    assert match.seconds > 15.0


def test_real_noise_is_found_again_and_none_is_taken_for_another(shared_data):
    paths = sorted((shared_data / "noise_esc10").rglob("*-A.flac"))[::3] + sorted(
        (shared_data / "noise_blanket").glob("*.flac")
    )
    recordings = [audio.read(path)[: 12 * RATE] for path in paths]
    recordings = [one for one in recordings if one.size > 4 * RATE and np.count_nonzero(one) > 0.9 * one.size]
    assert len(recordings) > 30
    prints = [whole(one) for one in recordings]
    assert all(match.first == match.second for match in fingerprint.matches(prints, prints))
    for coding in CODINGS[1::2]:
        pieces = [fingerprint.of(recoded(one[12_345 : 12_345 + 3 * RATE], *coding)) for one in recordings]
        found = {(match.first, match.second) for match in fingerprint.matches(prints, pieces)}
        assert len(found) >= 0.97 * len(recordings)
        assert all(first == second for first, second in found)
