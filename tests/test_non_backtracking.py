import math

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse.linalg
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from masktools.errors import StructureError
from masktools.structure.wiring import non_backtracking
from masktools.structure.wiring.non_backtracking import layer_non_backtracking
from masktools.structure.wiring.spectrum import layer_spectrum

MASKS = hnp.arrays(np.bool_, st.tuples(st.integers(1, 7), st.integers(1, 7)))
HEAWOOD = np.array([[(column - row) % 7 in (0, 1, 3) for column in range(7)] for row in range(7)])


def _random(shape, density, seed=0):
    return np.random.default_rng(seed).random(shape) < density


def _edges(mask):
    joined = [(("out", int(o)), ("in", int(i))) for o, i in np.argwhere(mask)]
    return joined + [(v, u) for u, v in joined]


def _hashimoto(mask):
    """The definition: directed edges, each followed by all that go on from its end but back."""
    edges = _edges(mask)
    return np.array([[float(v == x and w != u) for x, w in edges] for u, v in edges]).reshape(len(edges), len(edges))


def _moduli(mask):
    """Moduli of the eigenvalues of the definition, of each pair ± one, the largest first."""
    return np.sort(np.abs(np.linalg.eigvals(_hashimoto(mask))))[::-1][::2]


def _companion(mask):
    """Moduli by the companion matrix [[A, 1 - D], [1, 0]] of both sides together, of each pair ± one."""
    outputs, inputs = mask.shape
    size = outputs + inputs
    adjacency = np.block([[np.zeros((outputs,) * 2), mask], [mask.T, np.zeros((inputs,) * 2)]])
    rest = np.eye(size) - np.diag(adjacency.sum(axis=1))
    values = np.linalg.eigvals(np.block([[adjacency, rest], [np.eye(size), np.zeros((size, size))]]))
    return np.sort(np.abs(values))[::-1][::2]


def _has_cycle(mask):
    while mask.any():
        thinner = mask[mask.sum(axis=1) > 1]
        thinner = thinner[:, thinner.sum(axis=0) > 1] if len(thinner) else thinner
        if thinner.shape == mask.shape:
            return True
        mask = thinner
    return False


def test_heawood_graph():
    found = layer_non_backtracking(HEAWOOD)
    assert (found.core_inputs, found.core_outputs) == (7, 7)
    assert found.lambda_1 == pytest.approx(2, rel=1e-12)
    assert found.lambda_2 == pytest.approx(math.sqrt(2), rel=1e-12)
    assert found.ratio == pytest.approx(1, rel=1e-12)
    assert found.real_ratio == pytest.approx(layer_spectrum(HEAWOOD).ratio, rel=1e-12)
    assert found.to_dict()["lambda_1"] == found.lambda_1


@settings(deadline=None)
@given(MASKS)
def test_is_the_non_backtracking_matrix(mask):
    found = layer_non_backtracking(mask)
    if not _has_cycle(mask):
        assert found.to_dict() == {
            "core_inputs": 0,
            "core_outputs": 0,
            "lambda_1": 0.0,
            "lambda_2": None,
            "ratio": None,
            "least_ratio": None,
            "real_ratio": None,
        }
        return
    first, second = _moduli(mask)[:2]
    # Eigenvalues of rings that hang together by a path are defective: the oracle has half of its digits there.
    assert (found.lambda_1, found.lambda_2) == pytest.approx((first, second), rel=1e-4)
    assert found.ratio == pytest.approx(found.lambda_2 / math.sqrt(found.lambda_1), rel=1e-14)
    assert 0 < found.least_ratio <= found.ratio * (1 + 1e-6)
    turned = layer_non_backtracking(mask.T)
    assert (turned.core_inputs, turned.core_outputs) == (found.core_outputs, found.core_inputs)
    assert [turned.lambda_1, turned.lambda_2, turned.least_ratio, turned.real_ratio] == pytest.approx(
        [found.lambda_1, found.lambda_2, found.least_ratio, found.real_ratio], rel=1e-4
    )


@pytest.mark.parametrize(("shape", "density"), [((9, 12), 0.35), ((12, 12), 0.25), ((8, 20), 0.5), ((30, 25), 0.3)])
def test_half_the_problem_has_the_same_eigenvalues(shape, density):
    mask = _random(shape, density)
    found = layer_non_backtracking(mask)
    assert (found.lambda_1, found.lambda_2) == pytest.approx(_moduli(mask)[:2], rel=1e-9)
    assert (found.lambda_1, found.lambda_2) == pytest.approx(_companion(mask)[:2], rel=1e-9)


def test_least_ratio_is_a_geometric_mean():
    mask = _random((12, 15), 0.5, seed=1)  # no unit has fewer than two edges
    first, *others = _companion(mask)
    mean = math.exp(np.log(others).mean())
    assert layer_non_backtracking(mask).least_ratio == pytest.approx(mean / math.sqrt(first), rel=1e-9)


def test_all_eigenvalues_of_the_half_are_squares_of_those_of_the_companion():
    mask = _random((12, 15), 0.5, seed=1)
    part = scipy.sparse.csr_array(mask.astype(float))
    half = np.linalg.eigvals(non_backtracking._half(part, mask.sum(axis=1).astype(float), mask.sum(axis=0)))
    assert np.sort(np.abs(half))[::-1] == pytest.approx(_companion(mask) ** 2, rel=1e-9)
    # B has these and ±1 as often as there are edges beyond the units.
    moduli = np.sort(np.concatenate((np.sqrt(np.abs(half)), np.ones(int(mask.sum()) - 27))))[::-1]
    assert moduli == pytest.approx(_moduli(mask), rel=1e-6)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_leaves_isolated_units_and_order_change_nothing(seed):
    rng = np.random.default_rng(seed)
    mask = rng.random((8, 9)) < 0.5
    grown = np.zeros((11, 13), dtype=bool)
    grown[:8, :9] = mask
    grown[8, 0] = grown[8, 9] = grown[9, 9] = grown[0, 10] = True  # a tree on input 0 and a leaf on output 0
    grown = grown[rng.permutation(11)][:, rng.permutation(13)]
    before, after = layer_non_backtracking(mask).to_dict(), layer_non_backtracking(grown).to_dict()
    assert before["core_inputs"] > 0
    assert after == pytest.approx(before, rel=1e-6)


@pytest.mark.parametrize(("left", "right"), [(3, 3), (3, 5), (2, 7)])
def test_complete_layers(left, right):
    found = layer_non_backtracking(np.ones((left, right), dtype=bool))
    assert found.lambda_1 == pytest.approx(math.sqrt((left - 1) * (right - 1)))
    # Vectors that vanish on one side leave λ² = −(d − 1) of the other side's vectors with sum 0.
    assert found.lambda_2 == pytest.approx(math.sqrt(max(left, right) - 1))
    assert found.real_ratio == 0.0


def test_ring_and_forest():
    ring = np.eye(6, dtype=bool) | np.roll(np.eye(6, dtype=bool), 1, axis=1)
    found = layer_non_backtracking(ring)
    assert (found.lambda_1, found.lambda_2, found.ratio, found.least_ratio) == (1.0, 1.0, 1.0, 1.0)
    path = np.eye(6, dtype=bool) | np.eye(6, k=1, dtype=bool)
    for mask in (path, np.eye(4, dtype=bool), np.zeros((3, 2), dtype=bool), np.ones((1, 5), dtype=bool)):
        found = layer_non_backtracking(mask)
        assert (found.lambda_1, found.lambda_2, found.real_ratio) == (0.0, None, None)


def test_second_part_gives_the_second_eigenvalue():
    part, ring = _random((12, 12), 0.5, seed=2), np.eye(4, dtype=bool) | np.roll(np.eye(4, dtype=bool), 1, axis=1)
    alone = layer_non_backtracking(part)
    twice = layer_non_backtracking(scipy.linalg.block_diag(part, part).astype(bool))
    assert (twice.lambda_1, twice.lambda_2) == pytest.approx((alone.lambda_1,) * 2, rel=1e-12)
    assert twice.real_ratio > 1
    beside = layer_non_backtracking(scipy.linalg.block_diag(ring, part).astype(bool))
    assert (beside.lambda_1, beside.lambda_2) == pytest.approx((alone.lambda_1, alone.lambda_2), rel=1e-12)
    grouped = layer_non_backtracking(np.stack([np.concatenate([part, part])] * 2, axis=2), groups=2)
    assert grouped == twice


def test_real_ratio_is_that_of_ramanujan_where_degrees_are_equal():
    steps = np.array([0, 1, 4, 9])
    mask = np.isin((np.arange(26)[:, None] - 2 * np.arange(13)) % 26, steps)  # 2 inputs to an output, 4 the other way
    assert set(mask.sum(axis=1).tolist()) == {2}
    assert set(mask.sum(axis=0).tolist()) == {4}
    assert layer_non_backtracking(mask).real_ratio == pytest.approx(layer_spectrum(mask).ratio, rel=1e-10)


def test_parts_that_few_edges_join_stand_out():
    joined = np.zeros((60, 60), dtype=bool)
    joined[:30, :30] = joined[30:, 30:] = _random((30, 30), 0.3, seed=1)
    joined[0, 59] = joined[45, 3] = True
    mixed = _random((60, 60), 0.15, seed=1)
    found, chance = layer_non_backtracking(joined), layer_non_backtracking(mixed)
    assert found.ratio > 1.5 > 1.1 > chance.ratio
    assert found.real_ratio > 1.2 > 1 > chance.real_ratio


@pytest.mark.parametrize(("shape", "density"), [((220, 230), 0.03), ((230, 210), 0.2), ((400, 120), 0.1)])
def test_arnoldi_finds_what_a_dense_solver_finds(monkeypatch, shape, density):
    mask = _random(shape, density)
    found = layer_non_backtracking(mask)
    assert found == layer_non_backtracking(mask)
    with monkeypatch.context() as patch:
        patch.setattr(non_backtracking, "_DENSE", 10_000)
        dense = layer_non_backtracking(mask)
    assert (found.lambda_1, found.lambda_2) == pytest.approx((dense.lambda_1, dense.lambda_2), rel=1e-7)
    with monkeypatch.context() as patch:
        patch.setattr(scipy.linalg, "eigvals", None)
        assert layer_non_backtracking(mask) == found


def test_second_that_is_not_settled_is_no_number(monkeypatch):
    mask = _random((220, 230), 0.2)
    known = layer_non_backtracking(mask)
    left_out = layer_non_backtracking(mask, work=0)
    assert (left_out.lambda_2, left_out.ratio) == (None, None)
    assert left_out.lambda_1 == pytest.approx(known.lambda_1, rel=1e-9)
    assert (left_out.least_ratio, left_out.real_ratio) == pytest.approx((known.least_ratio, known.real_ratio), rel=1e-9)
    assert known.least_ratio < known.ratio
    beside = layer_non_backtracking(scipy.linalg.block_diag(mask, np.ones((3, 3))).astype(bool), work=0)
    assert (beside.lambda_1, beside.lambda_2) == (pytest.approx(known.lambda_1, rel=1e-9), None)
    monkeypatch.setattr(non_backtracking, "_FALLBACK", 0)
    one_restart = 2 * (mask.sum() + 450 * 80) * 80
    assert layer_non_backtracking(mask, work=one_restart).lambda_2 is None
    monkeypatch.setattr(non_backtracking, "_FALLBACK", 1000)
    dense = layer_non_backtracking(mask, work=one_restart)
    assert dense.lambda_2 == pytest.approx(known.lambda_2, rel=1e-7)


def test_eigenvalues_with_large_residuals_are_not_used(monkeypatch):
    mask = _random((220, 230), 0.2)
    known = layer_non_backtracking(mask)
    exact = scipy.sparse.linalg.eigs

    def shifted(*arguments, **options):
        values, vectors = exact(*arguments, **options)
        return values * (1 + 1e-5), vectors

    monkeypatch.setattr(scipy.sparse.linalg, "eigs", shifted)
    found = layer_non_backtracking(mask)
    assert (found.lambda_1, found.lambda_2) == pytest.approx((known.lambda_1, known.lambda_2), rel=1e-7)


def test_layers_that_are_none_are_refused():
    with pytest.raises(StructureError, match="boolean"):
        layer_non_backtracking(np.ones((3, 3)))
    with pytest.raises(StructureError, match="do not split into 2 groups"):
        layer_non_backtracking(np.ones((3, 3), dtype=bool), groups=2)
