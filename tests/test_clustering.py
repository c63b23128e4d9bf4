import itertools
import math

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from masktools.errors import StructureError
from masktools.nulls.shuffles import shuffled
from masktools.structure.wiring import clustering as module
from masktools.structure.wiring.clustering import clustering

MATRICES = hnp.arrays(np.bool_, st.tuples(st.integers(1, 7), st.integers(1, 7)))
KERNELS = hnp.arrays(np.bool_, st.tuples(st.sampled_from([2, 4]), *[st.integers(1, 3)] * 3))


def graph_of(mask, groups=1):
    """The graph of channels, tap by tap."""
    outputs, inputs = mask.shape[:2]
    graph = nx.Graph()
    graph.add_nodes_from((("in", i) for i in range(inputs * groups)), bipartite=0)
    graph.add_nodes_from((("out", o) for o in range(outputs)), bipartite=1)
    for o, i, *_ in np.argwhere(mask).tolist():
        graph.add_edge(("in", o // (outputs // groups) * inputs + i), ("out", o))
    return graph


def brute_force(graph):
    """Cycles of four and paths of three edges, by looking at every set of nodes."""
    left = [node for node in graph if node[0] == "in"]
    right = [node for node in graph if node[0] == "out"]
    cycles = sum(
        all(graph.has_edge(i, o) for i in pair for o in other)
        for pair in itertools.combinations(left, 2)
        for other in itertools.combinations(right, 2)
    )
    paths = sum(
        graph.has_edge(a, b) and graph.has_edge(b, c) and graph.has_edge(c, d)
        for a, c in itertools.permutations(left, 2)
        for b, d in itertools.permutations(right, 2)
    )
    return cycles, paths


def test_by_hand():
    # Two output units share inputs 0 and 1: one cycle. Middle edges with (degree - 1) (degree - 1): 1, 1, 2, 2, 0.
    found = clustering(np.array([[1, 1, 0], [1, 1, 1]], dtype=bool))
    assert (found.edges, found.cycles, found.paths) == (5, 1, 6)
    assert found.coefficient == pytest.approx(2 / 3)
    # Of 6 masks with 5 of 6 weights all have 1 cycle and 6 paths.
    assert (found.edges_by_density, found.cycles_by_density, found.paths_by_density) == pytest.approx((5, 1, 6))
    assert found.to_dict()["cycle_ratio"] == pytest.approx(1)


def test_heawood_has_no_cycle_of_four():
    lines = [{0, 1, 3}, {1, 2, 4}, {2, 3, 5}, {3, 4, 6}, {4, 5, 0}, {5, 6, 1}, {6, 0, 2}]
    found = clustering(np.array([[point in line for point in range(7)] for line in lines]))
    assert (found.edges, found.cycles, found.paths, found.coefficient) == (21, 0, 21 * 4, 0)
    assert found.cycles_by_density > 1


@given(MATRICES)
def test_counts_are_those_of_brute_force_and_networkx(mask):
    graph = graph_of(mask)
    found = clustering(mask)
    assert (found.cycles, found.paths) == brute_force(graph)
    if found.paths and min(mask.shape) > 1 and max(mask.shape) > 1:
        expected = nx.algorithms.bipartite.robins_alexander_clustering(graph)
        assert found.coefficient == pytest.approx(expected)


@given(KERNELS, st.sampled_from([1, 2]), st.integers(0, 2**32 - 1))
def test_kernels_groups_and_the_order_of_units(mask, groups, seed):
    found = clustering(mask, groups)
    graph = graph_of(mask, groups)
    assert found.edges == graph.number_of_edges()
    assert (found.cycles, found.paths) == brute_force(graph)
    rng = np.random.default_rng(seed)
    within = np.concatenate([rng.permutation(part) for part in np.split(np.arange(len(mask)), groups)])
    assert clustering(mask[within][:, rng.permutation(mask.shape[1])], groups) == found
    if groups == 1:
        assert clustering(mask.swapaxes(0, 1)) == found


@pytest.mark.parametrize(("shape", "groups"), [((2, 3), 1), ((3, 3), 1), ((2, 2, 2), 1), ((4, 2), 2), ((2, 1, 3), 2)])
def test_density_alone_is_the_mean_over_every_mask(shape, groups):
    size = math.prod(shape)
    for active in range(size + 1):
        found = []
        for places in itertools.combinations(range(size), active):
            mask = np.zeros(size, dtype=bool)
            mask[list(places)] = True
            found.append(clustering(mask.reshape(shape), groups))
        for name in ("edges", "cycles", "paths"):
            mean = np.mean([getattr(one, name) for one in found])
            assert getattr(found[0], f"{name}_by_density") == pytest.approx(mean, abs=1e-12)
            if name != "edges":
                if math.prod(shape[2:]) == 1:
                    assert getattr(found[0], f"{name}_by_edges") == getattr(found[0], f"{name}_by_density")
                # Given the number of edges, every graph of channels is as likely as any other.
                by_edges = np.mean([getattr(one, f"{name}_by_edges") for one in found])
                assert by_edges == pytest.approx(mean, abs=1e-12)


def test_sparse_kernels_lose_no_digits():
    # 9 taps, 100 of 147,456 weights: a kernel has a tap with a probability near 9 * 100 / 147456.
    mask = np.zeros((128, 128, 3, 3), dtype=bool)
    mask.reshape(-1)[:100] = True
    kernel = 9 * 100 / mask.size
    found = clustering(mask)
    assert found.cycles_by_density == pytest.approx(math.comb(128, 2) ** 2 * kernel**4, rel=0.1)


@pytest.mark.parametrize("density", [0.02, 0.3])
def test_shuffles_have_what_density_alone_gives(density):
    rng = np.random.default_rng(5)
    mask = rng.random((60, 40, 2, 2)) < density / 4
    draws = [clustering(shuffled(mask, rng)) for _ in range(60)]
    for name in ("edges", "cycles", "paths"):
        values = [getattr(one, name) for one in draws]
        error = np.std(values) / math.sqrt(len(values))
        assert abs(np.mean(values) - getattr(draws[0], f"{name}_by_density")) < 4 * error
    planted = mask.copy()
    planted[:15, :15] = True
    found = clustering(planted)
    assert found.cycle_ratio > 1.5
    assert found.coefficient > 1.2 * found.coefficient_by_edges


@pytest.mark.parametrize("shape", [(600, 1100), (1100, 600)])
@pytest.mark.parametrize("density", [0.01, 0.2])
def test_both_products_count_the_same_over_several_blocks(shape, density):
    mask = np.random.default_rng(1).random(shape) < density
    dense, sparse = module._shared_dense(mask), module._shared_sparse(mask)
    assert dense[1:].tolist() == sparse[1:].tolist()
    whole = mask.astype(np.int64)
    shared = whole @ whole.T
    found = clustering(mask)
    pairs = shared * (shared - 1) // 2
    assert found.cycles == int((pairs.sum() - np.trace(pairs)) // 2)
    fan_in, fan_out = whole.sum(axis=1), whole.sum(axis=0)
    assert found.paths == int((fan_in - 1) @ whole @ (fan_out - 1))


def test_counts_do_not_overflow():
    units = 2048
    found = clustering(np.ones((units, units), dtype=bool))
    assert found.cycles == math.comb(units, 2) ** 2
    assert found.paths == (units * (units - 1)) ** 2
    assert found.cycles_by_density == pytest.approx(found.cycles)
    assert found.coefficient == found.coefficient_by_density == 1


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1), (0, 3), (3, 0), (4, 4, 3, 3)])
@pytest.mark.parametrize("fill", [np.zeros, np.ones])
def test_empty_dense_and_single(shape, fill):
    found = clustering(fill(shape, dtype=bool))
    if fill is np.ones and min(shape[:2]) > 1:
        assert found.coefficient == found.coefficient_by_density == found.coefficient_by_edges == 1
        assert found.cycle_ratio == 1
    else:
        assert (found.cycles, found.paths, found.cycles_by_density, found.paths_by_density) == (0, 0, 0, 0)
        assert (found.cycles_by_edges, found.paths_by_edges) == (0, 0)
        assert found.coefficient is found.coefficient_by_density is found.coefficient_by_edges is None
        assert found.cycle_ratio is None


def test_what_is_no_mask():
    with pytest.raises(StructureError, match="a mask is boolean, got int64"):
        clustering(np.ones((2, 2), dtype=np.int64))
    with pytest.raises(StructureError, match="has no input and output units"):
        clustering(np.ones(2, dtype=bool))
    with pytest.raises(StructureError, match="3 outputs do not split into 2 groups"):
        clustering(np.ones((3, 2), dtype=bool), groups=2)
