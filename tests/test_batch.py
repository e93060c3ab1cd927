import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_speech import RATE, syllables
from scipy.signal import oaconvolve

from speechbench import audio
from synth import batch, cabin, mix
from synth.recipe import CabinRanges
from synth.scene import Scene

CPU = torch.device("cpu")
CABINS = cabin.draw(CabinRanges(count=3), 0)


def white(samples, level, seed=0):
    return np.random.default_rng(seed).normal(0, level, samples).astype(np.float32)


def heard(speech, noise, snr_db, level_dbfs, car=None):
    one = Scene("a-noisy1", "a", "/a.flac", 0.0, speech.size / RATE, (), car, snr_db, level_dbfs, 1)
    return batch.Heard(one, speech, noise, cabin.impulse_response(car) if car else batch.NO_CABIN)


def alone(one):
    """The scene by `mix.mix`."""
    speech = cabin.apply(one.speech, one.scene.cabin) if one.scene.cabin else one.speech
    return mix.mix(speech, one.noise, one.scene.snr_db, one.scene.level_dbfs)


def assert_agree(rendered, scenes):
    for row, length, snr_db, one in zip(rendered.samples, rendered.lengths, rendered.snr_db, scenes, strict=True):
        parts = alone(one)
        assert row[:length].cpu().numpy() == pytest.approx(parts.sum, abs=1e-5)
        assert not row[length:].any()
        if parts.snr_db is None:
            assert snr_db.isnan()
        else:
            assert float(snr_db) == pytest.approx(parts.snr_db, abs=1e-3)


def varied(device):
    """Scenes of many lengths, levels and kinds, mixed on a device."""
    scenes = []
    for number, seconds in enumerate([0.3, 7.1, 2.0004, 3.3, 1.0, 4.7]):
        speech = syllables(np.random.default_rng(number), seconds, 10 ** -(number / 2), 0.1 * number)
        noise = None if number == 3 else white(speech.size, 0.1, number)
        scenes.append(heard(speech, noise, None if noise is None else 6.0 * number - 12, -24.0, [None, *CABINS][number % 4]))
    rendered, silent = batch.render(scenes, device)
    assert not silent
    assert_agree(rendered, scenes)


def test_a_batch_agrees_with_its_scenes_rendered_one_by_one():
    varied(CPU)


def test_a_gpu_agrees_with_scenes_rendered_one_by_one():
    if not torch.cuda.is_available():
        pytest.skip(f"torch {torch.__version__} sees no GPU on this machine")
    varied(torch.device("cuda"))


@settings(max_examples=20, deadline=None)
@given(
    seconds=st.lists(st.floats(0.1, 2.0), min_size=1, max_size=3),
    speech_level=st.floats(0.003, 0.5),
    noise_level=st.floats(1e-4, 0.4),
    pause=st.floats(0.0, 0.9),
    snr_db=st.floats(-20, 40),
    level_dbfs=st.floats(-45, -12),
    car=st.sampled_from([None, *CABINS]),
)
def test_any_scene_agrees(seconds, speech_level, noise_level, pause, snr_db, level_dbfs, car):
    scenes = []
    for number, length in enumerate(seconds):
        speech = syllables(np.random.default_rng(number), length, speech_level, pause)
        scenes.append(heard(speech, white(speech.size, noise_level, number), snr_db, level_dbfs, car))
    rendered, silent = batch.render(scenes, CPU)
    assert not silent
    assert_agree(rendered, scenes)


def test_padding_changes_no_result():
    scenes = [
        heard(syllables(np.random.default_rng(n), s), white(round(s * RATE), 0.1), 3.0, -26.0, CABINS[0])
        for n, s in enumerate([0.4, 1.7, 6.0])
    ]
    together, _ = batch.render(scenes, CPU)
    for row, one in enumerate(scenes):
        single, _ = batch.render([one], CPU)
        assert together.samples[row, : one.speech.size].numpy() == pytest.approx(single.samples[0].numpy(), abs=1e-6)
        assert float(together.snr_db[row]) == pytest.approx(float(single.snr_db[0]), abs=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(-60, 40))
def test_levels_are_those_of_the_recommendation(seed, gain_db):
    # Bursts of any level and length, so that every threshold may be the one that counts.
    rng = np.random.default_rng(seed)
    rows = [
        np.concatenate([rng.normal(0, 10 ** rng.uniform(-6, -0.5), rng.integers(1, 9000)) for _ in range(rng.integers(1, 9))])
        for _ in range(3)
    ]
    lengths = torch.tensor([row.size for row in rows])
    padded = torch.nn.utils.rnn.pad_sequence([torch.from_numpy(row.astype(np.float32)) for row in rows], batch_first=True)
    found = batch.envelopes(padded, lengths).level_dbfs(torch.full((3,), float(gain_db), dtype=torch.float64))
    oracle = [audio.speech_envelope(row.astype(np.float32)).level(gain_db).level_dbfs for row in rows]
    assert found.tolist() == pytest.approx(oracle, abs=1e-3)


@pytest.mark.parametrize(("samples", "response"), [(1, 1), (100, 3), (4096, 4096), (10_000, 4097), (9000, 20_000)])
def test_convolution_agrees_with_scipy(samples, response):
    signals, responses = white(2 * samples, 0.1).reshape(2, -1), white(2 * response, 0.1, 1).reshape(2, -1)
    found = batch.convolve(torch.from_numpy(signals), torch.from_numpy(responses))[:, : samples + response - 1]
    for row, signal, one in zip(found.numpy(), signals, responses, strict=True):
        assert row == pytest.approx(oaconvolve(signal, one), abs=1e-5)


def test_words_stay_where_they_were_in_every_cabin():
    clicks = np.zeros((len(CABINS), RATE), np.float32)
    clicks[:, RATE // 2] = 1.0
    responses, delay = batch.aligned([cabin.impulse_response(car) for car in CABINS])
    assert len({cabin.impulse_response(car)[1] for car in CABINS}) > 1
    for click, response in zip(clicks, responses, strict=True):
        echo = batch.convolve(torch.from_numpy(click)[None], torch.from_numpy(response)[None])[0, delay : delay + RATE]
        assert abs(int(echo.abs().argmax()) - RATE // 2) <= 1


def test_what_has_no_level_is_told_by_name():
    speech, silence = white(RATE, 0.1), np.zeros(RATE, np.float32)
    scenes = [heard(silence, speech, 0.0, -26.0), heard(speech, speech, 0.0, -26.0), heard(speech, silence, 0.0, -26.0)]
    rendered, silent = batch.render(scenes, CPU)
    assert [str(error).split(": ")[1] for _, error in silent] == [
        "speech is silent, it has no level; remove the utterance",
        "noise is silent here, no SNR can be set; remove the silence from the noise",
    ]
    assert rendered.samples.isfinite().all() and len(rendered.scenes) == 1
