import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from synth import spread
from synth.spread import Spread

CHANCES = (np.arange(2000) + 0.5) / 2000


def test_a_range_is_uniform():
    drawn = [spread.draw((-5.0, 20.0), chance) for chance in CHANCES]
    assert stats.kstest(drawn, stats.uniform(-5, 25).cdf).pvalue > 0.99
    assert spread.draw((3.0, 3.0), 0.7) == 3.0


def test_a_normal_distribution_ends_at_its_bounds_and_is_not_heaped_there():
    usual = [spread.draw(Spread(mean=8.0, sd=4.0), chance) for chance in CHANCES]
    assert stats.kstest(usual, stats.truncnorm(-3, 3, 8, 4).cdf).pvalue > 0.99
    cut = [spread.draw(Spread(mean=8.0, sd=4.0, low=6.0, high=20.0), chance) for chance in CHANCES]
    assert stats.kstest(cut, stats.truncnorm(-0.5, 3, 8, 4).cdf).pvalue > 0.99
    assert min(cut) >= 6.0 and sum(value < 6.01 for value in cut) < 10


def test_values_are_equally_likely():
    drawn = [spread.draw(Spread(values=(0.0, 5.0, 10.0, 20.0)), chance) for chance in CHANCES]
    assert {value: drawn.count(value) for value in set(drawn)} == {0.0: 500, 5.0: 500, 10.0: 500, 20.0: 500}


@given(st.floats(0, 1, exclude_max=True), st.floats(-30, 30), st.floats(0.01, 50), st.floats(0, 90), st.floats(0, 90))
def test_no_draw_leaves_the_bounds(chance, mean, sd, below, above):
    for one in (Spread(mean=mean, sd=sd), Spread(mean=mean, sd=sd, low=mean - below, high=mean + above)):
        low, high = spread.bounds(one)
        assert low - 0.001 <= spread.draw(one, chance) <= high + 0.001


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({}, "takes 'values', or 'mean'"),
        ({"mean": 3.0}, "with an 'sd' above 0"),
        ({"mean": 3.0, "sd": 0.0}, "with an 'sd' above 0"),
        ({"mean": 3.0, "sd": float("nan")}, "with an 'sd' above 0"),
        ({"values": (1.0,), "sd": 2.0}, "not both"),
        ({"mean": 3.0, "sd": 1.0, "low": 4.0}, "'mean' lies between"),
    ],
)
def test_what_is_no_distribution_is_refused(keys, message):
    with pytest.raises(ValueError, match=message):
        Spread(**keys)
