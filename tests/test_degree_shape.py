import itertools
import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from masktools.errors import StructureError
from masktools.nulls.shuffles import shuffled
from masktools.structure.degrees import degrees
from masktools.structure.wiring.degree_shape import degree_shape, degree_shapes, gini

SHAPES = st.one_of(st.tuples(st.integers(1, 6), st.integers(1, 6)), st.tuples(*[st.integers(1, 3)] * 4))


def gini_by_pairs(sequence):
    pairs = [abs(int(a) - int(b)) for a in sequence for b in sequence]
    return sum(pairs) / (2 * len(sequence) * int(sum(sequence)))


def every_mask(shape, active):
    for places in itertools.combinations(range(math.prod(shape)), active):
        mask = np.zeros(math.prod(shape), dtype=bool)
        mask[list(places)] = True
        yield mask.reshape(shape)


def test_by_hand():
    # Fan-in 3, 1, 0, fan-out 1, 1, 2, 0.
    found = degree_shapes(np.array([[1, 1, 1, 0], [0, 0, 1, 0], [0, 0, 0, 0]], dtype=bool))
    assert (found.fan_in.units, found.fan_out.units) == (3, 4)
    assert (found.fan_in.mean, found.fan_out.mean) == (pytest.approx(4 / 3), 1)
    assert found.fan_in.variance == pytest.approx(10 / 3 - 16 / 9)
    assert found.fan_in.cv == pytest.approx(math.sqrt(14 / 9) * 3 / 4)
    assert found.fan_in.gini == pytest.approx(2 * (2 + 3 + 1) / (2 * 9 * 4 / 3))
    assert found.fan_out.cv == pytest.approx(math.sqrt(0.5))
    assert found.fan_out.gini == pytest.approx(2 * (0 + 1 + 1 + 1 + 1 + 2) / (2 * 16))
    # 4 of 12, of which each output unit has 4 and each input unit 3.
    assert found.fan_in.variance_by_density == pytest.approx(scipy.stats.hypergeom(12, 4, 4).var())
    assert found.fan_out.variance_by_density == pytest.approx(scipy.stats.hypergeom(12, 4, 3).var())
    assert found.to_dict()["fan_in"]["gini"] == found.fan_in.gini


@pytest.mark.parametrize("shape", [(2, 3), (3, 3), (4, 2), (1, 5), (2, 2, 1, 2), (4, 1, 2)])
@pytest.mark.parametrize("groups", [1, 2])
def test_density_alone_is_the_mean_over_every_mask(shape, groups):
    if shape[0] % groups:
        groups = 1
    for active in range(1, math.prod(shape) + 1):
        masks = list(every_mask(shape, active))
        shapes = [degree_shapes(mask, groups) for mask in masks]
        for side in ("fan_in", "fan_out"):
            here = [getattr(found, side) for found in shapes]
            number = 0 if side == "fan_out" else 1
            ginis = [gini_by_pairs(degrees(mask, groups)[number]) for mask in masks]
            assert here[0].gini_by_density == pytest.approx(np.mean(ginis), abs=1e-12)
            assert here[0].variance_by_density == pytest.approx(np.mean([one.variance for one in here]), abs=1e-12)
            assert here[0].cv_by_density == pytest.approx(np.sqrt(np.mean([one.cv**2 for one in here])), abs=1e-7)


@pytest.mark.parametrize(("shape", "density"), [((300, 784), 0.05), ((64, 32, 3, 3), 0.2)])
def test_shuffles_have_what_density_alone_gives(shape, density):
    rng = np.random.default_rng(3)
    mask = rng.random(shape) < density
    draws = [degree_shapes(shuffled(mask, rng)) for _ in range(100)]
    for side in ("fan_in", "fan_out"):
        here = [getattr(found, side) for found in draws]
        for name in ("gini", "variance"):
            values = [getattr(one, name) for one in here]
            error = np.std(values) / math.sqrt(len(values))
            assert abs(np.mean(values) - getattr(here[0], f"{name}_by_density")) < 4 * error
        # A layer with hubs is beyond it.
    hubs = mask.copy()
    hubs[: shape[0] // 10] = True
    found = degree_shapes(hubs).fan_in
    assert found.gini > 2 * found.gini_by_density
    assert found.cv > 2 * found.cv_by_density


def test_a_large_layer_is_exact():
    # 4096 x 36864 weights, 1 %: units are nearly independent, so two binomial units are close.
    size, each = 4096 * 36864, 36864
    degree = np.full(4096, each // 100)
    spread = scipy.stats.binom(each, degree[0] / each).std()
    assert degree_shape(degree, size).gini_by_density == pytest.approx(
        2 * spread / math.sqrt(math.pi) / (2 * degree[0]), rel=5e-4
    )


@given(SHAPES.flatmap(lambda shape: hnp.arrays(np.bool_, shape)), st.integers(0, 2**32 - 1))
def test_the_order_of_units_does_not_matter(mask, seed):
    rng = np.random.default_rng(seed)
    found = degree_shapes(mask)
    moved = degree_shapes(mask[rng.permutation(len(mask))][:, rng.permutation(mask.shape[1])])
    for side in ("fan_in", "fan_out"):
        before, after = getattr(found, side).to_dict(), getattr(moved, side).to_dict()
        assert after == pytest.approx(before)
        if mask.any():
            sequence = degrees(mask)[0 if side == "fan_out" else 1]
            assert before["gini"] == pytest.approx(gini_by_pairs(sequence))
            assert before["cv"] == pytest.approx(float(scipy.stats.variation(sequence)), abs=1e-7)
            assert 0 <= before["gini"] <= 1 - 1 / len(sequence) + 1e-12
        else:
            assert before["gini"] is before["cv"] is before["gini_by_density"] is before["cv_by_density"] is None


def test_dense_empty_and_single():
    dense = degree_shapes(np.ones((4, 3, 3, 3), dtype=bool)).fan_in
    assert (dense.mean, dense.variance, dense.cv, dense.gini) == (27, 0, 0, 0)
    assert (dense.variance_by_density, dense.cv_by_density) == (0, 0)
    assert dense.gini_by_density == pytest.approx(0, abs=1e-12)
    empty = degree_shapes(np.zeros((4, 3), dtype=bool)).fan_out
    assert (empty.mean, empty.variance, empty.variance_by_density, empty.gini) == (0, 0, 0, None)
    single = degree_shapes(np.array([[True, False]])).fan_in
    assert (single.units, single.cv, single.gini, single.gini_by_density, single.cv_by_density) == (1, 0, 0, 0, 0)
    none = degree_shapes(np.zeros((0, 3), dtype=bool))
    assert (none.fan_in.units, none.fan_in.mean, none.fan_out.mean) == (0, None, 0)
    assert gini(np.zeros(0, dtype=np.int64)) is None


def test_groups_have_inputs_of_their_own():
    mask = np.zeros((4, 1, 3, 3), dtype=bool)
    mask[0] = True
    assert degree_shapes(mask, groups=4).fan_out.gini == pytest.approx(0.75)
    assert degree_shapes(mask).fan_out.gini == 0
    with pytest.raises(StructureError, match="4 outputs do not split into 3 groups"):
        degree_shapes(mask, groups=3)
