import itertools
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from unrolled import NETS, Build, full_masks, mlp, random_masks

from masktools.errors import StructureError
from masktools.structure.alignment.colours import unit_colours
from masktools.structure.alignment.matching import align
from masktools.structure.alignment.nnstd import nnstd
from masktools.structure.alignment.units import permute, unfold
from masktools.topology.permutation_groups import permutation_groups


def rows(*texts):
    return np.array([[letter == "x" for letter in text] for text in texts])


def shuffled_units(topology, shapes, masks, seed):
    rng, groups = np.random.default_rng(seed), permutation_groups(topology, shapes)
    return permute(masks, groups, [rng.permutation(group.size) for group in groups])


def conv_net():
    b = Build()
    x = b.conv(b.input(2, 6, 6), 8, "a", padding=(1, 1))
    x = b.pool(b.conv(x, 10, "b", padding=(1, 1)), (3, 3), stride=(3, 3))
    return b.done(b.linear(b.linear(b.flatten(x), 12, "c"), 4, "d"))


def depthwise():
    b = Build()
    x = b.conv(b.input(2, 4, 4), 5, "in", kernel=(1, 1))
    x = b.same("add", b.conv(x, 5, "depthwise", groups=5, padding=(1, 1)), x)
    return b.done(b.linear(b.flatten(x), 3, "out"))


PERMUTED = NETS | {"conv": conv_net, "depthwise": depthwise, "perceptron": lambda: mlp(16, 40, 20, 5)}


def test_by_hand():
    a = {"fc1": rows("xx..", "..xx", "...."), "fc2": rows("xx.", "..x")}
    b = {"fc1": rows("....", "..x.", "xx.."), "fc2": rows("x.x", ".x.")}
    # First layer: B's unit 2 has the inputs of A's 0; B's 1 has {2} where A's 1 has {2, 3}: 1 of 2 differs; the third
    # pair is empty. B's second layer in that order: (2, 1, 0) of "x.x" is "x.x", of ".x." is ".x.".
    # Outputs keep their order: {0, 1} against {0, 2}: 2 of 3 differ; {2} against {1}: nothing in common.
    result = nnstd(a, b, mlp(4, 3, 2)[0])
    first, second = result.layers
    assert first.to_dict() == {"name": "fc1", "units": 3, "empty": 1, "half_empty": 0, "distance": (0 + 1 / 2) / 2}
    assert second.to_dict() == {"name": "fc2", "units": 2, "empty": 0, "half_empty": 0, "distance": (2 / 3 + 1) / 2}
    assert result.total.to_dict() == {
        "name": "total",
        "units": 5,
        "empty": 1,
        "half_empty": 0,
        "distance": (1 / 2 + 2 / 3 + 1) / 4,
    }
    assert json.loads(json.dumps(result.to_dict()))["layers"][0]["distance"] == 0.25


def test_an_empty_unit_against_one_that_is_not_counts_whole():
    a = {"fc1": rows("xx", "x.", ".."), "fc2": rows("xxx")}
    b = {"fc1": rows("..", "..", "xx"), "fc2": rows("xxx")}
    first = nnstd(a, b, mlp(2, 3, 1)[0]).layers[0]
    # {0, 1} with {0, 1}, an empty one with the empty one, {0} with nothing.
    assert (first.empty, first.half_empty, first.distance) == (1, 1, 1 / 2)


def test_taps_count_by_themselves():
    b = Build()
    topology, shapes = b.done(b.conv(b.input(1, 4, 4), 1, "c", kernel=(1, 3)))
    masks = [{"c": np.array(taps, bool).reshape(shapes["c"])} for taps in ([1, 1, 0], [0, 1, 1])]
    assert nnstd(*masks, topology).total.distance == 2 / 3


def test_nothing_to_compare_is_no_number():
    topology, shapes = mlp(4, 3, 2)
    empty = {name: np.zeros(shape, bool) for name, shape in shapes.items()}
    result = nnstd(empty, empty, topology)
    assert (result.total.distance, result.total.empty) == (None, 5)
    full = nnstd(empty, full_masks(shapes), topology)
    assert (full.total.distance, full.total.empty, full.total.half_empty) == (1, 0, 5)


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.1, 0.3, 0.7]))
def test_the_first_layer_is_matched_as_well_as_can_be(seed, density):
    topology, shapes = mlp(6, 5, 2)
    a, b = random_masks(shapes, density, seed), random_masks(shapes, density, seed + 1)

    def distance(one, two):
        either = int((one | two).sum())
        return int((one ^ two).sum()) / either if either else 0.0

    best = min(
        sum(distance(a["fc1"][unit], b["fc1"][other]) for unit, other in enumerate(order))
        for order in itertools.permutations(range(5))
    )
    first = nnstd(a, b, topology).layers[0]
    counted = first.units - first.empty
    assert (first.distance or 0) * counted == pytest.approx(best, abs=1e-9)
    empty = [int((~mask["fc1"].any(axis=1)).sum()) for mask in (a, b)]
    assert (first.empty, first.empty + first.half_empty) == (min(empty), max(empty))


@pytest.mark.parametrize("net", sorted(PERMUTED))
@pytest.mark.parametrize("density", [0.05, 0.1, 0.2, 0.5, 0.9])
def test_a_permuted_network_is_at_no_distance(net, density):
    topology, shapes = PERMUTED[net]()
    for seed in range(4):
        masks = random_masks(shapes, density, seed)
        result = nnstd(masks, shuffled_units(topology, shapes, masks, seed + 1), topology)
        assert result.total.distance in (0, None)
        assert result.total.half_empty == 0
        assert [layer.empty for layer in result.layers] == [
            int((~mask.reshape(len(mask), -1).any(axis=1)).sum()) for mask in (masks[name] for name in topology.layers)
        ]


def twins_only(topology, shapes, masks):
    """Whether units with the same inputs and colour can always change places: then the distance is promised to be 0."""
    groups = permutation_groups(topology, shapes)
    layers = unfold(masks, groups)
    for number, (group, colours) in enumerate(zip(groups, unit_colours(layers, groups), strict=True)):
        made = [
            layer.values.reshape(group.size, -1)
            for layer in layers
            if layer.out == number and (layer.fed is None or layer.fed < number)
        ]
        inputs = np.concatenate(made, axis=1)
        for one, two in itertools.combinations(range(group.size), 2):
            if np.array_equal(inputs[one], inputs[two]) and np.array_equal(colours[:, one], colours[:, two]):
                order = np.arange(group.size)
                order[[one, two]] = two, one
                moved = permute(masks, [group], [order])
                if any((moved[name] != mask).any() for name, mask in masks.items()):
                    return False
    return True


@given(st.integers(0, 2**32 - 1), st.floats(0, 0.3), st.sampled_from(["perceptron", "residual", "conv"]))
def test_where_no_distance_is_promised_there_is_none(seed, density, net):
    topology, shapes = PERMUTED[net]()
    masks = random_masks(shapes, density, seed)
    distance = nnstd(masks, shuffled_units(topology, shapes, masks, seed + 1), topology).total.distance
    assert distance in (0, None) or not twins_only(topology, shapes, masks)


def pairs_of_ghosts():
    """Four units without inputs, alike in all they are joined to, that belong together by twos."""
    topology, _ = mlp(2, 4, 2, 1)
    # A third layer that tells the two apart would tell the four apart too.
    return topology, {"fc1": np.zeros((4, 2), bool), "fc2": rows("xx..", "..xx"), "fc3": rows("xx")}


def test_where_it_is_not_promised_a_permuted_network_can_be_at_a_distance():
    topology, masks = pairs_of_ghosts()
    shapes = {name: mask.shape for name, mask in masks.items()}
    assert not twins_only(topology, shapes, masks)
    found = {nnstd(masks, shuffled_units(topology, shapes, masks, seed), topology).total.distance for seed in range(20)}
    # Unit by unit 2 of 3 inputs differ, in two of the three pairs that count.
    assert found == {0.0, (2 / 3 + 2 / 3 + 0) / 3}


def test_ties_are_decided_by_what_comes_later():
    # Forty units, most of them without inputs, told apart by what they lead to.
    topology, shapes = mlp(10, 40, 30, 20)
    masks = random_masks(shapes, 0.3, 0) | {"fc1": np.zeros(shapes["fc1"], bool)}
    masks["fc1"][:3] = True
    moved = shuffled_units(topology, shapes, masks, 1)
    assert nnstd(masks, moved, topology).total.distance == 0


def test_a_few_weights_elsewhere_do_not_spoil_the_ties():
    topology, shapes = mlp(64, 300, 100, 10)
    masks = random_masks(shapes, 0.02, 0)
    moved, rng = shuffled_units(topology, shapes, masks, 1), np.random.default_rng(2)
    # Sooner or later they change the colours of most units, but not those of the first rounds.
    for _ in range(10):
        target, source = rng.choice(np.argwhere(moved["fc2"]))
        moved["fc2"][target, [source, rng.integers(300)]] = False, True
    assert 0 < nnstd(masks, moved, topology).total.distance < 0.05


def test_a_residual_group_is_matched_by_all_that_is_known():
    # The stem tells no channels apart; the projection beside it does, from the same input.
    b = Build()
    x = b.input(3)
    y = b.same("add", b.linear(x, 3, "stem"), b.linear(x, 3, "side"))
    topology, _ = b.done(b.linear(y, 1, "out"))
    a = {"stem": rows("xxx", "xxx", "xxx"), "side": rows("x..", ".x.", "..x"), "out": rows("x..")}
    b = a | {"side": rows("..x", "x..", ".x."), "out": rows(".x.")}
    assert nnstd(a, b, topology).total.distance == 0
    # What stands in the way of a match in one layer counts in the other.
    c = a | {"side": rows("x..", "x..", "..x")}
    assert [layer.distance for layer in nnstd(a, c, topology).layers] == [0, 1 / 3, 0]


def test_independent_masks_are_far_apart_and_aligned_ones_no_farther_than_before():
    topology, shapes = mlp(100, 60, 30, 10)
    a, b = random_masks(shapes, 0.1, 0), random_masks(shapes, 0.1, 1)
    matched = nnstd(a, b, topology)
    assert 0.7 < matched.total.distance < 0.95
    # The matching of the first layer minimises its distance; alignment of the whole does not.
    aligned = align(a, b, topology).apply(b)["fc1"]
    either, one = (a["fc1"] | aligned).sum(axis=1), (a["fc1"] ^ aligned).sum(axis=1)
    assert matched.layers[0].distance <= float((one / either).mean())


def test_colours_follow_the_units():
    topology, shapes = PERMUTED["residual"]()
    masks = random_masks(shapes, 0.2, 0)
    groups = permutation_groups(topology, shapes)
    orders = [np.random.default_rng(1).permutation(group.size) for group in groups]
    before = unit_colours(unfold(masks, groups), groups)
    after = unit_colours(unfold(permute(masks, groups, orders), groups), groups)
    for order, one, two in zip(orders, before, after, strict=True):
        assert np.array_equal(one[:, order], two)


def test_colours_tell_apart_what_differs_and_nothing_else():
    topology, shapes = mlp(3, 4, 3, 2)
    groups = permutation_groups(topology, shapes)
    # Units 0 and 1 read the same; 1 leads to a unit that leads elsewhere. 2 and 3 are twins.
    masks = {"fc1": rows("x..", "x..", ".xx", ".xx"), "fc2": rows("x.xx", ".x..", "...."), "fc3": rows("x..", ".x.")}
    first, second = (colours[-1].tolist() for colours in unit_colours(unfold(masks, groups), groups))
    assert len(set(first)) == 3
    assert first[2] == first[3]
    assert len(set(second)) == 3


def test_colours_tell_layers_directions_and_taps_apart():
    b = Build()
    x = b.input(1)
    topology, shapes = b.done(b.linear(b.same("add", b.linear(x, 3, "stem"), b.linear(x, 3, "side")), 1, "out"))
    groups = permutation_groups(topology, shapes)
    # One unit reads the input through each layer, one is read by the output: single edges to a first unit.
    masks = {"stem": rows("x", ".", "."), "side": rows(".", "x", "."), "out": rows("..x")}
    (colours,) = unit_colours(unfold(masks, groups), groups)
    assert len(set(colours[0].tolist())) == 3
    b = Build()
    topology, shapes = b.done(b.conv(b.conv(b.input(1, 3, 3), 2, "a", kernel=(1, 2)), 1, "b", kernel=(1, 1)))
    groups = permutation_groups(topology, shapes)
    masks = {"a": rows("x.", ".x").reshape(2, 1, 1, 2), "b": np.ones((1, 2, 1, 1), bool)}
    (colours,) = unit_colours(unfold(masks, groups), groups)
    assert colours[0, 0] != colours[0, 1]


def test_what_cannot_be_compared():
    topology, shapes = mlp(4, 3, 2)
    masks = random_masks(shapes, 0.5, 0)
    with pytest.raises(StructureError, match="layer fc1: a mask is boolean, got float64"):
        nnstd(masks, masks | {"fc1": masks["fc1"] * 1.0}, topology)
    with pytest.raises(StructureError, match="layer fc2 is in one of the two networks only"):
        nnstd(masks, {"fc1": masks["fc1"]}, topology)
