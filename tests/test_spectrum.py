import math

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse
import scipy.sparse.linalg
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from masktools.errors import StructureError
from masktools.structure.wiring import singular_values
from masktools.structure.wiring.imdb import layer_bound_difference
from masktools.structure.wiring.singular_values import biadjacency, connected_parts, leading_singular_values
from masktools.structure.wiring.spectrum import layer_spectrum

MASKS = hnp.arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 9)))
HEAWOOD = np.array([[(column - row) % 7 in (0, 1, 3) for column in range(7)] for row in range(7)])
"""Points and lines of the Fano plane: 0, 1 and 3 are a difference set modulo 7."""


def _random(shape, density, seed=0):
    return np.random.default_rng(seed).random(shape) < density


def _top(matrix):
    return (*scipy.linalg.svdvals(matrix.astype(float)).tolist(), 0.0)[:2]


def _joined(*masks):
    return scipy.linalg.block_diag(*masks).astype(bool)


def test_heawood_graph():
    found = layer_spectrum(HEAWOOD)
    assert (found.inputs, found.outputs, found.edges) == (7, 7, 21)
    assert found.sigma_1 == pytest.approx(3, rel=1e-12)
    assert found.sigma_2 == pytest.approx(math.sqrt(2), rel=1e-12)
    assert found.mean_sigma_1 == pytest.approx(3, rel=1e-12)
    assert found.bound == pytest.approx(2 * math.sqrt(2), rel=1e-12)
    assert found.ratio == pytest.approx(0.5, rel=1e-12)
    assert found.random_sigma_2 == pytest.approx(math.sqrt(3 / 7 * 4 / 7) * 2 * math.sqrt(7), rel=1e-12)
    assert found.to_dict()["ratio"] == found.ratio


@given(MASKS)
def test_is_the_dense_decomposition_and_ignores_sides(mask):
    found = layer_spectrum(mask)
    assert (found.sigma_1, found.sigma_2) == pytest.approx(_top(mask), rel=1e-9, abs=1e-12)
    turned = layer_spectrum(mask.T)
    assert (turned.sigma_1, turned.sigma_2) == pytest.approx((found.sigma_1, found.sigma_2), rel=1e-9, abs=1e-12)
    assert (turned.bound, turned.inputs) == (pytest.approx(found.bound), found.outputs)
    if found.edges:
        assert found.mean_sigma_1 <= found.sigma_1 * (1 + 1e-12)


@given(MASKS, st.integers(0, 2**32 - 1))
def test_order_of_units_and_units_without_edges_change_nothing(mask, seed):
    rng = np.random.default_rng(seed)
    moved = np.zeros((mask.shape[0] + 2, mask.shape[1] + 1), dtype=bool)
    moved[2:, 1:] = mask
    moved = moved[rng.permutation(len(moved))][:, rng.permutation(moved.shape[1])]
    for measure in (layer_spectrum, layer_bound_difference):
        before, after = measure(mask).to_dict(), measure(moved).to_dict()
        for name, value in before.items():
            expected = pytest.approx(value, rel=1e-9, abs=1e-12) if isinstance(value, float) else value
            assert after[name] == expected, name


@given(st.lists(hnp.arrays(np.bool_, st.tuples(st.just(3), st.just(2), st.just(2))), min_size=1, max_size=3))
def test_groups_are_a_disjoint_union_and_taps_do_not_count(groups):
    channels = _joined(*(group.any(axis=2) for group in groups))
    found = layer_spectrum(np.concatenate(groups), groups=len(groups))
    whole = layer_spectrum(channels)
    assert found.to_dict() | {"random_sigma_2": None} == whole.to_dict() | {"random_sigma_2": None}
    assert found.random_sigma_2 == (whole.random_sigma_2 if len(groups) == 1 else None)
    assert np.array_equal(biadjacency(np.concatenate(groups), len(groups)).toarray(), channels)


@pytest.mark.parametrize("shape", [(1, 6), (6, 1), (2, 3), (400, 300)])
def test_complete_layer_has_no_second_value(shape):
    found = layer_spectrum(np.ones(shape, dtype=bool))
    assert found.sigma_1 == pytest.approx(math.sqrt(shape[0] * shape[1]), rel=1e-14)
    assert found.sigma_2 == 0.0
    assert found.random_sigma_2 == 0.0
    assert found.ratio == 0.0


def test_layers_without_a_bound():
    empty = layer_spectrum(np.zeros((3, 4), dtype=bool)).to_dict()
    assert [empty[name] for name in ("inputs", "outputs", "edges", "sigma_1", "sigma_2")] == [0, 0, 0, 0.0, 0.0]
    assert [empty[name] for name in ("mean_sigma_1", "random_sigma_2", "bound", "ratio")] == [None] * 4
    assert layer_spectrum(np.zeros((0, 4), dtype=bool)).edges == 0
    pairs = layer_spectrum(np.eye(5, dtype=bool))
    assert (pairs.sigma_1, pairs.sigma_2, pairs.bound, pairs.ratio) == (1.0, 1.0, 0.0, None)


@pytest.mark.parametrize("density", [0.02, 0.1, 0.6])
def test_lanczos_is_exact_and_repeats_itself(density):
    mask = _random((260, 340), density)
    found = layer_spectrum(mask)
    assert (found.sigma_1, found.sigma_2) == pytest.approx(_top(mask), rel=1e-10)
    assert layer_spectrum(mask) == found


def test_lanczos_finds_the_second_of_a_regular_graph():
    steps = np.random.default_rng(3).choice(211, 9, replace=False)
    mask = np.isin((np.arange(211) - np.arange(211)[:, None]) % 211, steps)  # all rows and columns have 9 entries
    found = layer_spectrum(mask)
    phases = np.abs(np.fft.fft(np.isin(np.arange(211), steps)))
    assert (found.sigma_1, found.sigma_2) == pytest.approx((9, np.sort(phases)[-2]), rel=1e-10)


def test_small_second_value_keeps_its_digits():
    mask = np.ones((600, 700), dtype=bool)
    mask[17, 23] = False
    # On vectors that are constant but at the missing entry: a matrix of 2 x 2 with the same values.
    small = np.array([[0, math.sqrt(699)], [math.sqrt(599), math.sqrt(599 * 699)]])
    found = layer_spectrum(mask)
    assert (found.sigma_1, found.sigma_2) == pytest.approx(np.linalg.svd(small)[1], rel=1e-10)


def test_equal_parts_are_counted_as_often_as_they_are():
    part = _random((170, 180), 0.1, seed=4)
    other = _random((160, 160), 0.02, seed=5)
    found = layer_spectrum(_joined(other, part, part))
    assert (found.sigma_1, found.sigma_2) == pytest.approx([_top(part)[0]] * 2, rel=1e-10)
    found = layer_spectrum(_joined(part, other))
    assert (found.sigma_1, found.sigma_2) == pytest.approx(
        sorted((*_top(part), *_top(other)), reverse=True)[:2], rel=1e-10
    )


@given(MASKS)
def test_parts_put_together_are_the_matrix(mask):
    parts = list(connected_parts(biadjacency(mask)))
    bounds = [bound for bound, _ in parts]
    assert bounds == sorted(bounds, reverse=True)
    values = sorted((value for _, part in parts for value in scipy.linalg.svdvals(part.toarray())), reverse=True)
    whole = [value for value in scipy.linalg.svdvals(mask.astype(float)) if value > 1e-9]
    assert [value for value in values if value > 1e-9] == pytest.approx(whole, rel=1e-9)
    for bound, part in parts:
        assert scipy.linalg.svdvals(part.toarray())[0] <= bound * (1 + 1e-12)
        assert not np.any(part.sum(axis=0) == 0)
        assert not np.any(part.sum(axis=1) == 0)


def test_what_lanczos_does_not_find_is_solved_densely(monkeypatch):
    mask = _random((200, 210), 0.1)

    def unsettled(*_, **__):
        raise scipy.sparse.linalg.ArpackNoConvergence("no convergence", np.empty(0), np.empty((200, 0)))

    monkeypatch.setattr(scipy.sparse.linalg, "eigsh", unsettled)
    assert leading_singular_values(biadjacency(mask)) == pytest.approx(_top(mask), rel=1e-10)


def test_vectors_that_are_not_singular_vectors_are_refused(monkeypatch):
    mask = _random((200, 210), 0.1)
    exact = scipy.sparse.linalg.eigsh

    def third(operator, k, **options):
        values, vectors = exact(operator, k=3, **options)
        return values[1:], np.stack([vectors[:, 2], vectors[:, 0] + 1e-3 * vectors[:, 1]], axis=1)

    monkeypatch.setattr(scipy.sparse.linalg, "eigsh", third)
    assert leading_singular_values(biadjacency(mask)) == pytest.approx(_top(mask), rel=1e-10)


def test_long_chain_is_exact():
    chain = np.eye(400, dtype=bool) | np.eye(400, k=1, dtype=bool)  # a path of 800 units
    found = layer_spectrum(chain)
    expected = [2 * math.cos(k * math.pi / 801) for k in (1, 2)]
    assert (found.sigma_1, found.sigma_2) == pytest.approx(expected, rel=1e-9)


def test_random_layers_are_where_their_density_puts_them():
    found = layer_spectrum(_random((900, 600), 0.1))
    assert found.sigma_2 == pytest.approx(found.random_sigma_2, rel=0.02)
    assert found.ratio < 0.97


@pytest.mark.parametrize("dense", [10, 100])
def test_entries_may_be_any_weights(monkeypatch, dense):
    monkeypatch.setattr(singular_values, "_DENSE", dense)
    values = np.random.default_rng(0).random((42, 45))
    assert leading_singular_values(scipy.sparse.csr_array(values)) == pytest.approx(_top(values), rel=1e-10)
    monotone = np.array([[1.0, 2.0], [2.0, 4.5]])  # complete, but of rank 2
    assert leading_singular_values(scipy.sparse.csr_array(monotone)) == pytest.approx(_top(monotone), rel=1e-10)


def _bound_difference(mask):
    """Definition of Hoang et al., input units at the left, with eigenvalues of the whole adjacency matrix."""
    found = []
    for degree in {int(d) for d in mask.sum(axis=0)}:
        graph = mask[:, mask.sum(axis=0) == degree]
        graph = graph[graph.any(axis=1)]
        if degree < 3 or graph.sum() / len(graph) < 3:
            continue
        adjacency = np.block([[np.zeros((len(graph),) * 2), graph], [graph.T, np.zeros((graph.shape[1],) * 2)]])
        third = np.sort(np.abs(np.linalg.eigvalsh(adjacency)))[-3]
        bound = math.sqrt(degree - 1) + math.sqrt(graph.sum() / len(graph) - 1)
        found.append((bound - third, (bound - third) / bound, graph.shape[1]))
    return found


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.3, 0.5, 0.7]))
def test_bound_difference_is_its_definition(seed, density):
    mask = _random((9, 14), density, seed)
    for side, turned in (("inputs", mask), ("outputs", mask.T)):
        found, expected = layer_bound_difference(mask, side=side), _bound_difference(turned)
        assert (found.side, found.subgraphs) == (side, len(expected))
        assert found.units == sum(units for *_, units in expected)
        if expected:
            means = np.mean(expected, axis=0)
            assert (found.difference, found.relative_difference) == pytest.approx(means[:2], rel=1e-7, abs=1e-7)
        else:
            assert (found.difference, found.relative_difference) == (None, None)


def test_bound_difference_by_hand():
    found = layer_bound_difference(HEAWOOD)
    assert (found.subgraphs, found.units) == (1, 7)
    assert found.difference == pytest.approx(math.sqrt(2))
    assert found.relative_difference == pytest.approx(0.5)
    # Inputs of degree 5 and of degree 4, each complete to some outputs: differences 2 + 2 and √3 + √2.
    mask = np.zeros((6, 8), dtype=bool)
    mask[:5, :5] = mask[2:, 5:] = True
    found = layer_bound_difference(mask)
    assert (found.subgraphs, found.units) == (2, 8)
    assert found.difference == pytest.approx((4 + math.sqrt(3) + math.sqrt(2)) / 2)
    assert found.to_dict()["relative_difference"] == 1.0
    assert layer_bound_difference(np.ones((2, 8), dtype=bool)).difference is None  # inputs of degree 2


def test_layers_that_are_none_are_refused():
    with pytest.raises(StructureError, match="no input and output units"):
        layer_spectrum(np.ones(3, dtype=bool))
    with pytest.raises(StructureError, match="do not split into 2 groups"):
        layer_bound_difference(np.ones((3, 3), dtype=bool), groups=2)
    with pytest.raises(StructureError, match="'left'"):
        layer_bound_difference(np.ones((3, 3), dtype=bool), side="left")
