import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score
from synthetic import pack

from masktools.statistics.chance import Chance
from masktools.structure.dynamics.beyond_initial import initial_strata, kappa_beyond_initial

triples = st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), min_size=1, max_size=40)


def strata(mask, final, first):
    return initial_strata(*(pack({"x": np.asarray(row, dtype=np.bool_)})["x"] for row in (mask, final, first)))


def exactly(size, number, rng):
    row = np.zeros(size, dtype=np.bool_)
    row[rng.choice(size, number, replace=False)] = True
    return row


def test_hand_computed():
    # Inside the first mask (4 of 10 weights) both keep 0 and one other; outside both hold 5, and another each.
    first, mask, final = (np.zeros(10, dtype=np.bool_) for _ in range(3))
    first[:4] = mask[[0, 1, 5, 6]] = final[[0, 2, 5, 7]] = True
    inside, outside = strata(mask, final, first)
    assert inside == (Chance(4, 2, 2), 1)
    assert outside == (Chance(6, 2, 2), 1)
    # Excess 1 - 1 and 1 - 2/3; room 4 - 2 and 4 - 4/3.
    assert kappa_beyond_initial((inside, outside)) == pytest.approx(2 * (1 / 3) / (2 + 8 / 3))


@given(triples)
def test_against_arrays(rows):
    mask, final, first = np.array(rows).T
    excess = room = free = 0
    for stratum in (first, ~first):
        n = int(stratum.sum())
        if not n:
            continue
        a, b = mask[stratum], final[stratum]
        mean = a.sum() * b.sum() / n
        excess += (a & b).sum() - mean
        room += a.sum() + b.sum() - 2 * mean
        free += 0 < a.sum() < n and 0 < b.sum() < n
    found = kappa_beyond_initial(strata(mask, final, first))
    assert found == (pytest.approx(2 * excess / room, abs=1e-12) if free else None)


@given(triples)
def test_a_constant_first_mask_explains_nothing(rows):
    mask, final, _ = np.array(rows).T
    free = all(0 < row.sum() < row.size for row in (mask, final))
    for first in (np.zeros_like(mask), np.ones_like(mask)):
        found = kappa_beyond_initial(strata(mask, final, first))
        assert found == (pytest.approx(cohen_kappa_score(mask, final), abs=1e-12) if free else None)


def test_undefined_for_the_first_mask_and_for_a_run_that_ends_where_it_began():
    rng = np.random.default_rng(0)
    first, mask, final = (exactly(50, 10, rng) for _ in range(3))
    assert kappa_beyond_initial(strata(first, final, first)) is None
    assert kappa_beyond_initial(strata(mask, first, first)) is None
    assert kappa_beyond_initial(strata(final, final, first)) == 1
    assert kappa_beyond_initial([]) is None


def test_nothing_beyond_the_first_mask_is_zero_where_plain_kappa_is_not():
    # Each mask keeps 150 of the first one's 200 weights at random and adds 50 others at random.
    rng = np.random.default_rng(1)
    plain, beyond = [], []
    for _ in range(200):
        first = exactly(1000, 200, rng)
        rows = []
        for _ in range(2):
            row = np.zeros(1000, dtype=np.bool_)
            row[rng.choice(np.flatnonzero(first), 150, replace=False)] = True
            row[rng.choice(np.flatnonzero(~first), 50, replace=False)] = True
            rows.append(row)
        plain.append(cohen_kappa_score(*rows))
        beyond.append(kappa_beyond_initial(strata(*rows, first)))
    assert np.mean(plain) > 0.4
    assert abs(np.mean(beyond)) < 4 * np.std(beyond) / 200**0.5


def test_layers_are_strata_too():
    rng = np.random.default_rng(2)
    layers = [strata(exactly(40, k, rng), exactly(40, k, rng), exactly(40, k, rng)) for k in (4, 20)]
    pairs = [pair for layer in layers for pair in layer]
    excess = sum(chance.excess(shared) for chance, shared in pairs)
    assert kappa_beyond_initial(pairs) == pytest.approx(2 * excess / sum(chance.room for chance, _ in pairs))
