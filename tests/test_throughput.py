"""Paths through each edge, against a list of all paths."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unrolled import NETS, Build, channel_graph, count_paths, full_masks, mlp, random_masks, unrolled

from masktools.structure.wiring.throughput import LayerThroughput, throughput
from masktools.topology.counts import Counts
from masktools.topology.graph import LAYERS
from masktools.topology.paths import edge_paths, log10_paths, log10_throughput

MOST_PATHS = 4000


def listed(topology, masks, *, taps):
    """Slow oracle: walk along every path, and count how often each edge of a layer is walked along."""
    channels = channel_graph(topology, unrolled(topology, masks))
    onward = {name: [] for name in channels}
    for near, far, (place, element) in channels.edges(keys=True):
        edge = (far, None if element is None else element[:2], place)
        if taps or edge not in onward[near] or topology.nodes[far[0]].op not in LAYERS:
            onward[near].append(edge)
    used = {name: Counter() for name in masks}
    total = 0
    stack = [(name, ()) for name in channels if topology.nodes[name[0]].op == "input"]
    while stack:
        name, path = stack.pop()
        if topology.nodes[name[0]].op == "output":
            total += 1
            for layer, edge in path:
                used[layer][edge] += 1
        for far, edge, _ in onward[name]:
            layer = topology.nodes[far[0]].weight
            stack.append((far, path if layer is None else (*path, (layer, edge))))
    return total, used


def cases():
    """Nets and masks with few enough paths to list them."""
    for name, net in NETS.items():
        topology, shapes = net()
        for density, seed in ((0.25, 0), (0.5, 1)):
            paths = count_paths(topology, unrolled(topology, random_masks(shapes, density, seed)))
            if 0 < paths <= MOST_PATHS:
                yield name, density, seed


CASES = list(cases())


@pytest.mark.parametrize("taps", [True, False])
@pytest.mark.parametrize(("net", "density", "seed"), CASES)
def test_every_edge_has_the_paths_that_a_list_of_all_paths_has(net, density, seed, taps):
    topology, shapes = NETS[net]()
    masks = random_masks(shapes, density, seed)
    total, used = listed(topology, masks, taps=taps)
    found = log10_throughput(topology, masks, taps=taps)
    assert list(found) == list(topology.layers)
    for name, logarithms in found.items():
        expected = np.full(shapes[name][:2], -math.inf)
        for edge, paths in used[name].items():
            expected[edge] = math.log10(paths)
        np.testing.assert_allclose(logarithms, expected, rtol=1e-13, atol=1e-14)
        measured = throughput(topology, masks, taps=taps)[name]
        counts = list(used[name].values())
        assert measured.used == len(counts)
        assert measured.largest_share == (pytest.approx(max(counts, default=0) / total) if total else None)
        assert measured.edges == pytest.approx(sum(counts) ** 2 / sum(n * n for n in counts) if counts else 0)


def test_the_cases_above_are_of_most_nets():
    assert len({net for net, *_ in CASES}) > len(NETS) * 2 / 3


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.floats(0.1, 1))
def test_the_edges_of_a_layer_that_all_paths_cross_once_sum_to_all_paths(seed, density):
    topology, shapes = mlp(6, 5, 4, 3)
    masks = random_masks(shapes, density, seed)
    total = 10 ** log10_paths(topology, masks)
    for logarithms in log10_throughput(topology, masks).values():
        assert (10**logarithms).sum() == pytest.approx(total, rel=1e-12)


def test_by_hand():
    topology, shapes = mlp(3, 2, 2)
    masks = full_masks(shapes)
    masks["fc1"][1, :2] = False
    masks["fc2"][1, 0] = False
    # Hidden unit 0 reads 3 inputs and leads to output 0; unit 1 reads input 2 and leads to both: 3 + 2 paths.
    found = log10_throughput(topology, masks)
    np.testing.assert_allclose(10 ** found["fc1"], [[1, 1, 1], [0, 0, 2]])
    np.testing.assert_allclose(10 ** found["fc2"], [[3, 1], [0, 1]])
    measured = throughput(topology, masks)
    assert measured["fc1"] == LayerThroughput("fc1", 4, 2 / 5, pytest.approx(25 / 7))
    assert measured["fc2"].to_dict() == {
        "name": "fc2",
        "used": 3,
        "largest_share": pytest.approx(3 / 5),
        "edges": pytest.approx(25 / 11),
    }


def test_taps_and_columns_count_together():
    b = Build()
    x = b.conv(b.input(1, 3, 3), 2, "c", kernel=(2, 2))
    topology, shapes = b.done(b.linear(b.flatten(x), 1, "fc"))
    masks = full_masks(shapes)
    masks["c"][1, 0, 0] = False
    # 4 taps into channel 0 and 2 into channel 1, each of which is read by 4 columns.
    found = log10_throughput(topology, masks)
    np.testing.assert_allclose(10 ** found["c"], [[16], [8]])
    np.testing.assert_allclose(10 ** found["fc"], [[4] * 4 + [2] * 4])
    np.testing.assert_allclose(10 ** log10_throughput(topology, masks, taps=False)["c"], [[4], [4]])
    assert throughput(topology, masks)["c"].largest_share == pytest.approx(2 / 3)
    assert throughput(topology, masks, taps=False)["c"].largest_share == 0.5


def test_a_path_that_uses_a_weight_twice_counts_twice():
    b = Build()
    topology, shapes = b.done(b.linear(b.linear(b.input(1), 1, "w"), 1, "w"))
    assert throughput(topology, full_masks(shapes))["w"] == LayerThroughput("w", 1, 2.0, 1.0)


def test_a_tap_that_is_inside_at_one_use_only_counts_there():
    b = Build()
    x = b.conv(b.input(1, 1, 1), 1, "c", padding=(1, 1))
    topology, shapes = b.done(x, b.conv(b.input(1, 2, 2), 1, "c", padding=(1, 1)))
    masks = full_masks(shapes)
    assert 10 ** log10_throughput(topology, masks)["c"][0, 0] == pytest.approx(1 + 9)
    masks["c"][0, 0, 1, 1] = False
    assert 10 ** log10_throughput(topology, masks)["c"][0, 0] == pytest.approx(8)


def test_a_layer_beside_all_paths_has_none():
    topology, shapes = NETS["shared"]()
    found = throughput(topology, full_masks(shapes))
    assert found["unread"] == LayerThroughput("unread", 0, 0.0, 0.0)


def test_no_paths_have_no_shares():
    topology, shapes = mlp(3, 2, 1)
    empty = {name: np.zeros(shape, dtype=bool) for name, shape in shapes.items()}
    assert throughput(topology, empty)["fc1"] == LayerThroughput("fc1", 0, None, 0.0)
    assert (log10_throughput(topology, empty)["fc2"] == -math.inf).all()


def test_depth_neither_overflows_nor_loses_the_lone_path():
    # Ten units that are all joined, and one that keeps to itself, through 350 layers.
    topology, shapes = mlp(*[11] * 351)
    masks = full_masks(shapes)
    for mask in masks.values():
        mask[0, 1:] = mask[1:, 0] = False
    found, shares = log10_throughput(topology, masks), throughput(topology, masks)
    for layer in ("fc1", "fc170", "fc350"):
        assert found[layer][0, 0] == 0
        assert found[layer][1:, 1:] == pytest.approx(349, rel=1e-12)
        measured = shares[layer]
        assert measured.largest_share == pytest.approx(0.01, rel=1e-12)
        assert measured.edges == pytest.approx(100, rel=1e-12)


@given(st.lists(st.tuples(st.integers(0, 2**60), st.integers(0, 3000)), min_size=1, max_size=9))
def test_sums_and_products_equal_those_of_whole_numbers(numbers):
    exact = [mantissa << shift for mantissa, shift in numbers]
    counts = Counts.of(np.array([float(m) for m, _ in numbers]), np.array([s for _, s in numbers], dtype=np.int32))
    assert as_logarithm(counts.total()) == pytest.approx(exact_logarithm(sum(exact)), rel=1e-14)
    products = counts.times(counts[::-1])
    for found, one, other in zip(products.log10(), exact, exact[::-1], strict=True):
        assert found == pytest.approx(exact_logarithm(one * other), rel=1e-14)


def as_logarithm(counts):
    (value,) = counts.log10()
    return value


def exact_logarithm(number):
    if not number:
        return -math.inf
    shift = max(0, number.bit_length() - 64)
    return math.log10(number >> shift) + shift * math.log10(2)


def test_edges_without_a_path_are_known_too():
    topology, shapes = mlp(2, 2, 1)
    masks = full_masks(shapes)
    masks["fc2"][0, 1] = False
    found = edge_paths(topology, masks)
    assert found.edges["fc1"].tolist() == [0, 1, 2, 3]
    assert found.paths["fc1"].mantissa.tolist() == [0.5, 0.5, 0, 0]
    assert found.total.log10().tolist() == [math.log10(2)]
