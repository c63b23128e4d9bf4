import networkx as nx
import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from test_clustering import graph_of

from masktools.errors import StructureError
from masktools.structure.wiring.channels import channel_adjacency
from masktools.structure.wiring.cores import core_numbers, cores, layer_cores

MASKS = st.one_of(
    hnp.arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 9))),
    hnp.arrays(np.bool_, st.tuples(st.sampled_from([2, 4]), *[st.integers(1, 3)] * 3)),
)
SQUARES = st.integers(0, 12).flatmap(lambda size: hnp.arrays(np.bool_, (size, size)))


def symmetric(matrix):
    upper = np.triu(matrix, 1)
    return upper | upper.T


def test_by_hand():
    # A complete graph of four, a triangle that shares a node with it, a tail and a single node.
    graph = nx.Graph([(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3), (3, 4), (3, 5), (4, 5), (5, 6)])
    graph.add_node(7)
    adjacency = scipy.sparse.csr_array(nx.to_scipy_sparse_array(graph, nodelist=range(8)))
    assert core_numbers(adjacency).tolist() == [3, 3, 3, 3, 2, 2, 1, 0]
    assert cores(adjacency).to_dict() == {"nodes": 8, "degeneracy": 3, "core_size": 4}


def test_a_layer_by_hand():
    # Outputs 0, 1, 2 and inputs 0, 1, 2 are joined completely, the rest hangs on it by one edge.
    mask = np.zeros((4, 5), dtype=bool)
    mask[:3, :3] = mask[3, 0] = mask[0, 3] = True
    assert layer_cores(mask).to_dict() == {
        "inputs": 5,
        "outputs": 4,
        "degeneracy": 3,
        "core_inputs": 3,
        "core_outputs": 3,
    }


@given(SQUARES, st.integers(0, 2**32 - 1))
def test_numbers_are_networkxs_whatever_the_order_of_nodes(matrix, seed):
    matrix = symmetric(matrix)
    graph = nx.from_numpy_array(matrix.astype(int))
    expected = nx.core_number(graph)
    numbers = core_numbers(scipy.sparse.csr_array(matrix))
    assert numbers.tolist() == [expected[node] for node in range(len(matrix))]
    order = np.random.default_rng(seed).permutation(len(matrix))
    assert core_numbers(scipy.sparse.csr_array(matrix[order][:, order])).tolist() == numbers[order].tolist()


@given(MASKS, st.sampled_from([1, 2]))
def test_cores_of_layers_are_networkxs(mask, groups):
    groups = groups if len(mask) % groups == 0 else 1
    graph = graph_of(mask, groups)
    expected = nx.core_number(graph)
    degeneracy = max(expected.values())
    found = layer_cores(mask, groups)
    innermost = [side for (side, _), number in expected.items() if number == degeneracy]
    assert (found.inputs, found.outputs) == (mask.shape[1] * groups, len(mask))
    assert (found.degeneracy, found.core_inputs, found.core_outputs) == (
        degeneracy,
        innermost.count("in"),
        innermost.count("out"),
    )
    assert nx.utils.graphs_equal(
        nx.from_scipy_sparse_array(channel_adjacency(mask, groups).astype(int)),
        nx.from_numpy_array(nx.to_numpy_array(graph, dtype=int)),
    )


def test_larger_graphs_with_hubs_are_networkxs():
    for seed in range(3):
        graph = nx.barabasi_albert_graph(400, 5, seed=seed)
        graph.add_edges_from(nx.gnm_random_graph(60, 600, seed=seed).edges)
        expected = nx.core_number(graph)
        adjacency = scipy.sparse.csr_array(nx.to_scipy_sparse_array(graph, nodelist=range(400)))
        before = adjacency.copy()
        assert core_numbers(adjacency).tolist() == [expected[node] for node in range(400)]
        assert (adjacency != before).nnz == 0


def test_stored_zeros_and_repeated_entries_are_what_they_add_up_to():
    # Row 0 has column 1 three times, row 1 has column 0 twice, row 2 has a zero.
    values, columns = [1.0, 2.0, -2.0, 1.0, 1.0, 0.0, 1.0, 0.0], [1, 1, 1, 0, 2, 0, 1, 0]
    adjacency = scipy.sparse.csr_array((values, columns, [0, 3, 6, 8]), shape=(3, 3))
    assert core_numbers(adjacency).tolist() == [1, 1, 1]
    assert adjacency.nnz == 8
    # Now the entries of the edge from 0 to 1 add up to nothing.
    values = [2.0, -1.0, -1.0, 1.0, 1.0, -1.0, 1.0, 0.0]
    cancelled = scipy.sparse.csr_array((values, columns, [0, 3, 6, 8]), shape=(3, 3))
    assert core_numbers(cancelled).tolist() == [0, 1, 1]


def test_what_is_no_graph():
    with pytest.raises(StructureError, match="is symmetric"):
        core_numbers(scipy.sparse.csr_array([[0, 1, 0], [0, 0, 1], [1, 0, 0]]))
    with pytest.raises(StructureError, match="no node to itself"):
        core_numbers(scipy.sparse.csr_array([[1, 1], [1, 0]]))
    with pytest.raises(StructureError, match=r"is square, got shape \(2, 3\)"):
        core_numbers(scipy.sparse.csr_array(np.ones((2, 3))))


def test_empty_dense_and_single():
    empty = layer_cores(np.zeros((3, 2), dtype=bool))
    assert (empty.degeneracy, empty.core_inputs, empty.core_outputs) == (0, 2, 3)
    dense = layer_cores(np.ones((3, 2, 3, 3), dtype=bool))
    assert (dense.degeneracy, dense.core_inputs, dense.core_outputs) == (2, 2, 3)
    assert layer_cores(np.ones((1, 1), dtype=bool)).degeneracy == 1
    assert cores(scipy.sparse.csr_array((0, 0))).to_dict() == {"nodes": 0, "degeneracy": 0, "core_size": 0}
    depthwise = layer_cores(np.ones((4, 1, 3, 3), dtype=bool), groups=4)
    assert (depthwise.inputs, depthwise.degeneracy, depthwise.core_inputs) == (4, 1, 4)
