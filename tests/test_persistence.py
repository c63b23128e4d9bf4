import math

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from masktools.errors import StructureError
from masktools.structure.wiring.persistence import largest_weight, network_persistence, neural_persistence

SHAPES = st.one_of(
    st.tuples(st.integers(1, 6), st.integers(1, 6)),
    st.tuples(st.sampled_from([2, 4]), *[st.integers(1, 3)] * 3),
)
# Few different values, so that there are ties, and zeros that are active.
WEIGHTS = st.sampled_from([-2.0, -1.0, -0.25, 0.0, 0.1, 0.5, 1.0, 2.0])
LAYERS = SHAPES.flatmap(lambda s: st.tuples(hnp.arrays(np.float64, s, elements=WEIGHTS), hnp.arrays(np.bool_, s)))


def strongest_edges(weights, mask, groups):
    outputs, inputs = mask.shape[:2]
    edges = {}
    for place in np.argwhere(mask).tolist():
        o, i, *_ = place
        key = ("in", o // (outputs // groups) * inputs + i), ("out", o)
        edges[key] = max(edges.get(key, 0.0), abs(float(weights[tuple(place)])))
    return edges


def by_union_find(weights, mask, largest, groups=1):
    """Persistences of the components that active weights end, and the number of components left."""
    nodes = [("in", i) for i in range(mask.shape[1] * groups)] + [("out", o) for o in range(len(mask))]
    parent = {node: node for node in nodes}

    def root(node):
        while parent[node] != node:
            node = parent[node]
        return node

    ended = []
    edges = strongest_edges(weights, mask, groups)
    for (one, two), weight in sorted(edges.items(), key=lambda edge: -edge[1]):
        if root(one) != root(two):
            parent[root(one)] = root(two)
            ended.append(1 - weight / (largest or 1))
    return ended, len(nodes) - len(ended)


def test_by_hand():
    # 1 and .5 join units for good, .25 closes nothing because it joins the fourth; the 0 is pruned.
    weights = np.array([[2.0, -1.0], [9.0, 0.5]])
    mask = np.array([[True, True], [False, True]])
    found = neural_persistence(weights, mask)
    assert (found.units, found.components) == (4, 1)
    assert found.persistence == found.joined == pytest.approx(math.hypot(0, 0.5, 0.75))
    assert found.normalised == found.joined_normalised == pytest.approx(math.hypot(0.5, 0.75) / math.sqrt(3))
    # Beside a network with weights up to 4 all of them are smaller.
    found = neural_persistence(weights, mask, largest=4.0)
    assert found.persistence == pytest.approx(math.hypot(0.5, 0.75, 0.875))
    assert neural_persistence(weights, mask, largest=4.0, p=1).persistence == pytest.approx(0.5 + 0.75 + 0.875)
    # An edge that closes a cycle ends nothing, however large: .75 is the smallest of the cycle.
    weights[1, 0] = 0.25
    assert neural_persistence(weights, np.ones((2, 2), bool)).persistence == pytest.approx(math.hypot(0.5, 0.75))


def test_components_that_never_join_last_to_the_end():
    mask = np.eye(3, dtype=bool)
    found = neural_persistence(np.diag([1.0, 0.5, 0.5]), mask)
    assert (found.units, found.components) == (6, 3)
    assert found.joined == pytest.approx(math.hypot(0.5, 0.5))
    assert found.joined_normalised == pytest.approx(math.sqrt(0.5 / 3))
    assert found.persistence == pytest.approx(math.sqrt(0.5 + 2))
    # The same as with all pruned weights at 0.
    dense = neural_persistence(np.diag([1.0, 0.5, 0.5]), np.ones((3, 3), bool))
    assert (dense.persistence, dense.normalised) == pytest.approx((found.persistence, found.normalised))


@given(LAYERS, st.sampled_from([1, 2]), st.sampled_from([1.0, 2.0, 3.0]), st.sampled_from([None, 2.0, 5.0]))
def test_union_find_and_networkx_agree(layer, groups, p, largest):
    weights, mask = layer
    groups = groups if len(mask) % groups == 0 else 1
    found = neural_persistence(weights, mask, largest, groups, p)
    scale = largest_weight(weights, mask) if largest is None else largest
    ended, components = by_union_find(weights, mask, scale, groups)
    assert found.components == components
    assert found.joined**p == pytest.approx(sum(gap**p for gap in ended), abs=1e-9)
    assert found.persistence**p == pytest.approx(sum(gap**p for gap in ended) + components - 1, abs=1e-9)
    assert found.normalised == pytest.approx(found.persistence / (found.units - 1) ** (1 / p))
    assert 0 <= found.normalised <= 1 + 1e-12
    graph = nx.Graph()
    graph.add_weighted_edges_from((*ends, weight) for ends, weight in strongest_edges(weights, mask, groups).items())
    tree = nx.maximum_spanning_tree(graph).edges(data="weight")
    assert found.joined**p == pytest.approx(sum((1 - weight / (scale or 1)) ** p for *_, weight in tree), abs=1e-9)


@given(LAYERS, st.integers(0, 2**32 - 1))
def test_order_sign_scale_and_pruned_weights_do_not_matter(layer, seed):
    weights, mask = layer
    rng = np.random.default_rng(seed)
    found = neural_persistence(weights, mask)
    rows, columns = rng.permutation(len(mask)), rng.permutation(mask.shape[1])
    changed = np.where(mask, weights * rng.choice([-4, 4], weights.shape), np.nan)
    assert neural_persistence(changed[rows][:, columns], mask[rows][:, columns]).to_dict() == pytest.approx(
        found.to_dict()
    )
    dense = neural_persistence(np.where(mask, weights, 0), np.ones_like(mask))
    assert dense.normalised == pytest.approx(found.normalised)
    assert dense.components == 1


def test_edges_have_their_strongest_active_tap():
    weights = np.array([[[1.0, -3.0, 2.0]], [[0.5, -1.5, 1.0]]])
    mask = np.array([[[True, False, True]], [[True, True, True]]])
    assert neural_persistence(weights, mask).persistence == pytest.approx(1 - 1.5 / 2)


def test_networks_have_one_scale():
    weights = {"a": np.full((2, 2), 4.0), "b": np.full((1, 2), 1.0), "c": np.full((2, 1, 1), 2.0)}
    masks = {name: np.ones(value.shape, dtype=bool) for name, value in weights.items()}
    found = network_persistence(weights, masks, {"c": 2})
    assert found.largest == 4
    assert [layer.normalised for layer in found.layers.values()] == pytest.approx([0, 0.75, math.sqrt((0.5 + 1) / 3)])
    assert found.mean == pytest.approx((0.75 + math.sqrt(0.5)) / 3)
    assert list(found.to_dict()["layers"]) == ["a", "b", "c"]
    # A pruned weight gives no scale.
    weights["a"][0, 0], masks["a"][0, 0] = 100, False
    assert network_persistence(weights, masks, {"c": 2}).largest == 4
    assert network_persistence({}, {}).to_dict() == {"layers": {}, "largest": 0, "mean": None}


def test_empty_dense_and_single():
    empty = neural_persistence(np.ones((3, 2)), np.zeros((3, 2), dtype=bool))
    assert (empty.components, empty.persistence, empty.normalised) == (5, 2, 1)
    assert (empty.joined, empty.joined_normalised) == (0, None)
    constant = neural_persistence(np.full((3, 2), -7, dtype=np.float32), np.ones((3, 2), dtype=bool))
    assert (constant.persistence, constant.normalised, constant.joined_normalised) == (0, 0, 0)
    zeros = neural_persistence(np.zeros((3, 2)), np.ones((3, 2), dtype=bool))
    assert (zeros.components, zeros.normalised, zeros.joined_normalised) == (1, 1, 1)
    single = neural_persistence(np.ones((1, 1)), np.ones((1, 1), dtype=bool))
    assert (single.units, single.components, single.persistence, single.normalised) == (2, 1, 0, 0)
    lone = neural_persistence(np.ones((1, 0)), np.ones((1, 0), dtype=bool))
    assert (lone.units, lone.persistence, lone.normalised) == (1, 0, None)
    assert neural_persistence(np.ones((0, 0)), np.ones((0, 0), dtype=bool)).persistence == 0


def test_what_is_refused():
    weights, mask = np.array([[1.0, np.nan]]), np.array([[True, False]])
    assert neural_persistence(weights, mask).components == 2
    with pytest.raises(StructureError, match="an active weight is not finite"):
        neural_persistence(weights, ~mask)
    with pytest.raises(StructureError, match=r"given as 0\.5, but the layer has one of 1"):
        neural_persistence(weights, mask, largest=0.5)
    with pytest.raises(StructureError, match="at least 1, got 0"):
        neural_persistence(weights, mask, p=0)
    with pytest.raises(StructureError, match="do not fit a mask"):
        neural_persistence(weights, mask.T)
    with pytest.raises(StructureError, match=r"layer 'fc' has no weights of shape \(1, 2\)"):
        network_persistence({}, {"fc": mask})
