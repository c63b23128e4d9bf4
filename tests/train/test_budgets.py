"""Layer budgets: exact counts, and ERK against what is published for ResNet-50."""

import math
from fractions import Fraction

import hypothesis.strategies as st
import pytest
from hypothesis import given

from masktools.errors import RecipeError
from masktools_train.budgets import erk, exact_density, global_count, layer_counts, uniform


def resnet50():
    """Return weight shape and output side of every convolution of ResNet-50, and of its classifier, for 224 x 224."""
    layers = {"conv1": ((64, 3, 7, 7), 112)}
    before, side = 64, 56
    for stage, (blocks, width) in enumerate([(3, 64), (4, 128), (6, 256), (3, 512)], start=1):
        for block in range(blocks):
            name = f"layer{stage}.{block}"
            # The stride is in the 3 x 3 convolution (torchvision's ResNet-50 v1.5).
            layers[f"{name}.conv1"] = ((width, before, 1, 1), side)
            if block == 0 and stage > 1:
                side //= 2
            layers[f"{name}.conv2"] = ((width, width, 3, 3), side)
            layers[f"{name}.conv3"] = ((4 * width, width, 1, 1), side)
            if block == 0:
                layers[f"{name}.downsample.0"] = ((4 * width, before, 1, 1), side)
            before = 4 * width
    layers["fc"] = ((1000, 2048), 1)
    return layers


LAYERS = resnet50()
SHAPES = {name: shape for name, (shape, _) in LAYERS.items()}
SIZES = {name: math.prod(shape) for name, shape in SHAPES.items()}


def shares(density):
    counts = erk(SHAPES, density)
    return {name: counts[name] / SIZES[name] for name in SHAPES}


def flop_ratio(density):
    counts = erk(SHAPES, density)
    dense = sum(SIZES[name] * side**2 for name, (_, side) in LAYERS.items())
    return sum(counts[name] * side**2 for name, (_, side) in LAYERS.items()) / dense


def test_the_layers_of_resnet50():
    assert len(SHAPES) == 54
    assert sum(SIZES.values()) == 25_502_912
    # 4.1 billion multiply-accumulates is what is published for the dense network.
    assert sum(SIZES[name] * side**2 for name, (_, side) in LAYERS.items()) == pytest.approx(4.09e9, rel=0.005)


def test_erk_on_resnet50_at_90_percent():
    share = shares(0.1)
    assert [name for name, value in share.items() if value == 1] == ["layer1.0.conv1"]
    assert share["conv1"] == pytest.approx(0.420, abs=5e-4)
    assert share["layer4.2.conv2"] == pytest.approx(0.0213, abs=5e-5)
    assert share["fc"] == pytest.approx(0.0726, abs=5e-5)


def test_erk_on_resnet50_at_80_percent():
    share = shares(0.2)
    assert sum(value == 1 for value in share.values()) == 8
    assert share["conv1"] == pytest.approx(0.857, abs=5e-4)


def test_erk_on_resnet50_at_95_percent():
    share = shares(0.05)
    assert max(share.values()) < 1
    # density = eps * sum(dims) / prod(dims), up to the rounding of the count.
    eps = {name: share[name] * SIZES[name] / sum(shape) for name, shape in SHAPES.items()}
    lowest = max(eps[name] - 1 / sum(shape) for name, shape in SHAPES.items())
    assert lowest <= min(eps.values())
    assert lowest == pytest.approx(24.37, abs=0.005)
    assert min(eps.values()) == pytest.approx(24.37, abs=0.005)


@pytest.mark.parametrize(("density", "ratio"), [(0.2, 0.414), (0.1, 0.242), (0.05, 0.122)])
def test_flops_of_erk_on_resnet50(density, ratio):
    assert flop_ratio(density) == pytest.approx(ratio, abs=1e-3)


@pytest.mark.parametrize("density", [0.05, 0.1, 0.2, 0.5, 0.9])
def test_erk_spends_the_whole_budget_and_at_most_a_weight_a_layer_more(density):
    planned = sum(n - math.floor((1 - exact_density(density)) * n) for n in SIZES.values())
    assert 0 <= sum(erk(SHAPES, density).values()) - planned <= len(SHAPES)


def erk_in_floats(shapes, density):
    """The reference's loop with floating point and sets of names; densities, not counts."""
    size = {name: math.prod(shape) for name, shape in shapes.items()}
    dense = set()
    while True:
        divisor, right = 0.0, 0.0
        raw = {}
        for name, shape in shapes.items():
            zeros = math.floor((1 - Fraction(repr(density))) * size[name])
            if name in dense:
                right -= zeros
            else:
                right += size[name] - zeros
                raw[name] = sum(shape) / size[name]
                divisor += raw[name] * size[name]
        if not raw:
            return dict.fromkeys(shapes, 1.0)
        eps = right / divisor
        top = max(raw.values())
        if top * eps <= 1:
            return {name: 1.0 if name in dense else eps * raw[name] for name in shapes}
        dense |= {name for name, value in raw.items() if value == top}


SHAPE = st.lists(st.integers(1, 40), min_size=2, max_size=4).map(tuple)
NETS = st.lists(SHAPE, min_size=1, max_size=6).map(lambda shapes: {f"l{i}": s for i, s in enumerate(shapes)})
DENSITIES = st.one_of(st.floats(0.001, 1), st.sampled_from([0.02, 0.1, 0.5, 1.0, 1 / 3]))


@given(NETS, DENSITIES)
def test_erk_agrees_with_the_floating_point_reference(shapes, density):
    counts = erk(shapes, density)
    for name, share in erk_in_floats(shapes, density).items():
        n = math.prod(shapes[name])
        assert 1 <= counts[name] <= n
        # Rounded up; where the share is a whole number of weights, floats may fall on either side of it.
        assert share * n - 1e-6 * n - 1e-9 <= counts[name] <= share * n + 1 + 1e-6 * n


@given(NETS, DENSITIES)
def test_uniform_keeps_all_but_the_whole_number_to_prune(shapes, density):
    counts = uniform(shapes, density)
    share = Fraction(repr(density))
    for name, shape in shapes.items():
        n = math.prod(shape)
        assert counts[name] == n - math.floor((1 - share) * n)
        assert 1 <= counts[name] <= n


def test_densities_are_the_decimals_that_were_written():
    # 0.02 * 1000 is 20 exactly; the binary neighbour of 0.02 is a little larger, and would give 21.
    assert uniform({"a": (10, 100), "b": (50,)}, 0.02) == {"a": 20, "b": 1}
    assert exact_density(0.1) == Fraction(1, 10)
    assert exact_density(1e-05) == Fraction(1, 100_000)
    assert global_count({"a": (10, 10), "b": (7,)}, 0.3) == 33  # 32.1, rounded up


def test_erk_by_hand():
    # Ratios 1/2 + 1/2 = 1 and (10 + 10) / 100 = 1/5; half of 104 weights: eps = 52 / (4 + 20) = 13/6 makes the
    # first layer dense; then eps = (50 - 2) / 20 = 12/5 gives the second 100 * 12/25 = 48.
    assert erk({"small": (2, 2), "large": (10, 10)}, 0.5) == {"small": 4, "large": 48}
    # Equal ratios become dense together, and everything is dense at density 1.
    assert erk({"a": (2, 2), "b": (2, 2)}, 1.0) == {"a": 4, "b": 4}
    assert erk({"a": (3, 5)}, 0.5) == {"a": 8}


@pytest.mark.parametrize("density", [0, -0.1, 1.0000001, 2, math.nan, math.inf])
@pytest.mark.parametrize("rule", [uniform, erk, global_count])
def test_densities_out_of_range_are_refused(rule, density):
    with pytest.raises(RecipeError, match="density must be above 0 and at most 1"):
        rule({"a": (2, 2)}, density)


def test_dense_layers_keep_all_and_do_not_count():
    shapes = {"first": (10, 10), "second": (20, 10), "third": (5, 20)}
    counts = layer_counts(shapes, 0.1, "erk", ["first"])
    rest = {name: shapes[name] for name in ("second", "third")}
    assert counts == {"first": 100, **erk(rest, 0.1)}
    assert list(counts) == list(shapes)
    with pytest.raises(RecipeError, match="distribution 'global' is unknown; choose from uniform, erk"):
        layer_counts(shapes, 0.1, "global")
