import collections

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from unrolled import NETS, Build, effective, mlp, random_masks, unrolled

from masktools.errors import StructureError
from masktools.structure.alignment.units import permute
from masktools.topology import permutation_groups as module
from masktools.topology.graph import OPERATORS, Node, Topology, Window
from masktools.topology.paths import log10_paths
from masktools.topology.permutation_groups import Member, PermutationGroup, permutation_groups
from masktools.topology.reach import effective_masks
from masktools.topology.units import weak_components


def sizes(net):
    return [group.size for group in permutation_groups(*net)]


def layers(group):
    return [(member.layer, member.axis) for member in group.members]


def resnet50():
    b = Build()
    x = b.conv(b.input(3, 224, 224), 64, "conv1", kernel=(7, 7), stride=(2, 2), padding=(3, 3))
    x = b.pool(b.same("identity", x), (3, 3), stride=(2, 2), padding=(1, 1))
    for stage, (width, blocks) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3)), start=1):
        for block in range(blocks):
            name, stride = f"layer{stage}.{block}", (2, 2) if stage > 1 and block == 0 else (1, 1)
            y = b.same("identity", b.conv(x, width, f"{name}.conv1", kernel=(1, 1)))
            y = b.same("identity", b.conv(y, width, f"{name}.conv2", stride=stride, padding=(1, 1)))
            y = b.conv(y, 4 * width, f"{name}.conv3", kernel=(1, 1))
            if block == 0:
                x = b.conv(x, 4 * width, f"{name}.downsample", kernel=(1, 1), stride=stride)
            x = b.same("identity", b.same("add", y, x))
    return b.done(b.linear(b.flatten(b.adaptive(x, 1, 1)), 1000, "fc"))


def test_lenet_300_100_has_two_groups():
    assert permutation_groups(*mlp(784, 300, 100, 10)) == (
        PermutationGroup(300, (Member("fc1", 0, 1), Member("fc2", 1, 1))),
        PermutationGroup(100, (Member("fc2", 0, 1), Member("fc3", 1, 1))),
    )


def test_resnet50_has_37_groups():
    groups = permutation_groups(*resnet50())
    assert len(groups) == 37
    # The stem, two within each of 3, 4, 6 and 3 blocks, and one for all the sums of a stage.
    assert collections.Counter(group.size for group in groups) == {
        64: 1 + 2 * 3, 128: 2 * 4, 256: 2 * 6 + 1, 512: 2 * 3 + 1, 1024: 1, 2048: 1,
    }  # fmt: skip
    last = next(group for group in groups if group.size == 2048)
    assert layers(last) == [
        ("layer4.0.conv3", 0), ("layer4.0.downsample", 0), ("layer4.1.conv1", 1), ("layer4.1.conv3", 0),
        ("layer4.2.conv1", 1), ("layer4.2.conv3", 0), ("fc", 1),
    ]  # fmt: skip
    axes = [axis for group in groups for axis in layers(group)]
    assert len(axes) == len(set(axes)) == 2 * 54 - 2


def test_flattened_channels_own_blocks_of_columns():
    b = Build()
    x = b.flatten(b.same("identity", b.pool(b.conv(b.input(1, 8, 8), 5, "c", padding=(1, 1)), (2, 2), stride=(2, 2))))
    # Flattening what is flat changes nothing.
    topology, shapes = b.done(b.linear(b.flatten(b.same("identity", x)), 3, "fc"))
    assert permutation_groups(topology, shapes) == (PermutationGroup(5, (Member("c", 0, 1), Member("fc", 1, 16))),)


def test_what_is_added_shares_its_order():
    topology, shapes = NETS["residual"]()
    assert [layers(group) for group in permutation_groups(topology, shapes)] == [
        [("stem", 0), ("a1", 1), ("a2", 0), ("b1", 1), ("short", 1)],
        [("a1", 0), ("a2", 1)],
        [("b1", 0), ("b2", 1)],
        [("b2", 0), ("short", 0), ("head", 1)],
    ]


def test_what_is_added_to_an_input_or_an_output_keeps_its_order():
    b = Build()
    x = b.input(4)
    y = b.same("add", x, b.linear(b.linear(x, 3, "w"), 4, "v"))
    z = b.linear(y, 6, "u")
    topology, shapes = b.done(b.same("add", z, b.linear(b.linear(z, 5, "t"), 6, "s")))
    assert [layers(group) for group in permutation_groups(topology, shapes)] == [
        [("w", 0), ("v", 1)],
        [("t", 0), ("s", 1)],
    ]


def test_what_is_returned_as_well_as_read_keeps_its_order():
    b = Build()
    x = b.linear(b.input(4), 4, "w")
    y = b.linear(x, 3, "v")
    assert permutation_groups(*b.done(y, x)) == ()


def test_a_weight_used_twice_has_one_order_for_each_of_its_axes():
    b = Build()
    x, y = b.linear(b.input(4), 6, "left"), b.linear(b.input(5), 6, "right")
    x, y = b.linear(x, 3, "shared"), b.linear(y, 3, "shared")
    topology, shapes = b.done(b.linear(x, 2, "top"), b.linear(y, 2, "bottom"))
    assert [layers(group) for group in permutation_groups(topology, shapes)] == [
        [("left", 0), ("right", 0), ("shared", 1)],
        [("shared", 0), ("top", 1), ("bottom", 1)],
    ]


def test_a_weight_used_again_and_again_has_both_axes_in_one_group():
    b = Build()
    x = b.linear(b.input(4), 5, "in")
    topology, shapes = b.done(b.linear(b.linear(b.linear(x, 5, "w"), 5, "w"), 2, "out"))
    assert permutation_groups(topology, shapes) == (
        PermutationGroup(5, (Member("in", 0, 1), Member("w", 0, 1), Member("w", 1, 1), Member("out", 1, 1))),
    )


def test_biases_belong_to_the_units_that_they_are_added_to():
    nodes = (
        Node("input", (), (1, 4, 4)),
        Node("conv2d", (0,), (3, 4, 4), "c", "c.bias", Window((1, 1))),
        Node("identity", (1,), (3, 4, 4), bias="bn.bias", label="batch_norm"),
        Node("flatten", (2,), (48,)),
        Node("identity", (3,), (48,), bias="bn2.bias", label="batch_norm"),
        Node("linear", (4,), (2,), "fc", "fc.bias"),
        Node("output", (5,), (2,)),
    )
    (group,) = permutation_groups(Topology(nodes), {"c": (3, 1, 1, 1), "fc": (2, 48)})
    assert group.biases == (Member("c.bias", 0, 1), Member("bn.bias", 0, 1), Member("bn2.bias", 0, 16))


def test_a_bias_used_twice_joins_its_units():
    def net(*widths):
        nodes = [Node("input", (), (2,))]
        nodes += [Node("linear", (0,), (width,), f"w{width}{n}", "same.bias") for n, width in enumerate(widths)]
        nodes += [Node("linear", (n + 1,), (1,), f"v{n}") for n in range(len(widths))]
        topology = Topology((*nodes, Node("output", (3,), (1,)), Node("output", (4,), (1,))))
        shapes = {f"w{width}{n}": (width, 2) for n, width in enumerate(widths)}
        return topology, shapes | {f"v{n}": (1, width) for n, width in enumerate(widths)}

    (group,) = permutation_groups(*net(3, 3))
    assert layers(group) == [("w30", 0), ("w31", 0), ("v0", 1), ("v1", 1)]
    assert group.biases == (Member("same.bias", 0, 1),)
    with pytest.raises(StructureError, match=r"same\.bias is used for 3 units and for 4"):
        permutation_groups(*net(3, 4))


def test_depthwise_convolutions_hand_their_order_on():
    b = Build()
    x = b.conv(b.input(2, 5, 5), 6, "in", kernel=(1, 1))
    x = b.conv(x, 6, "depthwise", groups=6, padding=(1, 1))
    topology, shapes = b.done(b.conv(x, 3, "out", kernel=(1, 1)))
    assert permutation_groups(topology, shapes) == (
        PermutationGroup(6, (Member("in", 0, 1), Member("depthwise", 0, 1), Member("out", 1, 1))),
    )


@pytest.mark.parametrize(("out", "groups"), [(6, 2), (12, 6), (3, 3)])
def test_other_grouped_convolutions_keep_the_order_of_both_sides(out, groups):
    b = Build()
    x = b.conv(b.input(2, 5, 5), 6, "in", kernel=(1, 1))
    x = b.conv(b.conv(x, out, "grouped", groups=groups), 4, "after", kernel=(1, 1))
    topology, shapes = b.done(b.conv(x, 3, "out", kernel=(1, 1)))
    assert [layers(group) for group in permutation_groups(topology, shapes)] == [[("after", 0), ("out", 1)]]


def test_what_is_added_to_a_grouped_convolution_keeps_its_order():
    b = Build()
    image = b.input(2, 5, 5)
    x = b.conv(image, 4, "free", kernel=(1, 1))
    y = b.conv(image, 4, "grouped", kernel=(1, 1), groups=2)
    topology, shapes = b.done(b.conv(b.same("add", x, y), 3, "out", kernel=(1, 1)))
    assert permutation_groups(topology, shapes) == ()


def test_blocks_of_different_lengths_that_are_added_move_by_their_common_multiple():
    b = Build()
    image = b.input(1, 6, 6)
    # 12 features from 6 channels of 2, 4 of 3, and 12 of 1: whole multiples of 6 features move.
    x = b.flatten(b.conv(image, 6, "six", kernel=(6, 5)))
    y = b.flatten(b.conv(image, 4, "four", kernel=(6, 4)))
    z = b.linear(b.flatten(image), 12, "twelve")
    topology, shapes = b.done(b.linear(b.same("add", x, y, z), 1, "out"))
    assert permutation_groups(topology, shapes) == (
        PermutationGroup(2, (Member("six", 0, 3), Member("four", 0, 2), Member("twelve", 0, 6), Member("out", 1, 6))),
    )


def members(net):
    """Where the units of each group lie."""
    return [[(m.layer, m.axis, m.block, m.start, m.after) for m in group.members] for group in permutation_groups(*net)]


def test_maps_side_by_side_keep_an_order_each():
    assert members(NETS["dense_block"]()) == [
        [("stem", 0, 1, 0, 0), ("a", 1, 1, 0, 0), ("b", 1, 1, 0, 2), ("transition", 1, 1, 0, 6)],
        [("a", 0, 1, 0, 0), ("b", 1, 1, 3, 0), ("transition", 1, 1, 3, 4), ("transition", 1, 1, 7, 0)],
        [("b", 0, 1, 0, 0), ("transition", 1, 1, 5, 2)],
        [("transition", 0, 1, 0, 0), ("c", 1, 1, 0, 0), ("head", 1, 4, 0, 8)],
        [("c", 0, 1, 0, 0), ("head", 1, 4, 12, 0)],
    ]


def test_skips_of_a_u_net_are_whole_sets():
    assert members(NETS["u_net"]()) == [
        [("a", 0, 1, 0, 0), ("b", 1, 1, 0, 0), ("c", 1, 1, 0, 3)],
        [("b", 0, 1, 0, 0), ("c", 1, 1, 2, 0), ("d", 1, 1, 0, 0)],
    ]


def test_an_input_side_by_side_with_hidden_units_keeps_its_order():
    b = Build()
    x = b.input(2, 4, 4)
    y = b.concat(x, b.conv(x, 3, "a", padding=(1, 1)))
    assert members(b.done(b.conv(y, 2, "b"))) == [[("a", 0, 1, 0, 0), ("b", 1, 1, 2, 0)]]


def test_a_depthwise_convolution_hands_several_orders_on():
    b = Build()
    x = b.input(2, 4, 4)
    x = b.concat(b.conv(x, 3, "a", kernel=(1, 1)), b.conv(x, 2, "b", kernel=(1, 1)))
    x = b.conv(x, 5, "depthwise", kernel=(2, 2), groups=5)
    assert members(b.done(b.linear(b.flatten(x), 2, "out"))) == [
        [("a", 0, 1, 0, 0), ("depthwise", 0, 1, 0, 2), ("out", 1, 9, 0, 18)],
        [("b", 0, 1, 0, 0), ("depthwise", 0, 1, 3, 0), ("out", 1, 9, 27, 0)],
    ]


def halves(cut):
    """Two sets of three and two units, of which the first `cut` go one way and the rest another."""
    b = Build()
    x = b.input(2)
    x = b.concat(b.linear(x, 3, "a"), b.linear(x, 2, "b"))
    one, two = b.view(x, lambda a: a[:cut]), b.view(x, lambda a: a[cut:])
    return b.done(b.linear(one, 1, "one"), b.linear(two, 1, "two"))


def test_slices_of_whole_sets_hand_their_order_on():
    assert members(halves(3)) == [
        [("a", 0, 1, 0, 0), ("one", 1, 1, 0, 0)],
        [("b", 0, 1, 0, 0), ("two", 1, 1, 0, 0)],
    ]


@pytest.mark.parametrize("cut", [1, 2, 4])
def test_slices_of_parts_of_sets_keep_all_in_order(cut):
    assert members(halves(cut)) == []


@pytest.mark.parametrize(
    ("change", "free"),
    [
        (lambda a: a, True),
        (lambda a: a[:, ::-1], True),
        (lambda a: a[:, :2], True),
        (lambda a: a[:, 1], True),
        (lambda a: np.broadcast_to(a[:, :1], (3, 4)), True),
        (lambda a: a[::-1], False),
        (lambda a: a[:2], False),
        (lambda a: a.T, False),
        (lambda a: a.reshape(4, 3), False),
        (lambda a: a.reshape(12), True),
        (lambda a: a[:, None, ::2], True),
        (lambda a: np.broadcast_to(a[:1], (3, 4)), False),
    ],
)
def test_views_hand_an_order_on_if_units_are_taken_as_they_come(change, free):
    b = Build()
    x = b.view(b.linear(b.input(2, 4), 3, "a"), change)
    assert [group[0][0] for group in members(b.done(b.linear(x, 2, "b")))] == (["a"] if free else [])


@pytest.mark.parametrize(
    ("change", "free"), [(lambda a: a[:, ::-1], True), (lambda a: a[:, 1:], True), (lambda a: a.T, False)]
)
def test_views_that_flatten_make_blocks(change, free):
    b = Build()
    x = b.linear(b.input(2, 4), 3, "a")
    x = b.view(x, change, change(np.zeros((3, 4))).size)
    block = b.nodes[x].shape[0] // 3
    assert members(b.done(b.linear(x, 2, "b"))) == ([[("a", 0, 1, 0, 0), ("b", 1, block, 0, 0)]] if free else [])


def test_units_that_are_made_of_several_move_with_all_of_them():
    b = Build()
    x = b.conv(b.input(2, 2, 3), 12, "a", kernel=(1, 1))
    # Maps of twice the height and width, of four channels each, as in super-resolution; then the other way round.
    x = b.view(x, lambda a: a.reshape(3, 2, 2, 2, 3).transpose(0, 3, 1, 4, 2), 3, 4, 6)
    y = b.conv(x, 3, "b", padding=(1, 1))
    y = b.view(y, lambda a: a.reshape(3, 2, 2, 3, 2).transpose(0, 2, 4, 1, 3), 12, 2, 3)
    topology, shapes = b.done(b.conv(x, 1, "c"), b.conv(y, 1, "d", kernel=(1, 1)))
    assert members((topology, shapes)) == [
        [("a", 0, 4, 0, 0), ("b", 1, 1, 0, 0), ("c", 1, 1, 0, 0)],
        [("b", 0, 1, 0, 0), ("d", 1, 4, 0, 0)],
    ]


def test_every_second_unit_moves_with_its_neighbour():
    b = Build()
    x = b.view(b.linear(b.input(2), 6, "a"), lambda a: a[::2])
    assert members(b.done(b.linear(x, 1, "b"))) == [[("a", 0, 2, 0, 0), ("b", 1, 1, 0, 0)]]
    b = Build()
    x = b.linear(b.input(2), 5, "a")
    assert members(b.done(b.linear(b.view(x, lambda a: a[::2]), 1, "b"))) == []


def test_tokens_side_by_side_share_an_order_and_a_constant_takes_it():
    b = Build()
    x, y = b.linear(b.input(2, 3), 4, "a"), b.linear(b.input(3, 2), 4, "b")
    x = b.concat(b.view(b.constant(1, 4), lambda a: a.T), x, y, axis=1)
    x = b.same("add", x, b.constant(4, 6))
    assert members(b.done(b.linear(x, 2, "c"))) == [[("a", 0, 1, 0, 0), ("b", 0, 1, 0, 0), ("c", 1, 1, 0, 0)]]


def test_constants_alone_are_no_hidden_units():
    b = Build()
    x = b.concat(b.constant(3), b.linear(b.input(2), 4, "a"))
    net = b.done(b.linear(x, 2, "c"))
    assert members(net) == [[("a", 0, 1, 0, 0), ("c", 1, 1, 3, 0)]]
    b = Build()
    net = b.done(b.same("add", b.linear(b.constant(3), 2, "c"), b.linear(b.input(1), 2, "d")))
    assert members(net) == []


def test_queries_keys_and_values_of_an_attention_keep_their_order():
    assert members(NETS["tokens"]()) == [
        [(name, axis, 1, 0, 0) for name, axis in (
            ("embed", 0), ("block.q", 1), ("block.k", 1), ("block.v", 1), ("block.proj", 0), ("block.up", 1),
            ("block.down", 0), ("head", 1),
        )],
        [("block.up", 0, 1, 0, 0), ("block.down", 1, 1, 0, 0)],
    ]  # fmt: skip


def test_factors_share_an_order():
    assert members(NETS["gated"]())[0] == [
        ("a", 0, 1, 0, 0),
        ("b", 0, 1, 0, 0),
        ("squeeze", 1, 1, 0, 0),
        ("excite", 0, 1, 0, 0),
        ("c", 1, 1, 0, 0),
    ]


@pytest.mark.parametrize(
    ("label", "free"), [("layer_norm", True), ("rms_norm", True), ("batch_norm", True), ("group_norm", False)]
)
def test_a_norm_over_groups_of_units_keeps_their_order(label, free):
    b = Build()
    x = b.same("identity", b.linear(b.input(2), 4, "a"), label=label, bias="norm.bias")
    assert len(members(b.done(b.linear(x, 2, "b")))) == free


def test_what_is_added_across_the_border_of_two_sets_keeps_its_order():
    b = Build()
    x = b.input(2)
    one = b.concat(b.linear(x, 3, "a"), b.linear(x, 2, "b"))
    two = b.concat(b.linear(x, 2, "c"), b.linear(x, 3, "d"))
    assert members(b.done(b.linear(b.same("add", one, two), 1, "out"))) == []


def test_only_arrays_that_hold_just_the_units_are_permuted():
    topology, shapes = NETS["dense_block"]()
    groups = permutation_groups(topology, shapes)
    orders = [np.arange(group.size)[::-1] for group in groups]
    arrays = {name: np.arange(np.prod(shape)).reshape(shape) for name, shape in shapes.items()}
    moved = permute(arrays, groups, orders)["b"]
    assert np.array_equal(moved, arrays["b"][::-1][:, [2, 1, 0, 4, 3]])
    for shape, words in (
        ((2, 6, 3, 3), "b of shape (2, 6, 3, 3) does not have 3 units of 1 along axis 1, 0 before and 2 after them"),
        ((2, 4, 3, 3), "does not have 3 units of 1 along axis 1, 0 before and 2 after them"),
        ((3, 5, 3, 3), "does not have 2 units of 1 along axis 0"),
        ((2,), "does not have 3 units of 1 along axis 1"),
    ):
        with pytest.raises(StructureError) as caught:
            permute(arrays | {"b": np.zeros(shape)}, groups, orders)
        assert words in str(caught.value)


def test_every_operator_has_a_rule(monkeypatch):
    assert set(module._RULES) == set(OPERATORS)
    monkeypatch.delitem(module._RULES, "identity")
    b = Build()
    net = b.done(b.linear(b.same("identity", b.linear(b.input(2), 2, "w")), 2, "v"))
    with pytest.raises(StructureError, match=r"node 2 \(identity\): how it permutes units is not known"):
        permutation_groups(*net)


def test_shapes_that_do_not_fit():
    topology, shapes = mlp(4, 3, 2)
    with pytest.raises(StructureError, match="layer fc1"):
        permutation_groups(topology, shapes | {"fc1": (3, 5)})


def test_groups_come_in_the_order_of_their_units():
    b = Build()
    x = b.linear(b.input(2), 3, "first")
    y = b.linear(x, 4, "second")
    x = b.linear(y, 3, "third")
    topology, shapes = b.done(b.linear(b.same("add", b.linear(x, 4, "fourth"), y), 2, "last"))
    assert [layers(group)[0] for group in permutation_groups(topology, shapes)] == [
        ("first", 0),
        ("second", 0),
        ("third", 0),
    ]


def depthwise():
    b = Build()
    x = b.conv(b.input(2, 4, 4), 4, "in", kernel=(1, 1))
    x = b.same("add", b.conv(x, 4, "depthwise", groups=4, padding=(1, 1)), x)
    return b.done(b.linear(b.flatten(x), 3, "out"))


def unequal_blocks():
    b = Build()
    image = b.input(1, 6, 6)
    x = b.flatten(b.conv(image, 6, "six", kernel=(6, 5)))
    y = b.flatten(b.conv(image, 4, "four", kernel=(6, 4)))
    return b.done(b.linear(b.same("add", x, y), 2, "out"))


def super_resolution():
    """Channels that become positions and positions that become channels; every second unit; halves on a border."""
    b = Build()
    x = b.conv(b.input(2, 2, 2), 8, "a", kernel=(1, 1))
    y = b.conv(b.view(x, lambda a: a.reshape(2, 2, 2, 2, 2).transpose(0, 3, 1, 4, 2), 2, 4, 4), 2, "b", padding=(1, 1))
    y = b.view(y, lambda a: a.reshape(2, 2, 2, 2, 2).transpose(0, 2, 4, 1, 3), 8, 2, 2)
    y = b.conv(y, 3, "c", kernel=(2, 2))
    x = b.view(b.concat(b.conv(x, 4, "d", kernel=(2, 2)), y), lambda a: a[:4:2], 2)
    return b.done(b.linear(x, 2, "e"), b.linear(b.flatten(y), 1, "f"))


ORACLE_NETS = NETS | {
    "depthwise": depthwise,
    "unequal_blocks": unequal_blocks,
    "super_resolution": super_resolution,
    "halves": lambda: halves(3),
}


def answers(topology, graph):
    """For each input unit the output units that it reaches."""
    inputs = [name for name in graph if topology.nodes[name[0]].op == "input"]
    return {
        name: {found for found in nx.descendants(graph, name) if topology.nodes[found[0]].op == "output"}
        for name in inputs
    }


@given(st.sampled_from(sorted(ORACLE_NETS)), st.integers(0, 2**32 - 1), st.sampled_from([0.05, 0.15, 0.4]))
def test_permuted_units_leave_what_the_network_joins_as_it_was(net, seed, density):
    topology, shapes = ORACLE_NETS[net]()
    masks, rng = random_masks(shapes, density, seed), np.random.default_rng(seed + 1)
    groups = permutation_groups(topology, shapes)
    moved = permute(masks, groups, [rng.permutation(group.size) for group in groups])
    before, after = unrolled(topology, masks), unrolled(topology, moved)
    assert answers(topology, before) == answers(topology, after)
    assert {name: int(mask.sum()) for name, mask in effective(topology, masks, before).items()} == {
        name: int(mask.sum()) for name, mask in effective_masks(topology, moved).items()
    }
    assert log10_paths(topology, masks) == pytest.approx(log10_paths(topology, moved), rel=1e-12)
    assert weak_components(topology, masks) == weak_components(topology, moved)
