import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_speech import RATE, syllables
from scipy.signal import oaconvolve

from speechbench import levels
from synth import batch, cabin, mix
from synth.reading import Raw, aligned, side_by_side
from synth.recipe import CabinRanges
from synth.scene import Scene

CPU = torch.device("cpu")
CABINS = cabin.draw(CabinRanges(count=3), 0)


def white(samples, level, seed=0):
    return np.random.default_rng(seed).normal(0, level, samples).astype(np.float32)


def raw(speech, noise, snr_db, level_dbfs, car=None, events=(), lombard_db=0.0, clip=False):
    """A scene read, and the same rendered alone by `mix.mix`."""
    one = Scene(
        id="a-noisy1",
        clean_id="a",
        clean_filepath="/a.flac",
        clean_offset=0.0,
        clean_duration=speech.size / RATE,
        noise=(),
        cabin=car,
        snr_db=snr_db,
        level_dbfs=level_dbfs,
        seed=1,
        lombard_db=lombard_db,
        clip=clip,
    )
    response = mix.response_of(one)
    laid = None if noise is None else mix.lay(noise, events, 0.0, snr_db).samples
    heard = speech if response is None else cabin.apply(speech, *response)
    return Raw(one, speech, laid, response), mix.mix(heard, noise, snr_db, level_dbfs, events, clip)


def assert_agree(pairs, device=CPU):
    rendered, silent = batch.render(side_by_side([one for one, _ in pairs]), device)
    assert not silent and rendered.scenes == tuple(one.scene for one, _ in pairs)
    for row, length, snr_db, (_, parts) in zip(rendered.samples, rendered.lengths, rendered.snr_db, pairs, strict=True):
        # `mix.mix` rounds to 16 bits. Beyond that, a moment that just reaches a threshold of P.56 here and not there moves
        # the level of short speech by some thousandths of a dB.
        assert row[:length].cpu().numpy() == pytest.approx(parts.sum, abs=0.5 / 32768 + 1e-4)
        assert not row[length:].any()
        assert (float(snr_db) == pytest.approx(parts.snr_db, abs=0.02)) if parts.snr_db is not None else snr_db.isnan()


def varied():
    """Scenes of many lengths, levels and kinds."""
    horn, tick = white(RATE // 2, 0.2, 8), white(RATE // 20, 0.2, 9)
    for number, seconds in enumerate([0.3, 7.1, 2.0004, 3.3, 1.0, 4.7]):
        speech = syllables(np.random.default_rng(number), seconds, 10 ** -(number / 2), 0.1 * number) + np.float32(0.01)
        noise = None if number == 3 else white(speech.size, 0.1, number)
        snr_db = None if noise is None else 5.0 * number - 12
        events = [mix.Sound(700, horn, snr_db + 8), mix.Sound(9000, tick, snr_db)] if number in (1, 2) else []
        yield raw(speech, noise, snr_db, -17.0, [None, *CABINS][number % 4], events, 6.0 * (number % 2), clip=number == 0)


def test_a_batch_agrees_with_its_scenes_rendered_one_by_one():
    pairs = list(varied())
    assert pairs[0][1].clipped_samples > 0 and min(parts.output_gain_db for _, parts in pairs) < -1
    assert_agree(pairs)


def test_a_gpu_agrees_with_scenes_rendered_one_by_one():
    if not torch.cuda.is_available():
        pytest.skip(f"torch {torch.__version__} sees no GPU on this machine")
    assert_agree(list(varied()), torch.device("cuda"))


@pytest.mark.slow
@settings(max_examples=12, deadline=None)
@given(
    seconds=st.lists(st.floats(0.1, 2.0), min_size=1, max_size=3),
    speech_level=st.floats(0.003, 0.5),
    noise_level=st.floats(1e-3, 0.4),
    pause=st.floats(0.0, 0.9),
    snr_db=st.floats(-20, 30),
    level_dbfs=st.floats(-35, -12),
    car=st.sampled_from([None, *CABINS]),
    event_snr_db=st.none() | st.floats(5, 20),
)
def test_any_scene_agrees(seconds, speech_level, noise_level, pause, snr_db, level_dbfs, car, event_snr_db):
    pairs = []
    for number, length in enumerate(seconds):
        speech = syllables(np.random.default_rng(number), length, speech_level, pause)
        click = white(RATE // 50, 0.1, 7)
        events = [] if event_snr_db is None else [mix.Sound(RATE // 20, click, snr_db + event_snr_db)]
        pairs.append(raw(speech, white(speech.size, noise_level, number), snr_db, level_dbfs, car, events))
    assert_agree(pairs)


def test_padding_changes_no_result():
    scenes = []
    for number, seconds in enumerate([0.4, 1.7, 6.0]):
        speech = syllables(np.random.default_rng(number), seconds) + np.float32(0.02)
        scenes.append(raw(speech, white(speech.size, 0.1), 3.0, -26.0, CABINS[number])[0])
    together, _ = batch.render(side_by_side(scenes), CPU)
    for row, one in enumerate(scenes):
        single, _ = batch.render(side_by_side([one]), CPU)
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
    oracle = [levels.speech_envelope(row.astype(np.float32)).level(gain_db).level_dbfs for row in rows]
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
    responses, delay = aligned([cabin.impulse_response(car) for car in CABINS])
    assert len({cabin.impulse_response(car)[1] for car in CABINS}) > 1
    for click, response in zip(clicks, responses, strict=True):
        echo = batch.convolve(torch.from_numpy(click)[None], torch.from_numpy(response)[None])[0, delay : delay + RATE]
        assert abs(int(echo.abs().argmax()) - RATE // 2) <= 1


def test_silent_speech_is_told_by_name_and_left_out():
    one, parts = raw(white(RATE, 0.1), white(RATE, 0.1, 3), 0.0, -26.0)
    silent = one._replace(speech=np.full(2 * RATE, 0.25, np.float32), noise=white(2 * RATE, 0.1))  # an offset is no sound
    rendered, errors = batch.render(side_by_side([silent, one, silent._replace(noise=None)]), CPU)
    assert [str(error) for _, error in errors] == 2 * ["/a.flac: speech is silent, it has no level; remove the utterance"]
    assert rendered.scenes == (one.scene,)
    assert rendered.samples[0, :RATE].numpy() == pytest.approx(parts.sum, abs=3e-5)
