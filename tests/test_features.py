import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.fft import dct

from speechbench.features import Moments, band_frequencies, band_places, cmvn, cmvns, log_mel, log_mels, mfcc, with_deltas
from speechbench.torch_audio import torchaudio

RATE = 16_000


def mel(hertz):
    return 2595 * np.log10(1 + hertz / 700)


def tone(hertz, seconds=0.5, amplitude=0.3):
    return (amplitude * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


def noise(seconds=0.5, seed=0):
    return np.random.default_rng(seed).normal(0, 0.1, round(seconds * RATE)).astype(np.float32)


@pytest.mark.parametrize("hertz", [150, 400, 1000, 2500, 5000, 7000])
@pytest.mark.parametrize("bands", [40, 80])
def test_tone_lies_in_its_mel_band(hertz, bands):
    centres = np.linspace(mel(20), mel(7600), bands + 2)[1:-1]
    loudest = log_mel(tone(hertz), bands).mean(0).argmax()
    spacing = max(centres[1] - centres[0], mel(hertz + 31.25) - mel(hertz))  # no band is finer than the Fourier transform
    assert abs(centres[loudest] - mel(hertz)) <= spacing


@pytest.mark.parametrize("bands", [40, 80])
def test_log_mel_against_numpy(bands):
    """Hann windows of 25 ms around each 160th sample, power spectrum, triangles that are even on the mel scale."""
    samples = np.pad(noise(), 256, mode="reflect").astype(float)
    window = np.zeros(512)
    window[56:456] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    frames = np.stack([samples[start : start + 512] * window for start in range(0, len(samples) - 511, 160)])
    power = np.abs(np.fft.rfft(frames)) ** 2
    edges = 700 * (10 ** (np.linspace(mel(20), mel(7600), bands + 2) / 2595) - 1)
    bins = np.arange(257) * RATE / 512
    rising = (bins[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins[:, None]) / (edges[2:] - edges[1:-1])
    oracle = np.log(power @ np.maximum(0, np.minimum(rising, falling)) + 1e-6)
    np.testing.assert_allclose(log_mel(noise(), bands).numpy(), oracle, atol=2e-3)


@given(st.integers(1, 3000))
@settings(max_examples=40, deadline=None)
def test_frame_count(count):
    for features in (log_mel(noise(1)[:count]), mfcc(noise(1)[:count])):
        assert len(features) == count // 160 + 1
        assert torch.isfinite(features).all()


def test_frames_are_centred_on_their_sample():
    click = np.zeros(8000, np.float32)
    click[160 * 20] = 1.0
    assert log_mel(click).sum(1).argmax() == 20


def test_log_mel_of_a_louder_signal_is_shifted():
    louder = log_mel(2 * noise()) - log_mel(noise())
    torch.testing.assert_close(louder.median(0).values, torch.full((80,), float(np.log(4))), atol=1e-3, rtol=0)


def test_shift_by_a_frame_shifts_the_features():
    samples = noise()
    before, after = log_mel(samples), log_mel(samples[160:])
    torch.testing.assert_close(after[2:-2], before[3:-2], atol=1e-4, rtol=1e-4)  # the edges are mirrored


def test_silence_is_finite():
    for samples in (np.zeros(4000, np.float32), np.zeros(1, np.float32)):
        assert torch.isfinite(cmvn(with_deltas(mfcc(samples)))).all()


@pytest.mark.parametrize("coefficients", [13, 20, 40])
def test_mfcc_against_scipy(coefficients):
    oracle = dct(log_mel(noise(), 40).numpy(), type=2, norm="ortho", axis=1)[:, :coefficients]
    np.testing.assert_allclose(mfcc(noise(), coefficients, 40).numpy(), oracle, atol=1e-4)


def test_deltas_of_a_ramp_are_its_slopes():
    slopes = torch.tensor([1.0, -2.0, 0.5])
    ramp = torch.arange(30.0).unsqueeze(1) * slopes
    features = with_deltas(ramp)
    assert features.shape == (30, 9)
    torch.testing.assert_close(features[:, :3], ramp)
    torch.testing.assert_close(features[2:-2, 3:6], slopes.expand(26, 3))
    torch.testing.assert_close(features[4:-4, 6:], torch.zeros(22, 3), atol=1e-5, rtol=0)


@pytest.mark.parametrize("frames", [1, 2, 3, 5, 40])
def test_deltas_against_torchaudio(frames):
    features = torch.randn(frames, 13)
    slopes = torchaudio.functional.compute_deltas
    first = slopes(features.T)
    torch.testing.assert_close(with_deltas(features), torch.cat([features.T, first, slopes(first)]).T)


def test_deltas_of_a_parabola_have_its_curvature():
    features = with_deltas((torch.arange(30.0) ** 2).unsqueeze(1))
    torch.testing.assert_close(features[4:-4, 2], torch.full((22,), 2.0), atol=1e-3, rtol=0)


@given(st.integers(3, 50), st.integers(0, 1000))  # two frames may be so alike that float32 rounds their difference away
@settings(max_examples=20, deadline=None)
def test_cmvn_mean_0_variance_1(frames, seed):
    features = torch.from_numpy(np.random.default_rng(seed).normal(5, 3, (frames, 7)).astype(np.float32))
    normalised = cmvn(features)
    torch.testing.assert_close(normalised.mean(0), torch.zeros(7), atol=1e-4, rtol=0)
    torch.testing.assert_close(normalised.var(0, correction=0), torch.ones(7), atol=1e-3, rtol=0)
    torch.testing.assert_close(cmvn(2 * features - 4), normalised, atol=1e-3, rtol=0)  # the channel's gain is gone


def test_cmvn_of_a_constant_is_0():
    assert cmvn(torch.full((5, 3), 4.2)).abs().max() < 1e-3


def test_places_of_bands_are_those_of_their_centres():
    frequencies = band_frequencies(40)
    torch.testing.assert_close(band_places(frequencies, 40), torch.arange(40.0), atol=1e-3, rtol=0)
    for band in (3, 20, 36):  # a tone at a band's centre sounds in that band
        tone = np.sin(2 * np.pi * float(frequencies[band]) * np.arange(8000) / 16000).astype(np.float32)
        assert log_mel(tone, 40)[25].argmax() == band


def test_each_utterance_of_a_batch_has_the_features_that_it_has_alone():
    lengths = torch.tensor([8000, 100, 1, 257, 4161])
    alone = [torch.from_numpy(noise(1, seed)[:length]) for seed, length in enumerate(lengths.tolist())]
    samples = torch.nn.utils.rnn.pad_sequence(alone, batch_first=True)
    frames = lengths // 160 + 1
    batch = log_mels(samples, lengths, 40)
    normal = cmvns(batch, frames)
    assert batch.shape == normal.shape == (5, 51, 40)
    for row, normal_row, one, count in zip(batch, normal, alone, frames.tolist(), strict=True):
        torch.testing.assert_close(row[:count], log_mel(one, 40), atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(normal_row[:count], cmvn(log_mel(one, 40)), atol=1e-3, rtol=1e-3)
        assert not normal_row[count:].any()


def test_each_utterance_of_a_batch_is_normalised_beside_its_own_speaker():
    chance = torch.Generator().manual_seed(0)
    rows, frames = 5.0 * torch.randn(3, 60, 7, generator=chance) - 20.0, torch.tensor([60, 1, 23])
    speakers = Moments(torch.randn(3, 7, generator=chance) - 20.0, 20.0 + torch.rand(3, 7, generator=chance))
    weights = torch.tensor([5.0, 40.0, 0.0])  # nobody knows who says the third
    batch = cmvns(rows, frames, speakers, weights)
    for number, count in enumerate(frames.tolist()):
        speaker = Moments(speakers.mean[number], speakers.variance[number])
        alone = cmvn(rows[number, :count], speaker, float(weights[number]))
        torch.testing.assert_close(batch[number, :count], alone, atol=1e-3, rtol=1e-3)
        assert not batch[number, count:].any()
