import networkx as nx
import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from masktools.errors import StructureError
from masktools.structure.degrees import degree_difference, degrees

SHAPES = st.one_of(st.tuples(st.integers(1, 6), st.integers(1, 6)), st.tuples(*[st.integers(1, 3)] * 4))


def test_hand_computed():
    a = np.array([[1, 1, 1, 0], [0, 0, 1, 0], [0, 0, 0, 0]], dtype=bool)  # fan-in 3, 1, 0; fan-out 1, 1, 2, 0
    b = np.array([[0, 0, 0, 0], [1, 1, 0, 0], [0, 1, 1, 0]], dtype=bool)  # fan-in 0, 2, 2; fan-out 1, 2, 1, 0
    found = degree_difference("fc", a, b)
    assert found.fan_in_distance == pytest.approx((0 + 1 + 1) / 3)
    assert found.fan_out_distance == 0.0
    assert found.fan_in_correlation == pytest.approx(np.corrcoef([3, 1, 0], [0, 2, 2])[0, 1])
    assert found.fan_out_correlation == pytest.approx(0.5)
    assert found.to_dict()["name"] == "fc"


@given(hnp.arrays(np.bool_, st.tuples(st.integers(1, 7), st.integers(1, 7))))
def test_degrees_are_networkxs(mask):
    graph = nx.Graph()
    graph.add_nodes_from(("in", i) for i in range(mask.shape[1]))
    graph.add_nodes_from(("out", o) for o in range(mask.shape[0]))
    graph.add_edges_from((("in", int(i)), ("out", int(o))) for o, i in np.argwhere(mask))
    fan_out, fan_in = degrees(mask)
    assert fan_out.tolist() == [graph.degree(("in", i)) for i in range(mask.shape[1])]
    assert fan_in.tolist() == [graph.degree(("out", o)) for o in range(mask.shape[0])]


@given(SHAPES.flatmap(lambda shape: st.tuples(*[hnp.arrays(np.bool_, shape)] * 2)), st.integers(0, 2**32 - 1))
def test_distance_is_wasserstein_and_ignores_the_order_of_units(pair, seed):
    a, b = pair
    rng = np.random.default_rng(seed)
    found = degree_difference("x", a, b)
    (out_a, in_a), (out_b, in_b) = degrees(a), degrees(b)
    assert found.fan_in_distance == pytest.approx(scipy.stats.wasserstein_distance(in_a, in_b), abs=1e-12)
    assert found.fan_out_distance == pytest.approx(scipy.stats.wasserstein_distance(out_a, out_b), abs=1e-12)
    moved = b[rng.permutation(len(b))][:, rng.permutation(b.shape[1])]
    again = degree_difference("x", a, moved)
    assert (again.fan_in_distance, again.fan_out_distance) == (found.fan_in_distance, found.fan_out_distance)
    for value in (found.fan_in_correlation, found.fan_out_correlation):
        assert value is None or -1 <= value <= 1


def test_equal_degrees_have_no_correlation():
    regular = np.eye(4, dtype=bool)
    found = degree_difference("x", regular, ~regular)
    assert (found.fan_in_correlation, found.fan_out_correlation) == (None, None)
    assert (found.fan_in_distance, found.fan_out_distance) == (2.0, 2.0)


def test_groups_have_inputs_of_their_own():
    a, b = np.zeros((4, 1, 3, 3), dtype=bool), np.zeros((4, 1, 3, 3), dtype=bool)
    a[0], b[3] = True, True
    assert degree_difference("dw", a, b, groups=4).fan_out_distance == 0
    assert degree_difference("dw", a, b, groups=4).fan_out_correlation == pytest.approx(-1 / 3)
    assert degree_difference("dw", a, b).fan_out_correlation is None


def test_shapes_that_differ_are_refused():
    with pytest.raises(StructureError, match=r"layer 'fc' has shape \(2, 3\) in A but \(3, 2\) in B"):
        degree_difference("fc", np.ones((2, 3), dtype=bool), np.ones((3, 2), dtype=bool))
