import numpy as np
import pytest
from made_speech import RATE

from speechbench import audio
from synth import pieces
from synth.noise import Piece


def piece(path, offset, duration):
    return Piece(path.stem, str(path), "car", None, offset, duration)


@pytest.fixture(params=[16, 8], ids=["long", "kept decoded"])
def recording(tmp_path, request):
    """White noise with an offset."""
    path = tmp_path / "n.flac"
    samples = np.random.default_rng(0).normal(0.2, 0.1, request.param * RATE).astype(np.float32)
    audio.write(path, np.clip(samples, -1, 1))
    return path


def test_pieces_join_without_gap_or_click_and_keep_their_power(recording):
    laid = pieces.join(tuple(piece(recording, at, 1.0 + 0.02 * (at < 7)) for at in (1.0, 3.0, 5.0, 7.0)), 4 * RATE)
    for start in range(0, 4 * RATE, 800):
        assert 0.07 < np.sqrt(np.mean(laid[start : start + 800] ** 2)) < 0.13
    assert np.abs(np.diff(laid)).max() < 1.0
    assert np.abs(laid).max() < 0.7  # two fades never add the offset
    assert laid[0] == pytest.approx(audio.read(recording, 1.0, 1.0)[0] - 0.2, abs=0.005)


def test_an_offset_of_the_recording_is_taken_out(recording):
    assert pieces.join((piece(recording, 1.0, 2.0),), 2 * RATE).mean() == pytest.approx(0.0, abs=1e-6)
    assert pieces.join((piece(recording, 1.0, 2.0),), 2 * RATE).std() == pytest.approx(0.1, rel=0.02)


def test_an_event_fades_in_and_out_and_ends_with_the_speech(recording):
    whole = pieces.sounding(piece(recording, 1.0, 2.0), RATE, 4 * RATE)
    assert whole.size == 2 * RATE and whole[0] == whole[-1] == 0.0
    assert whole[RATE] == pytest.approx(audio.read(recording, 1.0, 2.0)[RATE] - 0.2, abs=0.005)
    cut = pieces.sounding(piece(recording, 1.0, 2.0), 3 * RATE, 4 * RATE)
    assert cut.size == RATE and cut[-1] == 0.0
    assert pieces.sounding(piece(recording, 1.0, 2.0), 4 * RATE - 10, 4 * RATE).size == 10


def test_reading_a_piece_leaves_the_kept_recording_as_it_was(recording):
    first = pieces.join((piece(recording, 0.0, 1.0),), RATE)
    pieces.sounding(piece(recording, 0.0, 1.0), 0, RATE)
    assert np.array_equal(first, pieces.join((piece(recording, 0.0, 1.0),), RATE))
