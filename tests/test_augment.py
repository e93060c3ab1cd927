import numpy as np
import pytest
import torch

from pipelines.batches import pad
from pipelines.ctc.augment import Changes, augment, draw, warped
from pipelines.ctc.config import AugmentConfig
from speechbench.audio import SAMPLING_RATE
from speechbench.features import log_mel

OFF = AugmentConfig(stretch=0.0, warp=0.0, frequency_masks=0, time_masks=0)


def features(frames=200, bands=40):
    return torch.randn(frames, bands, generator=torch.Generator().manual_seed(0)) + 5  # so that no value is 0


def changed(given, config, seed=0):
    """One utterance, changed by chance."""
    batch, lengths = pad([given])
    changes = draw(lengths, given.shape[1], config, [seed])
    (result,) = augment(batch, lengths, changes)
    assert [len(result)] == changes.frames.tolist()
    return result


def change_of(changes, place):
    """Of one utterance of a batch."""
    one = slice(place, place + 1)
    return Changes(changes.frames[one], changes.warp[one], changes.bands[:, one], changes.times[:, one])


def test_nothing_is_changed_where_all_is_off():
    assert torch.equal(changed(features(), OFF), features())


def test_the_features_given_are_left_alone():
    given = features()
    changed(given, AugmentConfig())
    assert torch.equal(given, features())


def test_chance_is_the_utterances_own():
    results = [changed(features(), AugmentConfig(), seed) for seed in (1, 1, 2)]
    assert torch.equal(results[0], results[1])
    assert results[0].shape != results[2].shape or not torch.equal(results[0], results[2])


def test_each_utterance_of_a_batch_is_changed_as_if_alone():
    config = AugmentConfig(warp=0.1, frequency_masks=2, time_masks=2)
    given = [features(frames) for frames in (200, 3, 90)]
    changes = draw(torch.tensor([200, 3, 90]), 40, config, range(3))
    batch, sizes = augment(*pad(given), changes), changes.frames.tolist()
    assert batch.shape == (3, max(sizes), 40)
    for place, (row, size, one) in enumerate(zip(batch, sizes, given, strict=True)):
        alone_changes = draw(torch.tensor([len(one)]), 40, config, [place])
        assert all(map(torch.equal, alone_changes, change_of(changes, place)))
        (alone,) = augment(*pad([one]), alone_changes)
        assert torch.equal(row[:size], alone)
        assert not row[size:].any()


def test_a_text_that_fits_barely_is_not_squeezed():
    config, lengths = AugmentConfig(stretch=0.5), torch.full((100,), 100)
    enough = [lambda frames: frames >= 100] * 100
    squeezed, not_squeezed = (draw(lengths, 40, config, range(100), fits).frames for fits in (None, enough))
    assert min(not_squeezed) == 100 < max(not_squeezed) and min(squeezed) < 60
    assert torch.equal(not_squeezed, squeezed.clamp_min(100))


@pytest.mark.parametrize("frames", [1, 2, 7, 200])
def test_stretch_keeps_within_its_bounds(frames):
    config = AugmentConfig(stretch=0.1, warp=0.0, frequency_masks=0, time_masks=0)
    lengths = {len(changed(features(frames), config, seed)) for seed in range(100)}
    assert min(lengths) >= max(1, round(0.9 * frames))
    assert max(lengths) <= round(1.1 * frames)
    assert len(lengths) > 15 or frames < 200


def test_stretch_moves_events_in_proportion():
    ramp = torch.arange(200.0).unsqueeze(1).expand(-1, 3)
    stretched = changed(ramp, AugmentConfig(stretch=0.2, warp=0.0, frequency_masks=0, time_masks=0))
    inner = stretched[5:-5]
    slope = inner[1:] - inner[:-1]
    torch.testing.assert_close(slope, torch.full_like(slope, 200 / len(stretched)), atol=1e-3, rtol=1e-3)


def masked(values):
    """The masked bands and frames."""
    zero = values == 0
    return zero.all(0), zero.all(1)


def test_frequency_masks_are_whole_bands_no_wider_than_asked():
    widths = []
    for seed in range(60):
        config = AugmentConfig(stretch=0.0, warp=0.0, frequency_masks=1, frequency_width=10, time_masks=0)
        result = changed(features(), config, seed)
        bands, frames = masked(result)
        assert not frames.any()
        assert torch.equal((result == 0).any(0), bands)
        assert torch.equal(result[:, ~bands], features()[:, ~bands])
        widths.append(int(bands.sum()))
    assert max(widths) <= 10
    assert len(set(widths)) > 5


def test_time_masks_are_whole_frames_and_a_fifth_at_most():
    for frames in (3, 50, 200):
        widths = []
        for seed in range(60):
            config = AugmentConfig(stretch=0.0, warp=0.0, frequency_masks=0, time_masks=1, time_width=25)
            result = changed(features(frames), config, seed)
            bands, hidden = masked(result)
            assert not bands.any()
            assert torch.equal(result[~hidden], features(frames)[~hidden])
            widths.append(int(hidden.sum()))
        assert max(widths) <= min(25, 0.2 * frames)
        assert max(widths) > 0 or frames == 3


def test_warp_moves_a_voice_to_other_frequencies():
    """A pure tone at f is found at f times the factor."""
    seconds = np.arange(8000) / SAMPLING_RATE
    for tone, factor in ((1000.0, 1.2), (1000.0, 0.8), (3000.0, 1.1)):
        first, second = (log_mel(np.sin(2 * np.pi * f * seconds).astype(np.float32), 80)[25] for f in (tone, tone * factor))
        moved = warped(first.view(1, 1, -1), torch.tensor([factor]))[0, 0]
        assert abs(int(moved.argmax()) - int(second.argmax())) <= 1
        assert abs(int(first.argmax()) - int(second.argmax())) >= 2


@pytest.mark.parametrize("bands", [1, 2, 80])
def test_warp_by_1_changes_nothing(bands):
    given = features(bands=bands).unsqueeze(0)
    torch.testing.assert_close(warped(given, torch.ones(1)), given, atol=1e-4, rtol=1e-4)


def test_warp_is_between_its_bounds():
    """What the outermost bands hold is what is next to them."""
    ramp = torch.arange(40.0).expand(2, 3, 40)
    up, down = warped(ramp, torch.tensor([1.1, 0.9]))
    assert (up <= ramp[0]).all() and (down >= ramp[0]).all()
    assert (up[:, 1:] >= up[:, :-1]).all() and (down.max(), up.min()) == (39.0, 0.0)


def test_masks_hide_what_is_drawn():
    hidden = Changes(torch.tensor([200]), torch.ones(1), torch.tensor([[[3, 5]]]), torch.tensor([[[10, 20]], [[15, 30]]]))
    batch = augment(*pad([features()]), hidden)
    bands, frames = masked(batch[0])
    assert bands.nonzero().flatten().tolist() == [3, 4]
    assert frames.nonzero().flatten().tolist() == list(range(10, 30))
