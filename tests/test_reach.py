import math

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from unrolled import NETS, Build, effective, full_masks, mlp, random_masks, reached, unrolled

from masktools.errors import StructureError
from masktools.topology.fields import Field, distinct
from masktools.topology.graph import Heads, Node, Topology, View, Window
from masktools.topology.paths import log10_paths
from masktools.topology.reach import backward, effective_masks, forward
from masktools.topology.shapes import check_shapes

CASES = pytest.mark.parametrize("net", NETS)
DENSITIES = (0.04, 0.1, 0.25, 0.6, 1.0)


@CASES
@pytest.mark.parametrize("density", DENSITIES)
def test_sets_and_effective_masks_equal_those_of_the_unrolled_graph(net, density):
    topology, shapes = NETS[net]()
    for seed in range(4):
        masks = random_masks(shapes, density, seed)
        graph = unrolled(topology, masks)
        for mine, oracle in (
            (forward(topology, masks), reached(topology, graph, "input", "forward")),
            (backward(topology, masks), reached(topology, graph, "output", "backward")),
        ):
            for node, field, expected in zip(topology.nodes, mine, oracle, strict=True):
                np.testing.assert_array_equal(field.to_array(), expected, err_msg=node.op)
        expected = effective(topology, masks, graph)
        found = effective_masks(topology, masks)
        assert found.keys() == expected.keys()
        for name in expected:
            np.testing.assert_array_equal(found[name], expected[name], err_msg=name)


def test_the_random_masks_above_leave_something_and_lose_something():
    """Else the comparison with the oracle would compare nothing."""
    for net, build in NETS.items():
        topology, shapes = build()
        shares = []
        for density in DENSITIES[:-1]:
            for seed in range(4):
                masks = random_masks(shapes, density, seed)
                kept = sum(mask.sum() for mask in effective_masks(topology, masks).values())
                shares.append((kept, sum(mask.sum() for mask in masks.values())))
        assert any(0 < kept < active for kept, active in shares), net


def corner(taps, size=3):
    """Convolutions of one channel with one corner tap each."""
    b = Build()
    x = b.input(1, size, size)
    masks = {}
    for number in range(taps):
        x = b.conv(x, 1, f"c{number}", padding=(1, 1))
        masks[f"c{number}"] = np.zeros((1, 1, 3, 3), dtype=bool)
        masks[f"c{number}"][0, 0, 0, 0] = True
    return b.done(x)[0], masks


def test_corner_taps_shift_the_content_out_of_a_small_map():
    # The top left tap reads the upper left neighbour: each convolution moves the content one step down and right.
    topology, masks = corner(2)
    after = [field.to_array()[0].astype(int).tolist() for field in forward(topology, masks)]
    assert after[1] == [[0, 0, 0], [0, 1, 1], [0, 1, 1]]
    assert after[2] == [[0, 0, 0], [0, 0, 0], [0, 0, 1]]
    before = [field.to_array()[0].astype(int).tolist() for field in backward(topology, masks)]
    assert before[1] == [[1, 1, 0], [1, 1, 0], [0, 0, 0]]
    assert before[0] == [[1, 0, 0], [0, 0, 0], [0, 0, 0]]
    assert all(mask.sum() == 1 for mask in effective_masks(topology, masks).values())

    topology, masks = corner(3)
    assert not any(mask.any() for mask in effective_masks(topology, masks).values())


def test_a_tap_that_only_meets_padding_is_not_effective():
    b = Build()
    topology, shapes = b.done(b.conv(b.input(1, 1, 1), 1, "c", padding=(1, 1)))
    found = effective_masks(topology, full_masks(shapes))["c"][0, 0]
    assert found.astype(int).tolist() == [[0, 0, 0], [0, 1, 0], [0, 0, 0]]


def test_a_tap_that_only_feeds_a_dropped_row_is_not_effective():
    b = Build()
    x = b.conv(b.input(1, 3, 1), 1, "c", kernel=(3, 1), padding=(1, 0), stride=(2, 1))
    # Rows 0 and 1 of the output read rows (-1, 0, 1) and (1, 2, 3); the pool reads row 0 alone.
    topology, shapes = b.done(b.pool(x, (1, 1), stride=(2, 1)))
    found = effective_masks(topology, full_masks(shapes))["c"][0, 0, :, 0]
    assert found.astype(int).tolist() == [0, 1, 1]


def test_lenet_pruned_at_random_to_one_percent_keeps_about_260_weights():
    topology, shapes = mlp(784, 300, 100, 10)
    sizes = [int(np.prod(shape)) for shape in shapes.values()]
    assert sum(sizes) == 266_200
    counts = []
    for seed in range(300):
        flat = np.zeros(sum(sizes), dtype=bool)
        flat[np.random.default_rng(seed).choice(flat.size, 2662, replace=False)] = True
        parts = np.split(flat, np.cumsum(sizes)[:-1])
        masks = {name: part.reshape(shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}
        counts.append(sum(int(mask.sum()) for mask in effective_masks(topology, masks).values()))
    # For independent weights the expectation is exact: a weight counts when it is active, its lower end is reached
    # and its upper end reaches an output, and the three are independent.
    p = 0.01
    reached_1 = 1 - (1 - p) ** 784
    reached_2 = 1 - (1 - p * reached_1) ** 300
    reaches_2 = 1 - (1 - p) ** 10
    reaches_1 = 1 - (1 - p * reaches_2) ** 100
    expected = p * (235_200 * reaches_1 + 30_000 * reached_1 * reaches_2 + 1000 * reached_2)
    assert expected == pytest.approx(252.76, abs=0.01)
    # 300 draws know the mean to about 5 and the standard deviation (published: 97, by us over 4000 draws: 87) to 4.
    assert abs(np.mean(counts) - expected) < 4 * np.std(counts) / np.sqrt(300)
    assert 75 < np.std(counts) < 110


@st.composite
def nested_masks(draw):
    """A net with two random masks, the first a subset of the second."""
    topology, shapes = NETS[draw(st.sampled_from(sorted(NETS)))]()
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    larger = {name: rng.random(shape) < draw(st.floats(0, 1)) for name, shape in shapes.items()}
    smaller = {name: mask & (rng.random(mask.shape) < draw(st.floats(0, 1))) for name, mask in larger.items()}
    return topology, smaller, larger


@given(nested_masks())
def test_effective_is_a_subset_idempotent_and_monotone(case):
    topology, smaller, larger = case
    once, more = effective_masks(topology, smaller), effective_masks(topology, larger)
    again = effective_masks(topology, once)
    for name, mask in smaller.items():
        assert not (once[name] & ~mask).any()
        np.testing.assert_array_equal(again[name], once[name])
        assert not (once[name] & ~more[name]).any()


@given(nested_masks())
def test_what_is_lost_carries_no_path_and_can_go(case):
    topology, masks, _ = case
    kept = effective_masks(topology, masks)
    for full, pruned in zip(forward(topology, masks), forward(topology, kept), strict=True):
        assert not (pruned.to_array() & ~full.to_array()).any()
    ends = [number for number, node in enumerate(topology.nodes) if node.op == "output"]
    full, pruned = forward(topology, masks), forward(topology, kept)
    for number in ends:
        np.testing.assert_array_equal(full[number].to_array(), pruned[number].to_array())


@given(st.integers(1, 4), st.integers(1, 30), st.integers(1, 400), st.integers(0, 2**32 - 1))
def test_distinct_columns_are_numbered_by_content(rows, columns, values, seed):
    table = np.random.default_rng(seed).integers(-1, values, (rows, columns))
    first, number = distinct(table)
    np.testing.assert_array_equal(table[:, first][:, number], table)
    assert len(np.unique(table, axis=1).T) == len(first)
    assert [np.flatnonzero(number == n)[0] for n in range(len(first))] == first.tolist()


@given(st.integers(1, 20), st.integers(1, 4), st.integers(1, 4), st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_a_field_holds_the_array_that_it_was_made_of(channels, height, width, density, seed):
    values = np.random.default_rng(seed).random((channels, height, width)) < density
    field = Field.from_array(values)
    np.testing.assert_array_equal(field.to_array(), values)
    np.testing.assert_array_equal(field.anywhere, values.any(axis=(1, 2)))
    assert field.count == values.sum()
    assert len(np.unique(field.columns, axis=1).T) == field.columns.shape[1] <= height * width


def test_large_maps_of_a_dense_network_need_one_column():
    b = Build()
    x = b.conv(b.input(3, 64, 64), 8, "a", kernel=(7, 7), stride=(2, 2), padding=(3, 3))
    topology, shapes = b.done(b.conv(x, 8, "b", padding=(1, 1)))
    assert all(field.columns.shape[1] == 1 for field in forward(topology, full_masks(shapes)))


def conv_net(shape=(4, 3, 3), weight="c", **window):
    nodes = (
        Node("input", (), (2, 5, 5)),
        Node("conv2d", (0,), shape, weight=weight, window=Window((3, 3), **window)),
        Node("output", (1,), shape),
    )
    return Topology(nodes)


@pytest.mark.parametrize(
    ("topology", "shapes", "words"),
    [
        (conv_net(), {"c": (4, 3, 3, 3)}, "layer c: weight (4, 3, 3, 3) does not fit"),
        (conv_net(), {"c": (4, 2)}, "layer c: weight (4, 2) does not fit"),
        (conv_net(padding=(1, 1)), {"c": (4, 2, 3, 3)}, "layer c: shape (4, 3, 3) does not follow"),
        (conv_net(groups=3), {"c": (4, 2, 3, 3)}, "layer c: 2 and 4 channels do not split into 3 groups"),
        (conv_net(), {}, "layer c of the operator graph has no mask"),
        (conv_net(), {"c": (4, 2, 3, 3), "d": (1, 1)}, "layer d is not in the operator graph"),
        (mlp(3, 2)[0], {"fc1": (3, 2)}, "layer fc1: weight (3, 2) does not map 3 features to 2"),
    ],
)
def test_shapes_that_do_not_fit_are_refused_by_name(topology, shapes, words):
    with pytest.raises(StructureError) as caught:
        check_shapes(topology, shapes)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("nodes", "words"),
    [
        ([Node("input", (), (3,)), Node("identity", (0,), (4,)), Node("output", (1,), (4,))], "node 1 (identity)"),
        ([Node("input", (), (2, 2, 2)), Node("flatten", (0,), (6,)), Node("output", (1,), (6,))], "node 1 (flatten)"),
        (
            [
                Node("input", (), (2, 5, 5)),
                Node("pool2d", (0,), (2, 4, 4), window=Window((2, 2), (2, 2))),
                Node("output", (1,), (2, 4, 4)),
            ],
            "node 1 (pool2d): shape (2, 4, 4) does not follow",
        ),
        (
            [
                Node("input", (), (2, 5, 5)),
                Node("adaptive_pool2d", (0,), (3, 1, 1)),
                Node("output", (1,), (3, 1, 1)),
            ],
            "node 1 (adaptive_pool2d): shape (3, 1, 1) has other channels",
        ),
        ([Node("input", (), (3,)), Node("adaptive_pool2d", (0,), (3,)), Node("output", (1,), (3,))], "maps of 2 axes"),
        ([Node("input", (), (1, 2**14, 2**13)), Node("output", (0,), (1, 2**14, 2**13))], "too large to follow"),
    ],
)
def test_nodes_that_do_not_fit_are_refused_by_number(nodes, words):
    with pytest.raises(StructureError) as caught:
        check_shapes(Topology(tuple(nodes)), {})
    assert words in str(caught.value)


def fed(*shapes, op, shape, **fields):
    """A node and the inputs that feed it."""
    inputs = [Node("input", (), fed) for fed in shapes]
    return Topology(
        (*inputs, Node(op, tuple(range(len(shapes))), shape, **fields), Node("output", (len(shapes),), shape))
    )


def resampled(*reads, shape=(2, 3, 3)):
    return fed(shape, op="resample", shape=(shape[0], *map(len, reads)), reads=reads)


def viewed(sizes, strides, offset=0, shape=(2, 3, 4)):
    return fed(shape, op="view", shape=sizes, view=View(sizes, strides, offset))


@pytest.mark.parametrize(
    ("topology", "words"),
    [
        (viewed((2, 3, 4), (12, 4, 1)), None),
        (viewed((2, 3, 4), (12, 4, 1), 1), "leaves the elements of (2, 3, 4)"),
        (viewed((2, 3, 5), (12, 4, 1)), "leaves the elements"),
        (viewed((24,), (-1,), 23), None),
        (viewed((24,), (-1,), 22), "leaves the elements"),
        (viewed((1,), (2**40,), 23), None),
        (viewed((1,), (0,), 24), "leaves the elements"),
        (viewed((1,), (0,), -1), "leaves the elements"),
        (viewed((9, 3), (0, 0), 23), None),
        (viewed((2**14, 2**13), (0, 0)), "too large to follow"),
        (resampled(((0,),), ((2,), (), (0, 1))), None),
        (resampled(((3,),), ((2,),)), "along axis 1 position 0 reads beyond the 3 of (2, 3, 3)"),
        (resampled(((0,),), ((2,), (0, -1))), "along axis 2 position 1 reads beyond the 3"),
        (resampled(((0,),), ((2,), (1, 0, 1))), "along axis 2 position 1 reads the same twice"),
        (resampled(((0,),)), "lists of positions do not lead from (2, 3, 3) to (2, 1)"),
        (fed((2, 3), op="resample", shape=(2, 2), reads=(((0,),),)), "lists of positions do not lead"),
        (fed((2, 3), op="resample", shape=(3, 1), reads=(((0,),),)), "lists of positions do not lead"),
        (fed((2, 3), op="resample", shape=(2, 1), reads=(((0,),), ())), "lists of positions do not lead"),
        (fed((2, 3), (4, 3), op="concat", shape=(6, 3), axes=(0,)), None),
        (fed((2, 3), (4, 3), op="concat", shape=(5, 3), axes=(0,)), "side by side along axis 0 do not make (5, 3)"),
        (fed((2, 3), (4, 2), op="concat", shape=(6, 3), axes=(0,)), "do not make (6, 3)"),
        (fed((2, 3), (4,), op="concat", shape=(6, 3), axes=(0,)), "do not make (6, 3)"),
        (fed((2, 3), (2, 1), op="concat", shape=(2, 4), axes=(1,)), None),
        (fed((2, 3), (2,), op="concat", shape=(2, 4), axes=(1,)), "do not make (2, 4)"),
        (fed((2, 3), (2, 3), op="mul", shape=(2, 3)), None),
        (fed((2, 3), (2, 1), op="mul", shape=(2, 3)), "shape (2, 3) is fed by shape (2, 1)"),
        (fed((2, 3), op="mix", shape=(3, 2), axes=(0,)), "shape (3, 2) is fed by shape (2, 3)"),
        (fed((4, 3), (4, 2), (6, 2), op="attention", shape=(6, 3), heads=Heads(2)), None),
        (fed((4, 3), (4, 2), (6, 2), op="attention", shape=(6, 2), heads=Heads(2)), "positions of queries (4, 3)"),
        (fed((4, 3), (4, 2), (6, 3), op="attention", shape=(6, 3), heads=Heads(2)), "positions of queries (4, 3)"),
        (fed((4, 3), (5, 2), (6, 2), op="attention", shape=(6, 3), heads=Heads(2)), "do not split into 2 heads"),
        (fed((5, 3), (5, 2), (6, 2), op="attention", shape=(6, 3), heads=Heads(2)), "do not split into 2 heads"),
        (fed((4, 3), (4, 2), (4, 2), op="attention", shape=(6, 3), heads=Heads(2)), "do not split into 2 heads"),
        (fed((4, 3), (4, 1, 2), (6, 2), op="attention", shape=(6, 3), heads=Heads(2)), "do not have as many axes"),
        (
            fed((2, 5, 3), (2, 5, 4), (2, 5, 4), op="attention", shape=(2, 5, 3), heads=Heads(1)),
            None,
        ),
        (
            fed((2, 5, 3), (2, 1, 4), (2, 1, 4), op="attention", shape=(2, 5, 3), heads=Heads(1)),
            "positions of queries",
        ),
        (fed((2, 4, 4), op="pool1d", shape=(2, 2, 2), window=Window((2,), (2,), (0,), (1,))), "maps of 1 axes"),
        (fed((2, 4), op="pool1d", shape=(2, 3), window=Window((2,), (2,), (0,), (1,))), "does not follow"),
        (fed((2, 4, 4, 4), op="adaptive_pool3d", shape=(2, 1, 1)), "maps of 3 axes"),
        (fed((2, 4), op="adaptive_pool1d", shape=(1, 1)), "has other channels"),
    ],
)
def test_what_rearranges_and_mixes_is_checked_against_its_sources(topology, words):
    if words is None:
        check_shapes(topology, {})
        return
    with pytest.raises(StructureError) as caught:
        check_shapes(topology, {})
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("op", "shape", "made", "weight", "words"),
    [
        ("linear", (3, 5), (2, 5), (2, 3), None),
        ("linear", (3, 5), (2, 4), (2, 3), "at every position alike, not (3, 5) to (2, 4)"),
        ("linear", (3, 5), (2, 5), (2, 15), "does not map 3 features to 2"),
        ("conv1d", (3, 5), (2, 4), (2, 3, 2), None),
        ("conv1d", (3, 5), (2, 4), (2, 3, 2, 1), "does not fit 3 to 2 channels"),
        ("conv1d", (3, 5, 5), (2, 4, 4), (2, 3, 2), "maps of 1 axes"),
        ("conv3d", (3, 5, 5, 5), (2, 4, 4, 4), (2, 3, 2, 2, 2), None),
        ("conv3d", (3, 5, 5, 5), (2, 4, 4, 5), (2, 3, 2, 2, 2), "does not follow"),
    ],
)
def test_layers_over_positions_are_checked(op, shape, made, weight, words):
    axes = len(shape) - 1 if op == "conv3d" else 1
    window = None if op == "linear" else Window((2,) * axes, (1,) * axes, (0,) * axes, (1,) * axes)
    topology = fed(shape, op=op, shape=made, weight="w", window=window)
    if words is None:
        check_shapes(topology, {"w": weight})
        return
    with pytest.raises(StructureError, match="layer w") as caught:
        check_shapes(topology, {"w": weight})
    assert words in str(caught.value)


def test_lists_that_read_one_position_again_and_again_are_too_large_to_turn_round():
    # A few taps onward, and 2**24 of them back, at each of 2**24 positions.
    axis = ((0,),) * 2**12
    with pytest.raises(StructureError, match="with 16777216 taps is too large to follow"):
        check_shapes(resampled(axis, axis, shape=(1, 2**12, 2**12)), {})


def test_a_mean_over_a_large_map_and_views_of_one_are_not_too_large():
    check_shapes(resampled((tuple(range(224)),), (tuple(range(224)),), shape=(64, 224, 224)), {})
    check_shapes(fed((64, 224, 224), op="adaptive_pool2d", shape=(64, 1, 1)), {})
    check_shapes(viewed((56 * 56 * 256,), (1,), shape=(256, 56, 56)), {})


def test_queries_and_keys_need_each_other_and_a_value_that_is_not_alone():
    """One unit of everything at two positions; which weights matter when one of the three layers is empty."""
    b = Build()
    x = b.input(1, 2)
    y = b.attention(*(b.linear(x, 1, name) for name in "qkv"))
    topology, shapes = b.done(b.linear(y, 1, "out"))
    for empty, kept in (("", "qkvo"), ("q", "vo"), ("k", "vo"), ("v", "")):
        masks = {name: np.array([[name != empty]]) for name in shapes}
        found = effective_masks(topology, masks)
        assert "".join(name[0] for name, mask in found.items() if mask.any()) == kept
    # A softmax over one position is one, whatever the product.
    b = Build()
    x = b.input(1, 1)
    topology, shapes = b.done(b.attention(*(b.linear(x, 1, name) for name in "qkv")))
    found = effective_masks(topology, full_masks(shapes))
    assert "".join(name for name, mask in found.items() if mask.any()) == "v"


def test_large_attention_and_softmax_need_no_square_of_their_units():
    b = Build()
    x = b.input(2**17, 3)
    y = b.attention(x, x, x, 1, causal=True)
    topology, shapes = b.done(b.linear(b.view(b.mix(y, 0), lambda a: a[:1]), 1, "w"))
    masks = full_masks(shapes)
    assert effective_masks(topology, masks)["w"].all()
    assert log10_paths(topology, masks) == pytest.approx(math.log10(2**17 * (1 + 2 * 2**17)))


def test_masks_are_boolean():
    topology, shapes = mlp(3, 2)
    with pytest.raises(StructureError, match="layer fc1: a mask is boolean, got float64"):
        forward(topology, {"fc1": np.ones(shapes["fc1"])})
