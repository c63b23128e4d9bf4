import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from masktools.errors import StructureError
from masktools.statistics.intervals import Interval, mean_interval


def test_hand_computed():
    # s = 1, n = 3, and with two degrees of freedom t has a closed form: t(.975) = .95 sqrt(2 / (4 .975 .025)) = 4.3027.
    half = 0.95 * math.sqrt(2 / 0.0975) / math.sqrt(3)
    interval = mean_interval([1, 2, 3])
    assert interval.mean == 2
    assert interval.high == pytest.approx(2 + half, rel=1e-12)
    assert interval.low == pytest.approx(2 - half, rel=1e-12)
    assert (interval.n, interval.confidence) == (3, 0.95)


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=8), st.floats(0.5, 0.999))
def test_against_scipys_t_distribution(values, confidence):
    interval = mean_interval(values, confidence)
    scale = statistics.stdev(values) / math.sqrt(len(values))
    if scale > 1e-6:
        low, high = stats.t.interval(confidence, len(values) - 1, loc=statistics.fmean(values), scale=scale)
        assert [interval.low, interval.high] == pytest.approx([low, high], rel=1e-9, abs=1e-9)
    assert interval.low <= interval.mean <= interval.high


def test_it_covers_the_mean_as_often_as_it_says():
    rng = np.random.default_rng(3)
    intervals = [mean_interval(rng.normal(5, 2, 4), 0.9) for _ in range(2000)]
    assert sum(i.low <= 5 <= i.high for i in intervals) / 2000 == pytest.approx(0.9, abs=0.02)


def test_one_value_has_no_spread():
    assert mean_interval([0.5]) == Interval(0.5, None, None, 1)


def test_numpy_values_come_back_as_python_numbers():
    interval = mean_interval(np.array([1, 2], dtype=np.float32))
    assert {type(value) for value in (interval.mean, interval.low, interval.high)} == {float}


@pytest.mark.parametrize("values", [[], [1, math.nan], [math.inf]])
def test_values_that_have_no_mean(values):
    with pytest.raises(StructureError, match="value"):
        mean_interval(values)


@pytest.mark.parametrize("confidence", [0, 1, 95, -0.1])
def test_confidence_out_of_range(confidence):
    with pytest.raises(StructureError, match="confidence"):
        mean_interval([1, 2], confidence)
