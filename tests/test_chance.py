import itertools
import math
import sys
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from masktools.errors import StructureError
from masktools.statistics.chance import LEAST_P_VALUE, Chance, stratified_kappa, stratified_z
from masktools.statistics.stratified import stratified_p_value


@st.composite
def counts(draw, largest=400):
    size = draw(st.integers(1, largest))
    a, b = draw(st.integers(0, size)), draw(st.integers(0, size))
    return Chance(size, a, b), draw(st.integers(max(0, a + b - size), min(a, b)))


def test_hand_computed_fractions():
    # N = 10, K1 = 4, K2 = 5, X = 3: mean 2, variance 2 * 6 * 5 / 90 = 2/3.
    chance = Chance(10, 4, 5)
    assert chance.mean == 2
    assert chance.variance == pytest.approx(2 / 3, rel=1e-15)
    assert chance.z(3) == pytest.approx(1 / math.sqrt(2 / 3), rel=1e-15)
    assert chance.kappa(3) == 2 / 5  # 2 (3 - 2) / (9 - 4)
    assert chance.jaccard == 2 / 7
    # P(X >= 3) = (C(4,3) C(6,2) + C(4,4) C(6,1)) / C(10,5) = 66/252, and twice that.
    assert chance.p_value(3) == pytest.approx(132 / 252, rel=1e-12)


def test_equal_density_jaccard_is_p_over_two_minus_p():
    assert Chance(1000, 100, 100).jaccard == pytest.approx(0.1 / 1.9, rel=1e-15)


def test_brute_force_over_all_masks():
    for size, a, b in [(6, 2, 3), (7, 4, 4), (5, 1, 5), (6, 5, 5)]:
        held = set(range(a))
        shared = [len(held & set(other)) for other in itertools.combinations(range(size), b)]
        mean = Fraction(sum(shared), len(shared))
        variance = Fraction(sum(x * x for x in shared), len(shared)) - mean**2
        chance = Chance(size, a, b)
        assert chance.mean == pytest.approx(float(mean), rel=1e-14)
        assert chance.variance == pytest.approx(float(variance), rel=1e-14, abs=1e-15)
        for x in set(shared):
            if variance:
                low, high = sum(s <= x for s in shared), sum(s >= x for s in shared)
                assert chance.p_value(x) == pytest.approx(min(1, 2 * min(low, high) / len(shared)), rel=1e-12)


@given(counts())
def test_mean_and_variance_are_those_of_scipys_hypergeometric(case):
    chance, _ = case
    law = stats.hypergeom(chance.size, chance.active_a, chance.active_b)
    with np.errstate(all="ignore"):  # scipy works out the kurtosis too, which divides by zero
        mean, variance = law.mean(), law.var()
    assert chance.mean == pytest.approx(mean, rel=1e-12, abs=1e-12)
    if chance.size > 1:  # scipy divides by N - 1
        assert chance.variance == pytest.approx(variance, rel=1e-12, abs=1e-12)


@given(counts())
def test_p_value_is_twice_the_smaller_tail_of_scipys_hypergeometric(case):
    chance, shared = case
    law = stats.hypergeom(chance.size, chance.active_a, chance.active_b)
    if chance.variance == 0:
        assert chance.p_value(shared) is None
    else:
        tail = min(law.cdf(shared), law.sf(shared - 1))
        assert chance.p_value(shared) == pytest.approx(min(1, 2 * tail), rel=1e-8, abs=1e-300)


@pytest.mark.parametrize(
    ("size", "a", "b", "shared"), [(10**6, 10**4, 10**4, 150), (10**6, 5, 10**5, 4), (10**6, 500, 500, 40)]
)
def test_p_value_of_large_and_of_skewed_layers(size, a, b, shared):
    law = stats.hypergeom(size, a, b)
    expected = 2 * min(law.cdf(shared), law.sf(shared - 1))
    assert expected > 0
    assert Chance(size, a, b).p_value(shared) == pytest.approx(expected, rel=1e-5, abs=0)


def test_p_value_far_away_is_neither_zero_nor_an_error():
    far = [(Chance(10**6, 10**5, 10**5), 10**5), (Chance(10**4, 10**3, 10**3), 10**3)]
    # Where the number lies beyond what is summed, at its end, and within it; and of one layer and of several.
    for chance, shared in (*far, (Chance(5000, 2000, 2000), 1600)):
        assert chance.p_value(shared) == LEAST_P_VALUE == sys.float_info.min
    assert stratified_p_value(far) == stratified_p_value(far[:1]) == LEAST_P_VALUE
    assert 1e-300 < Chance(5000, 1000, 1000).p_value(500) < 1e-100


@given(counts())
def test_symmetry_and_bounds(case):
    chance, shared = case
    swapped = Chance(chance.size, chance.active_b, chance.active_a)
    assert chance.z(shared) == swapped.z(shared)
    assert chance.kappa(shared) == swapped.kappa(shared)
    kappa = chance.kappa(shared)
    if kappa is not None:
        assert -1 <= kappa <= 1
        assert (kappa == 1) == (shared == chance.active_a == chance.active_b)


@given(counts())
def test_undefined_exactly_where_dense_or_empty(case):
    chance, shared = case
    n, a, b = chance.size, chance.active_a, chance.active_b
    assert (chance.kappa(shared) is None) == (a == b and a in (0, n))
    assert (chance.z(shared) is None) == (a in (0, n) or b in (0, n))


@given(counts(), st.integers(1, 400))
def test_kappa_is_phi_at_equal_counts(case, other):
    n, a = case[0].size, case[0].active_a
    shared = max(0, 2 * a - n) + other % (a - max(0, 2 * a - n) + 1)
    both, one, none = shared, a - shared, n - 2 * a + shared
    determinant = both * none - one * one
    if 0 < a < n:
        assert Chance(n, a, a).kappa(shared) == pytest.approx(determinant / (a * (n - a)), rel=1e-12, abs=1e-15)
        p = a / n
        assert Chance(n, a, a).kappa(shared) == pytest.approx((shared / a - p) / (1 - p), rel=1e-9, abs=1e-12)


def test_dense_against_sparse_is_at_chance_and_not_undefined():
    chance = Chance(100, 100, 10)
    assert chance.kappa(10) == 0
    assert chance.z(10) is None


@pytest.mark.parametrize("size", [0, 1])
def test_layers_of_no_and_of_one_weight(size):
    chance = Chance(size, size, size)
    assert (chance.mean, chance.variance) == (size, 0)
    assert chance.z(size) is None
    assert chance.kappa(size) is None
    assert chance.p_value(size) is None


def test_counts_far_beyond_64_bits_of_products():
    n = 10**12
    chance = Chance(n, n // 2 + 1, n // 2 - 1)
    assert chance.excess(n // 4 + 1) == float(Fraction(n // 4 + 1) - Fraction((n // 2 + 1) * (n // 2 - 1), n))
    variance = Fraction((n // 2) ** 2 - 1, n) ** 2 / (n - 1)
    assert chance.variance == pytest.approx(float(variance), rel=1e-15)
    assert Chance(10**9, 10**8, 10**8).p_value(10**7) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(("size", "a", "b"), [(4, 5, 1), (4, 1, -1), (-1, 0, 0)])
def test_impossible_counts_are_refused(size, a, b):
    with pytest.raises(StructureError, match=str(size)):
        Chance(size, a, b)


@pytest.mark.parametrize("shared", [0, 4])
def test_impossible_intersections_are_refused(shared):
    with pytest.raises(StructureError, match=f"share {shared}"):
        Chance(5, 3, 3).kappa(shared)


def _z_of_independent(rng, strata):
    pairs = []
    for size, active in strata:
        a, b = (set(rng.choice(size, active, replace=False).tolist()) for _ in range(2))
        pairs.append((Chance(size, active, active), len(a & b)))
    return stratified_z(pairs)


def test_z_of_independent_masks_is_standard_normal():
    rng = np.random.default_rng(20)
    zs = [_z_of_independent(rng, [(600, 60), (300, 150), (2000, 40)]) for _ in range(500)]
    # Counts are whole numbers, which a smooth null does not allow for: spread them over their step.
    sigma = math.sqrt(sum(Chance(n, k, k).variance for n, k in [(600, 60), (300, 150), (2000, 40)]))
    smooth = np.array(zs) + rng.uniform(-0.5, 0.5, 500) / sigma
    assert stats.kstest(smooth, "norm").pvalue > 0.01
    assert np.std(zs) == pytest.approx(1, abs=0.1)


def test_pooled_chance_would_mistake_layer_densities_for_agreement():
    # Independent masks: one layer nearly dense, one nearly empty, each at its own chance level.
    layers = [(Chance(1000, 900, 900), 810), (Chance(9000, 90, 90), 1)]
    pooled = Chance(10_000, 990, 990)
    assert pooled.z(811) > 50
    assert pooled.kappa(811) > 0.7
    assert abs(stratified_z(layers)) < 0.2
    assert abs(stratified_kappa(layers)) < 0.01


def test_stratified_hand_computed():
    # Layer 1: N 10, K 4 and 5, X 3 (mean 2, variance 2/3). Layer 2: N 4, K 2 and 2, X 0 (mean 1, variance 1/3).
    layers = [(Chance(10, 4, 5), 3), (Chance(4, 2, 2), 0)]
    assert stratified_z(layers) == pytest.approx(0, abs=1e-15)
    assert stratified_kappa([layers[0], (Chance(4, 2, 2), 2)]) == pytest.approx(2 * 2 / (5 + 2), rel=1e-15)
    assert stratified_z([layers[0], (Chance(4, 2, 2), 2)]) == pytest.approx(2.0, rel=1e-15)


def test_dense_and_empty_layers_add_nothing_to_the_total():
    layer = (Chance(10, 4, 5), 3)
    rest = [(Chance(7, 7, 7), 7), (Chance(9, 0, 0), 0)]
    assert stratified_kappa([layer, *rest]) == stratified_kappa([layer]) == 0.4
    assert stratified_z([layer, *rest]) == stratified_z([layer])
    assert stratified_kappa(rest) is None
    assert stratified_z(rest) is None
