import doctest
import itertools
import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats
from synthetic import random_masks

from masktools.errors import StructureError
from masktools.statistics import corrections, paired
from masktools.statistics.corrections import holm
from masktools.statistics.paired import PairedDifference, paired_difference, sign_flip_p

PAGE = Path(__file__).parents[1] / "docs" / "statistics.md"

PAGE_ACCURACIES = {
    "dnw": (0.961, 0.975, 0.963, 0.961, 0.970),
    "rigl": (0.953, 0.965, 0.958, 0.953, 0.963),
    "static": (0.872, 0.894, 0.801, 0.778, 0.830),
}

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=6)
VALUES = st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 1000)), min_size=2, max_size=9)


def test_hand_computed():
    # Differences 1, 2, 3: mean 2, s = 1. With two degrees of freedom t = 2 √3 has the tail (1 - t / √(2 + t²)) / 2.
    t = 2 * math.sqrt(3)
    half = 0.95 * math.sqrt(2 / 0.0975) / math.sqrt(3)
    found = paired_difference([5, 7, 9], [4, 5, 6])
    assert (found.mean, found.n, found.confidence) == (2, 3, 0.95)
    assert [found.low, found.high] == pytest.approx([2 - half, 2 + half], rel=1e-12)
    assert found.p_value == pytest.approx(1 - t / math.sqrt(2 + t * t), rel=1e-12)
    assert found.permutation_p_value == 2 / 8  # of the eight sums only 6 and -6 are as far from zero
    assert found.to_dict() == {
        "mean": found.mean,
        "low": found.low,
        "high": found.high,
        "p_value": found.p_value,
        "permutation_p_value": 0.25,
        "n": 3,
        "confidence": 0.95,
    }


@given(VALUES, st.floats(0.5, 0.999))
def test_against_scipys_paired_t_test(pairs, confidence):
    a, b = np.array(pairs).T / 1000
    assume(len({x - y for x, y in pairs}) > 1)
    expected = stats.ttest_rel(a, b)
    interval = expected.confidence_interval(confidence)
    found = paired_difference(a, b, confidence)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-8)
    assert [found.low, found.high] == pytest.approx([interval.low, interval.high], rel=1e-8, abs=1e-12)
    # Interval and test agree about zero; p = 1 - confidence is left to rounding.
    if abs(found.p_value - (1 - confidence)) > 1e-9:
        assert (found.low <= 0 <= found.high) == (found.p_value > 1 - confidence)


@given(VALUES)
def test_exchanging_the_sides_changes_the_sign_alone(pairs):
    a, b = np.array(pairs).T / 1000
    one, other = paired_difference(a, b), paired_difference(b, a)
    assert (one.mean, one.p_value, one.permutation_p_value) == (-other.mean, other.p_value, other.permutation_p_value)
    assert [one.low, one.high] == pytest.approx([-other.high, -other.low], rel=1e-12, abs=1e-15)


def test_one_pair_has_no_spread():
    assert paired_difference([0.75], [0.5]) == PairedDifference(0.25, None, None, None, None, 1)


def test_equal_differences_are_not_called_certain():
    # 0.9 - 0.8 and 0.4 - 0.3 are not the same double.
    found = paired_difference([0.9, 0.4, 0.7, 0.2, 0.6], [0.8, 0.3, 0.6, 0.1, 0.5])
    assert found.mean == pytest.approx(0.1)
    assert (found.low, found.high, found.p_value, found.permutation_p_value) == (found.mean, found.mean, None, 0.0625)


def test_no_difference_is_no_evidence():
    found = paired_difference([0.9, 0.8], [0.9, 0.8])
    assert found == PairedDifference(0.0, 0.0, 0.0, 1.0, 1.0, 2)


def test_the_smallest_real_spread_is_told_from_rounding():
    # Of 10,000 images one more in one of five seeds.
    found = paired_difference([0.9712, 0.9713, 0.9714, 0.9715, 0.9717], [0.9702, 0.9703, 0.9704, 0.9705, 0.9706])
    assert 0 < found.p_value < 1e-4
    assert found.low < found.mean < found.high


def test_more_pairs_than_can_be_flipped_have_the_t_test_alone():
    values = np.random.default_rng(0).normal(size=(2, 21))
    found = paired_difference(*values)
    assert found.permutation_p_value is None
    assert found.p_value == pytest.approx(stats.ttest_rel(*values).pvalue)
    assert paired_difference(values[0, :20], values[1, :20]).permutation_p_value is not None


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=9))
def test_sign_flips_against_every_choice_of_signs(differences):
    sums = [
        sum(sign * number for sign, number in zip(signs, differences, strict=True))
        for signs in itertools.product((1, -1), repeat=len(differences))
    ]
    expected = sum(abs(total) >= abs(sum(differences)) for total in sums) / len(sums)
    assert sign_flip_p(differences) == expected
    assert sign_flip_p(number / 7000 for number in differences) == expected  # sums that are equal but for rounding
    assert sign_flip_p([*differences, 0]) == expected


@pytest.mark.parametrize("n", [2, 9])
def test_sign_flips_against_scipy(n):
    differences = np.random.default_rng(n).normal(0.4, 1, n)
    expected = stats.permutation_test((differences,), np.sum, permutation_type="samples", n_resamples=math.inf)
    assert sign_flip_p(differences) == pytest.approx(expected.pvalue, rel=1e-12)


def test_sign_flips_of_twenty_differences_of_any_size():
    assert sign_flip_p([1e300] * 20) == sign_flip_p([1e-300] * 20) == 2 / 2**20
    assert sign_flip_p([0.0] * 20) == 1


def test_both_tests_call_noise_a_finding_no_more_often_than_they_say():
    rng = np.random.default_rng(7)
    found = [paired_difference(*rng.normal(size=(2, 6))) for _ in range(2000)]
    assert sum(each.p_value <= 0.1 for each in found) / 2000 == pytest.approx(0.1, abs=0.02)
    # Of six differences p is a multiple of 1/32, so 3/32 is the level that is kept.
    assert sum(each.permutation_p_value <= 0.1 for each in found) / 2000 == pytest.approx(3 / 32, abs=0.02)


@pytest.mark.parametrize(
    ("a", "b", "confidence", "message"),
    [
        ([1, 2], [1], 0.95, "paired values need equal numbers, got 2 and 1"),
        ([], [], 0.95, "at least one value"),
        ([1, math.nan], [1, 2], 0.95, "finite"),
        ([1e308], [-1e308], 0.95, "finite"),
        ([1], [2], 95, "confidence must lie between 0 and 1, got 95"),
    ],
)
def test_pairs_that_cannot_be_compared(a, b, confidence, message):
    with pytest.raises(StructureError, match=message):
        paired_difference(a, b, confidence)


@pytest.mark.parametrize("differences", [[], [1.0] * 21, [1, math.inf]])
def test_differences_that_cannot_be_flipped(differences):
    with pytest.raises(StructureError, match="the sign-flip test"):
        sign_flip_p(differences)


def by_closed_testing(p_values):
    """Adjust by testing every set of hypotheses with Bonferroni, and taking the largest p of the sets with each."""
    places = range(len(p_values))
    sets = [some for size in range(1, len(p_values) + 1) for some in itertools.combinations(places, size)]
    together = {some: min(1.0, len(some) * min(p_values[place] for place in some)) for some in sets}
    return tuple(max(p for some, p in together.items() if place in some) for place in places)


@given(P_VALUES)
def test_holm_is_closed_testing_with_bonferroni(p_values):
    assert holm(p_values) == pytest.approx(by_closed_testing(p_values), rel=1e-12)


@given(P_VALUES, st.randoms(use_true_random=False))
def test_properties_of_holm(p_values, random):
    adjusted = holm(p_values)
    assert all(p <= q <= min(1, len(p_values) * p) for p, q in zip(p_values, adjusted, strict=True))
    ordered = [q for _, q in sorted(zip(p_values, adjusted, strict=True))]
    assert ordered == sorted(ordered)
    places = list(range(len(p_values)))
    random.shuffle(places)
    assert holm([p_values[place] for place in places]) == tuple(adjusted[place] for place in places)
    # What is no test changes nothing.
    assert holm([None, *p_values, None]) == (None, *adjusted, None)


@given(P_VALUES, st.integers(0, 5), st.floats(0, 1))
def test_a_larger_p_value_makes_none_smaller(p_values, place, factor):
    lower = list(p_values)
    lower[place % len(lower)] *= factor
    assert all(low <= high for low, high in zip(holm(lower), holm(p_values), strict=True))


def test_holm_without_tests():
    assert holm([]) == ()
    assert holm([None, None]) == (None, None)
    assert holm([0.04]) == (0.04,)


@pytest.mark.parametrize("module", [paired, corrections])
def test_examples_of_the_docstrings(module):
    failed, tried = doctest.testmod(module)
    assert failed == 0
    assert tried >= 2


def test_what_the_page_shows_is_what_comes_out(tmp_path, monkeypatch, write_run):
    monkeypatch.chdir(tmp_path)
    for name, accuracies in PAGE_ACCURACIES.items():
        for seed, accuracy in enumerate(accuracies):
            config = {"seed": seed, "algorithm": {"name": name}}
            write_run(f"runs/{name}-s{seed}", [random_masks(seed)], config, [{"epoch": 0, "test_accuracy": accuracy}])
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert len(blocks) == 2
    examples = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, PAGE.name, str(PAGE), 0)
    failed, tried = doctest.DocTestRunner().run(examples)
    assert failed == 0
    assert tried >= 9


def test_the_figures_of_the_page():
    rows = re.findall(r"^\| (\d+) \| ([\d.]+) \| ([\d.]+) s \|", PAGE.read_text("utf-8"), re.MULTILINE)
    assert [n for n, _, _ in rows] == ["3", "5", "6", "8", "10"]
    rng = np.random.default_rng(0)
    for n, least, shift in ((int(n), float(least), float(shift)) for n, least, shift in rows):
        assert least == pytest.approx(sign_flip_p([1] * n), rel=0.01)
        found = stats.ttest_1samp(rng.normal(shift, 1, (20000, n)), 0, axis=1).pvalue <= 0.05
        assert np.mean(found) == pytest.approx(0.8, abs=0.03)
    # One s, five seeds.
    assert np.mean(stats.ttest_1samp(rng.normal(1, 1, (20000, 5)), 0, axis=1).pvalue <= 0.05) < 0.5
