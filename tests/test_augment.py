import numpy as np
import pytest
import torch

from pipelines.ctc.augment import augment, warped
from pipelines.ctc.config import AugmentConfig
from speechbench.audio import SAMPLING_RATE
from speechbench.features import log_mel

OFF = AugmentConfig(stretch=0.0, warp=0.0, frequency_masks=0, time_masks=0)


def features(frames=200, bands=40):
    return torch.randn(frames, bands, generator=torch.Generator().manual_seed(0)) + 5  # so that no value is 0


def test_nothing_is_changed_where_all_is_off():
    assert torch.equal(augment(features(), OFF), features())


def test_the_features_given_are_left_alone():
    given = features()
    augment(given, AugmentConfig())
    assert torch.equal(given, features())


def test_chance_comes_from_torchs_generator():
    results = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        results.append(augment(features(), AugmentConfig()))
    assert torch.equal(results[0], results[1])
    assert results[0].shape != results[2].shape or not torch.equal(results[0], results[2])


@pytest.mark.parametrize("frames", [1, 2, 7, 200])
def test_stretch_keeps_within_its_bounds(frames):
    torch.manual_seed(0)
    config = AugmentConfig(stretch=0.1, warp=0.0, frequency_masks=0, time_masks=0)
    lengths = {len(augment(features(frames), config)) for _ in range(100)}
    assert min(lengths) >= max(1, round(0.9 * frames))
    assert max(lengths) <= round(1.1 * frames)
    assert len(lengths) > 15 or frames < 200


def test_stretch_moves_events_in_proportion():
    torch.manual_seed(0)
    ramp = torch.arange(200.0).unsqueeze(1).expand(-1, 3)
    stretched = augment(ramp, AugmentConfig(stretch=0.2, warp=0.0, frequency_masks=0, time_masks=0))
    inner = stretched[5:-5]
    slope = inner[1:] - inner[:-1]
    torch.testing.assert_close(slope, torch.full_like(slope, 200 / len(stretched)), atol=1e-3, rtol=1e-3)


def masked(values):
    """The masked bands and frames."""
    zero = values == 0
    return zero.all(0), zero.all(1)


def test_frequency_masks_are_whole_bands_no_wider_than_asked():
    torch.manual_seed(0)
    widths = []
    for _ in range(60):
        result = augment(features(), AugmentConfig(stretch=0.0, warp=0.0, frequency_masks=1, frequency_width=10, time_masks=0))
        bands, frames = masked(result)
        assert not frames.any()
        assert torch.equal((result == 0).any(0), bands)
        assert torch.equal(result[:, ~bands], features()[:, ~bands])
        widths.append(int(bands.sum()))
    assert max(widths) <= 10
    assert len(set(widths)) > 5


def test_time_masks_are_whole_frames_and_a_fifth_at_most():
    torch.manual_seed(0)
    for frames in (3, 50, 200):
        widths = []
        for _ in range(60):
            result = augment(
                features(frames), AugmentConfig(stretch=0.0, warp=0.0, frequency_masks=0, time_masks=1, time_width=25)
            )
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
        moved = warped(first.unsqueeze(0), factor)[0]
        assert abs(int(moved.argmax()) - int(second.argmax())) <= 1
        assert abs(int(first.argmax()) - int(second.argmax())) >= 2


@pytest.mark.parametrize("bands", [1, 2, 80])
def test_warp_by_1_changes_nothing(bands):
    torch.testing.assert_close(warped(features(bands=bands), 1.0), features(bands=bands), atol=1e-4, rtol=1e-4)


def test_warp_is_between_its_bounds():
    """What the outermost bands hold is what is next to them."""
    ramp = torch.arange(40.0).expand(3, 40)
    up, down = warped(ramp, 1.1), warped(ramp, 0.9)
    assert (up <= ramp).all() and (down >= ramp).all()
    assert (up[:, 1:] >= up[:, :-1]).all() and (down.max(), up.min()) == (39.0, 0.0)
