"""Fieller's interval, against the tests that it inverts."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from masktools import StructureError, ratio_of_means

numbers = st.lists(
    st.tuples(st.floats(-5, 5), st.floats(5, 20)), min_size=3, max_size=8, unique_by=lambda pair: pair[0]
)


@given(numbers)
def test_the_ends_are_the_ratios_that_a_t_test_just_rejects(pairs):
    top, bottom = (np.array(column) for column in zip(*pairs, strict=True))
    found = ratio_of_means(top, bottom)
    if found.low is None:
        assert stats.ttest_1samp(bottom, 0).pvalue >= 0.05 * (1 - 1e-9)
        return
    for end in (found.low, found.high):
        differences = top - end * bottom
        if differences.std() > 1e-9:
            assert stats.ttest_1samp(differences, 0).pvalue == pytest.approx(0.05, abs=1e-5)
    assert found.low <= found.mean <= found.high


def test_the_interval_holds_the_ratio_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(2000):
        bottom = rng.normal(10, 2, 5)
        found = ratio_of_means(0.6 * bottom + rng.normal(0, 1, 5), bottom)
        hits += found.low <= 0.6 <= found.high
    assert abs(hits / 2000 - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 2000)


def test_a_denominator_that_could_be_zero_has_no_interval():
    found = ratio_of_means([1.0, 2.0, 3.0], [-1.0, 0.5, 2.0])
    assert found.mean == pytest.approx(4.0)
    assert (found.low, found.high) == (None, None)
    assert ratio_of_means([1.0], [4.0]).low is None


@pytest.mark.parametrize(
    ("top", "bottom", "words"),
    [
        ([], [], "needs pairs"),
        ([1.0], [1.0, 2.0], "needs pairs"),
        ([1.0, 1.0], [1.0, -1.0], "other than 0"),
        ([1.0, math.nan], [1.0, 1.0], "finite"),
    ],
)
def test_what_has_no_ratio(top, bottom, words):
    with pytest.raises(StructureError, match=words):
        ratio_of_means(top, bottom)
