import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic import pack

from masktools.errors import StructureError
from masktools.masks import PackedMask
from masktools.stacks import _BLOCK, MaskStack, rows_in_common


def stack_of(masks):
    return MaskStack.of(iter([pack(moment) for moment in masks]), len(masks))


def moments(count, shapes, density, seed):
    rng = np.random.default_rng(seed)
    return [{name: rng.random(shape) < density for name, shape in shapes.items()} for _ in range(count)]


@given(
    st.integers(1, 7),
    st.integers(1, 7),
    st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=4), min_size=1, max_size=3),
    st.floats(0, 1),
    st.integers(0, 2**32 - 1),
)
def test_all_pairs_agree_with_counting_them(rows, columns, shapes, density, seed):
    named = {f"l{i}": tuple(shape) for i, shape in enumerate(shapes)}
    a, b = moments(rows, named, density, seed), moments(columns, named, density, seed + 1)
    within, between = stack_of(a).intersections(), stack_of(a).intersections(stack_of(b))
    for name in named:
        assert within[name].tolist() == [[int((x[name] & y[name]).sum()) for y in a] for x in a]
        assert between[name].tolist() == [[int((x[name] & y[name]).sum()) for y in b] for x in a]
        assert stack_of(a).active[name].tolist() == [int(x[name].sum()) for x in a]


@pytest.mark.parametrize("extra", [-1, 0, 1, 8, 9])
def test_layers_of_about_one_and_several_blocks(extra):
    size = 2 * 8 * _BLOCK + extra
    a = moments(5, {"w": (size,)}, 0.3, extra + 2)
    b = moments(3, {"w": (size,)}, 0.7, 7)
    found, between = stack_of(a).intersections()["w"], stack_of(a).intersections(stack_of(b))["w"]
    assert found.tolist() == [[int((x["w"] & y["w"]).sum()) for y in a] for x in a]
    assert between.tolist() == [[int((x["w"] & y["w"]).sum()) for y in b] for x in a]


def test_full_and_empty_masks_and_layers_without_weights():
    shapes = {"w": (64, 100), "none": (0, 3)}
    full, empty = ({name: np.full(shape, value) for name, shape in shapes.items()} for value in (True, False))
    found = stack_of([full, empty, full]).intersections()
    assert found["w"].tolist() == [[6400, 0, 6400], [0, 0, 0], [6400, 0, 6400]]
    assert found["none"].tolist() == [[0] * 3] * 3


def test_layers_that_differ_are_named():
    mask = {"a": PackedMask.from_bool(np.ones((2, 3), dtype=bool))}
    other = {"a": PackedMask.from_bool(np.ones((3, 2), dtype=bool))}
    with pytest.raises(StructureError, match=r"layer 'a' has shape \(3, 2\) at moment 1 but \(2, 3\) at the first"):
        MaskStack.of([mask, other], 2)
    with pytest.raises(StructureError, match="moment 1 does not fit a stack of 2: a, b"):
        MaskStack.of([mask, {"b": mask["a"]}], 2)
    with pytest.raises(StructureError, match="a stack of 2 moments got 1"):
        MaskStack.of([mask], 2)
    with pytest.raises(StructureError, match="a stack of 0 moments got 0"):
        MaskStack.of([], 0)
    with pytest.raises(StructureError, match="cannot be compared: a"):
        MaskStack.of([mask], 1).intersections(MaskStack.of([other], 1))


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 40), st.integers(0, 2**32 - 1))
def test_rows_in_common_is_a_product(rows, columns, places, seed):
    rng = np.random.default_rng(seed)
    a, b = rng.random((rows, places)) < 0.4, rng.random((columns, places)) < 0.6
    assert rows_in_common(a, b).tolist() == (a.astype(int) @ b.astype(int).T).tolist()
