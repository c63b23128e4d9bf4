import functools
import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from unrolled import NETS, Build, full_masks, mlp, random_masks

from masktools.errors import StructureError
from masktools.structure.alignment.units import permute
from masktools.structure.symmetries import log10_symmetries
from masktools.topology.permutation_groups import permutation_groups


def cyclic():
    """A weight with both its axes in one group, and one that joins the group to another."""
    b = Build()
    x = b.linear(b.input(2), 5, "in")
    return b.done(b.linear(b.same("add", b.linear(x, 5, "loop"), x), 2, "out"))


def flattened():
    b = Build()
    x = b.conv(b.input(1, 3, 3), 5, "c", kernel=(2, 2))
    return b.done(b.linear(b.flatten(x), 2, "fc"))


TINY = {"mlp": lambda: mlp(3, 5, 4, 2), "cyclic": cyclic, "flattened": flattened}
TINY |= {name: NETS[name] for name in ("strided", "residual", "adaptive", "shared")}


def unchanged(masks, group, order):
    moved = permute(masks, [group], [np.array(order)])
    return all(np.array_equal(moved[name], masks[name]) for name in masks)


def generated_by_exchanges(size, leaves_masks):
    """Number of permutations in the group that the allowed exchanges of two units generate, by brute force."""
    exchanges = []
    for one, two in itertools.combinations(range(size), 2):
        order = list(range(size))
        order[one], order[two] = two, one
        if leaves_masks(order):
            exchanges.append(order)
    found, border = {tuple(range(size))}, [tuple(range(size))]
    while border:
        order = border.pop()
        for exchange in exchanges:
            new = tuple(order[place] for place in exchange)
            if new not in found:
                found.add(new)
                border.append(new)
    return found


@pytest.mark.parametrize("net", sorted(TINY))
@pytest.mark.parametrize("density", [0.05, 0.2, 0.5, 0.9])
def test_counts_are_those_of_brute_force(net, density):
    topology, shapes = TINY[net]()
    for seed in range(3):
        masks = random_masks(shapes, density, seed)
        if net == "cyclic":
            masks |= {"in": np.ones_like(masks["in"]), "out": np.ones_like(masks["out"])}
        groups = permutation_groups(topology, shapes)
        result = log10_symmetries(topology, masks)
        assert len(result.groups) == len(groups)
        for group, found in zip(groups, result.groups, strict=True):
            leaves_masks = functools.partial(unchanged, masks, group)
            number = generated_by_exchanges(group.size, leaves_masks)
            assert round(10**found.log10_symmetries, 6) == len(number)
            # Each of them is a symmetry, and there can be more that no exchange makes.
            every = [order for order in itertools.permutations(range(group.size)) if leaves_masks(order)]
            assert set(every) >= number


def test_by_hand():
    # Units 0, 1, 4 are alike, 2 and 3 have the same inputs but different outputs: 3! permutations.
    masks = {
        "fc1": np.array([[1, 0], [1, 0], [0, 1], [0, 1], [1, 0]], bool),
        "fc2": np.array([[1, 1, 1, 0, 1], [0, 0, 0, 1, 0]], bool),
    }
    result = log10_symmetries(mlp(2, 5, 2)[0], masks)
    (group,) = result.groups
    assert (group.name, group.units, group.distinct, group.largest) == ("fc1", 5, 3, 3)
    assert group.log10_symmetries == pytest.approx(math.log10(6))
    assert group.log10_permutations == pytest.approx(math.log10(120))
    assert result.total.to_dict() == group.to_dict() | {"name": "total"}
    assert result.to_dict()["groups"] == [group.to_dict()]


def test_taps_tell_channels_apart():
    b = Build()
    topology, _ = b.done(b.conv(b.conv(b.input(1, 4, 4), 2, "a", kernel=(1, 2)), 1, "b", kernel=(1, 1)))
    mask = np.zeros((2, 1, 1, 2), bool)
    mask[0, 0, 0, 0] = mask[1, 0, 0, 1] = True
    masks = {"a": mask, "b": np.ones((1, 2, 1, 1), bool)}
    assert log10_symmetries(topology, masks).total.distinct == 2
    masks["a"] = np.ones_like(mask)
    assert log10_symmetries(topology, masks).total.distinct == 1


def test_a_loop_to_itself_leaves_units_interchangeable():
    # The diagonal: rows differ, but any two units can change places if both ends of the weights move.
    topology, shapes = cyclic()
    masks = full_masks(shapes) | {"loop": np.eye(5, dtype=bool)}
    assert log10_symmetries(topology, masks).total.log10_symmetries == pytest.approx(math.log10(120))
    # A cycle: all five can turn round together, but no two can change places.
    masks["loop"] = np.roll(np.eye(5, dtype=bool), 1, axis=0)
    assert log10_symmetries(topology, masks).total.log10_symmetries == 0


def test_dense_lenet_has_300_and_100_factorial():
    topology, shapes = mlp(784, 300, 100, 10)
    result = log10_symmetries(topology, full_masks(shapes))
    exact = math.log10(math.factorial(300)) + math.log10(math.factorial(100))
    assert result.total.log10_symmetries == pytest.approx(exact, rel=1e-12)
    assert result.total.log10_permutations == result.total.log10_symmetries
    assert (result.total.units, result.total.distinct, result.total.largest) == (400, 2, 300)


def test_no_hidden_units():
    topology, shapes = mlp(3, 2)
    result = log10_symmetries(topology, full_masks(shapes))
    assert result.groups == ()
    assert (result.total.units, result.total.largest, result.total.log10_symmetries) == (0, 0, 0)


def test_what_is_no_mask():
    topology, shapes = mlp(3, 2, 2)
    with pytest.raises(StructureError, match="layer fc1: a mask is boolean"):
        log10_symmetries(topology, {name: np.ones(shape) for name, shape in shapes.items()})


@given(st.sampled_from(sorted(TINY)), st.integers(0, 2**32 - 1), st.sampled_from([0.05, 0.2, 0.6]))
def test_the_order_of_units_does_not_matter(net, seed, density):
    topology, shapes = TINY[net]()
    masks, rng = random_masks(shapes, density, seed), np.random.default_rng(seed + 1)
    groups = permutation_groups(topology, shapes)
    moved = permute(masks, groups, [rng.permutation(group.size) for group in groups])
    assert log10_symmetries(topology, masks) == log10_symmetries(topology, moved)
