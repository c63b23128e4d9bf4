import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from unrolled import NETS, Build, component_sizes, count_paths, full_masks, mlp, random_masks, unrolled

from masktools.topology.paths import log10_paths
from masktools.topology.units import weak_components


def same_logarithm(found, paths):
    return found == -math.inf if paths == 0 else found == pytest.approx(math.log10(paths), rel=1e-13, abs=1e-14)


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("density", [0.05, 0.2, 0.5, 1.0])
@pytest.mark.parametrize("taps", [True, False])
def test_path_counts_equal_whole_number_counting(net, density, taps):
    topology, shapes = NETS[net]()
    for seed in range(3):
        masks = random_masks(shapes, density, seed)
        expected = count_paths(topology, unrolled(topology, masks), taps=taps)
        assert same_logarithm(log10_paths(topology, masks, taps=taps), expected)


def test_dense_lenet_has_235_200_000_paths():
    topology, shapes = mlp(784, 300, 100, 10)
    assert log10_paths(topology, full_masks(shapes)) == math.log10(235_200_000)


def test_each_column_of_a_flattened_channel_is_an_edge():
    b = Build()
    topology, shapes = b.done(b.linear(b.flatten(b.input(1, 28, 28)), 300, "fc"))
    assert log10_paths(topology, full_masks(shapes)) == math.log10(784 * 300)


def test_only_taps_that_meet_the_map_count():
    b = Build()
    # A 2 x 2 map and a kernel reaching 2 to each side: offsets -1, 0, 1 meet it, 2 and -2 never do.
    topology, shapes = b.done(b.conv(b.input(3, 2, 2), 4, "c", kernel=(5, 5), padding=(2, 2)))
    assert log10_paths(topology, full_masks(shapes)) == math.log10(3 * 4 * 9)
    assert log10_paths(topology, full_masks(shapes), taps=False) == math.log10(3 * 4)


def test_a_sum_adds_the_paths_of_its_terms():
    b = Build()
    x = b.input(3)
    x = b.same("add", b.linear(x, 3, "w"), x)
    topology, shapes = b.done(b.linear(x, 1, "v"))
    assert log10_paths(topology, full_masks(shapes)) == math.log10(9 + 3)


def chain(layers, width):
    """Equal layers; one neuron keeps to itself, so that one path runs beside all the others."""
    topology, shapes = mlp(*[width] * (layers + 1))
    masks = full_masks(shapes)
    for mask in masks.values():
        mask[0, 1:] = mask[1:, 0] = False
    return topology, masks


@pytest.mark.parametrize("layers", [10, 200, 700, 2000])
def test_depth_neither_overflows_nor_loses_the_lone_path(layers):
    topology, masks = chain(layers, 11)
    exact = 10 ** (layers + 1) + 1
    assert log10_paths(topology, masks) == pytest.approx(math.log10(exact), rel=1e-12)
    # Cut the many at the very end: what is left is the one path, however small it was beside them.
    masks[f"fc{layers}"][1:] = False
    assert log10_paths(topology, masks) == 0.0
    masks[f"fc{layers}"][:] = False
    assert log10_paths(topology, masks) == -math.inf


def test_numbers_of_very_different_size_add_up():
    # 10**700 paths into one neuron of the last hidden layer, 1 into another; both lead to the output.
    topology, masks = chain(700, 11)
    masks["fc700"][:] = True
    exact = 11 * (10**700 + 1)
    assert log10_paths(topology, masks) == pytest.approx(math.log10(exact), rel=1e-12)


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("density", [0.03, 0.1, 0.3, 1.0])
def test_components_equal_those_of_networkx(net, density):
    topology, shapes = NETS[net]()
    for seed in range(3):
        masks = random_masks(shapes, density, seed)
        sizes = component_sizes(topology, unrolled(topology, masks))
        found = weak_components(topology, masks)
        assert found.units == sum(sizes)
        assert found.components == len(sizes)
        assert found.isolated == sizes.count(1)
        assert found.largest == sizes[-1]
        assert found.giant_share == sizes[-1] / sum(sizes)


def test_components_by_hand():
    topology, shapes = mlp(4, 3, 2)
    masks = {name: np.zeros(shape, dtype=bool) for name, shape in shapes.items()}
    assert weak_components(topology, masks).isolated == 9
    masks["fc1"][0, [0, 1]] = True
    masks["fc1"][1, 2] = True
    masks["fc2"][1, 0] = True
    # {input 0, input 1, hidden 0, output 1}, {input 2, hidden 1}; input 3, hidden 2 and output 0 alone.
    found = weak_components(topology, masks)
    assert (found.units, found.components, found.isolated, found.largest) == (9, 5, 3, 4)
    assert found.giant_share == 4 / 9


def test_an_image_that_is_only_flattened_has_a_unit_for_each_pixel():
    b = Build()
    x = b.linear(b.flatten(b.same("identity", b.input(1, 2, 2))), 2, "fc")
    topology, _ = b.done(x)
    mask = np.array([[True, True, False, False], [False, False, True, False]])
    found = weak_components(topology, {"fc": mask})
    assert (found.units, found.components, found.isolated, found.largest) == (6, 3, 1, 3)


@pytest.mark.parametrize("shape", [(2, 3), (1, 2, 3), (1, 3, 1, 2)])
def test_maps_of_any_number_of_axes_are_flattened_alike(shape):
    b = Build()
    topology, shapes = b.done(b.linear(b.flatten(b.input(*shape)), 2, "fc"))
    assert weak_components(topology, full_masks(shapes)).units == 6 + 2


def test_constants_are_nobodys_unit_and_join_nobody():
    b = Build()
    x, constant = b.input(2), b.constant(2)
    one, two = (b.same("add", b.linear(x, 2, name), constant) for name in "ab")
    # A feature that a constant and a hidden unit make together is the hidden unit's.
    both = b.view(b.concat(b.constant(2), one), lambda a: a.reshape(2, 2).T, 2, 2)
    topology, shapes = b.done(b.linear(both, 2, "c"), two)
    masks = {name: np.zeros(shape, dtype=bool) for name, shape in shapes.items()}
    assert (weak_components(topology, masks).units, weak_components(topology, masks).components) == (8, 8)
    masks["c"][:] = np.eye(2)
    found = weak_components(topology, masks)
    assert (found.components, found.isolated) == (6, 4)
    assert log10_paths(topology, full_masks(shapes)) == math.log10(2 * 2 * 2 + 2 * 2)


def test_units_of_a_head_are_joined_whatever_its_values_are():
    b = Build()
    x = b.linear(b.input(1, 2), 2, "x")
    y = b.attention(x, x, b.constant(4, 2), 2)
    topology, shapes = b.done(b.linear(y, 2, "out"))
    masks = {name: np.zeros(shape, dtype=bool) for name, shape in shapes.items()}
    assert weak_components(topology, masks).components == 5
    masks["out"][0, [0, 1]] = True
    # Both values of the first head are owned by its query.
    assert weak_components(topology, masks).components == 4


def test_an_image_that_a_convolution_reads_too_has_a_unit_for_each_channel():
    b = Build()
    image = b.input(2, 2, 2)
    x = b.linear(b.flatten(image), 1, "fc")
    y = b.linear(b.flatten(b.conv(image, 1, "c", kernel=(2, 2))), 1, "top")
    topology, shapes = b.done(b.same("add", x, y))
    assert weak_components(topology, full_masks(shapes)).units == 2 + 1 + 1 + 1


def test_units_that_are_added_are_joined():
    b = Build()
    x, y = b.input(2), b.input(2)
    topology, shapes = b.done(b.same("add", b.linear(x, 2, "a"), b.linear(y, 2, "b")))
    empty = {name: np.zeros(shape, dtype=bool) for name, shape in shapes.items()}
    found = weak_components(topology, empty)
    assert (found.units, found.components, found.isolated, found.largest) == (8, 6, 4, 2)


@given(st.sampled_from(sorted(NETS)), st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_another_weight_never_means_fewer_paths_or_more_components(net, seed, density):
    topology, shapes = NETS[net]()
    more = random_masks(shapes, density, seed)
    fewer = {name: mask & (np.random.default_rng(seed + 1).random(mask.shape) < 0.7) for name, mask in more.items()}
    assert log10_paths(topology, fewer) <= log10_paths(topology, more) + 1e-12
    assert weak_components(topology, fewer).components >= weak_components(topology, more).components
