"""The exact p-value of a sum of hypergeometric numbers, against brute force."""

import itertools
import math
import time
from fractions import Fraction

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from masktools.errors import StructureError
from masktools.statistics.chance import LEAST_P_VALUE, Chance
from masktools.statistics.stratified import stratified_p_value


def exact(pairs):
    """Return the p-value in exact fractions, by going through all intersections of all layers."""
    tables = []
    for chance, _ in pairs:
        n, a, b = chance.size, chance.active_a, chance.active_b
        whole = math.comb(n, b)
        tables.append(
            {
                k: Fraction(math.comb(a, k) * math.comb(n - a, b - k), whole)
                for k in range(max(0, a + b - n), min(a, b) + 1)
            }
        )
    observed = sum(shared for _, shared in pairs)
    total = {}
    for combination in itertools.product(*(table.items() for table in tables)):
        value = sum(k for k, _ in combination)
        total[value] = total.get(value, 0) + math.prod(p for _, p in combination)
    tails = [sum(p for k, p in total.items() if keep(k)) for keep in (observed.__le__, observed.__ge__)]
    return float(min(1, 2 * min(tails)))


@st.composite
def layers(draw):
    pairs = []
    for _ in range(draw(st.integers(1, 3))):
        n = draw(st.integers(2, 40))
        a, b = draw(st.integers(0, n)), draw(st.integers(0, n))
        pairs.append((Chance(n, a, b), draw(st.integers(max(0, a + b - n), min(a, b)))))
    return pairs


@given(layers())
def test_it_is_the_convolution(pairs):
    found = stratified_p_value(pairs)
    if any(chance.variance > 0 for chance, _ in pairs):
        free = [(chance, shared) for chance, shared in pairs if chance.variance > 0]
        assert found == pytest.approx(exact(free), rel=1e-9)
    else:
        assert found is None


@given(st.integers(2, 3000), st.data())
def test_of_one_layer_it_is_that_of_the_layer(n, data):
    a, b = data.draw(st.integers(1, n - 1)), data.draw(st.integers(1, n - 1))
    shared = data.draw(st.integers(max(0, a + b - n), min(a, b)))
    chance = Chance(n, a, b)
    assert stratified_p_value([(chance, shared)]) == pytest.approx(chance.p_value(shared), rel=1e-7, abs=1e-290)


def test_deep_tails_keep_their_digits():
    # Two equal layers: the chance that both masks are the same is the square of that of one.
    chance = Chance(60, 20, 20)
    assert stratified_p_value([(chance, 20)] * 2) == pytest.approx(2 / math.comb(60, 20) ** 2, rel=1e-9)
    assert stratified_p_value([(chance, 19), (chance, 20)]) == pytest.approx(
        2 * (2 * 400 + 1) / math.comb(60, 20) ** 2, rel=1e-9
    )


def test_sparse_layers_are_not_normal():
    assert stratified_p_value([(Chance(10_000, 10, 10), 1)]) == pytest.approx(0.0199, abs=1e-4)
    tail = scipy.stats.hypergeom.sf(52, 266_200, 2662, 2662)
    assert stratified_p_value([(Chance(266_200, 2662, 2662), 53)]) == pytest.approx(2 * tail, rel=1e-6)


def test_large_layers_are_normal_and_fast():
    chance = Chance(2_359_296, 150_000, 150_000)
    shared = round(chance.mean + 2.5 * math.sqrt(chance.variance))
    pairs = [(chance, shared), (chance, round(chance.mean))] * 25
    start = time.perf_counter()
    found = stratified_p_value(pairs)
    assert time.perf_counter() - start < 20
    z = math.fsum(c.excess(x) for c, x in pairs) / math.sqrt(50 * chance.variance)
    assert found == pytest.approx(math.erfc(z / math.sqrt(2)), rel=0.02)


def test_out_of_reach_is_rounded_up_and_not_an_error():
    chance = Chance(2_359_296, 150_000, 150_000)
    assert stratified_p_value([(chance, 150_000)] * 3) == LEAST_P_VALUE
    assert stratified_p_value([(chance, 0)] * 3) == LEAST_P_VALUE
    assert stratified_p_value([(chance, 100_000), (Chance(10, 5, 5), 2)]) == LEAST_P_VALUE


def test_p_values_of_independent_masks_are_uniform_or_larger():
    rng = np.random.default_rng(0)
    sizes, counts = (300, 40, 1000), (6, 10, 12)
    found = []
    for _ in range(2000):
        pairs = []
        for n, k in zip(sizes, counts, strict=True):
            pairs.append((Chance(n, k, k), int(rng.hypergeometric(k, n - k, k))))
        found.append(stratified_p_value(pairs))
    for level in (0.01, 0.05, 0.2):
        assert np.mean(np.array(found) <= level) <= level + 3 * math.sqrt(level * (1 - level) / len(found))


def test_impossible_intersections_are_refused():
    with pytest.raises(StructureError, match="cannot share 7"):
        stratified_p_value([(Chance(10, 5, 5), 7)])
