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


ORACLE_NETS = NETS | {"depthwise": depthwise, "unequal_blocks": unequal_blocks}


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
