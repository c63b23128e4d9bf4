import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from masktools.errors import StructureError
from masktools.masks import PackedMask

MASKS = arrays.arrays(np.bool_, arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=9))
PAIRS = arrays.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=9).flatmap(
    lambda shape: st.tuples(arrays.arrays(np.bool_, shape), arrays.arrays(np.bool_, shape))
)


def test_first_weight_is_the_highest_bit():
    mask = PackedMask.from_bool(np.array([[1, 0, 0], [0, 0, 0], [0, 1, 1]], dtype=bool))
    assert mask.bits.tolist() == [0b10000001, 0b10000000]
    assert mask.shape == (3, 3)
    assert mask.active == 3
    assert mask.density == 1 / 3


@given(MASKS)
def test_packing_loses_nothing(mask: NDArray[np.bool_]):
    packed = PackedMask.from_bool(mask)
    assert packed.size == mask.size
    assert packed.active == mask.sum()
    back = packed.to_bool()
    assert back.dtype == np.bool_
    assert back.shape == mask.shape
    assert np.array_equal(back, mask)


@given(PAIRS)
def test_intersection_counts_what_both_have(pair: tuple[NDArray[np.bool_], NDArray[np.bool_]]):
    first, second = pair
    packed = PackedMask.from_bool(first), PackedMask.from_bool(second)
    assert packed[0].intersection(packed[1]) == (first & second).sum()
    assert packed[1].intersection(packed[0]) == (first & second).sum()
    assert (packed[0] == packed[1]) == np.array_equal(first, second)


@pytest.mark.parametrize("order", ["transposed", "strided", "fortran"])
def test_weights_count_in_c_order_whatever_the_memory(order: str):
    plain = np.random.default_rng(0).random((6, 10)) < 0.4
    other = {
        "transposed": plain.T.copy().T,
        "strided": np.repeat(plain, 2, axis=0)[::2],
        "fortran": np.asfortranarray(plain),
    }[order]
    assert not other.flags.c_contiguous
    assert PackedMask.from_bool(other).bits.tobytes() == np.packbits(plain.ravel()).tobytes()


def test_a_layer_without_weights_has_no_density():
    empty = PackedMask.from_bool(np.zeros((0, 5), dtype=bool))
    assert (empty.size, empty.active) == (0, 0)
    assert math.isnan(empty.density)
    assert empty.to_bool().shape == (0, 5)


@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.uint8, object])
def test_numbers_are_not_taken_for_a_mask(dtype: type):
    with pytest.raises(StructureError, match="a mask is boolean"):
        PackedMask.from_bool(np.ones((2, 2), dtype=dtype))


@pytest.mark.parametrize(
    ("bits", "shape", "message"),
    [
        (np.zeros(1, np.uint8), (9,), "needs 2 bytes"),
        (np.zeros(3, np.uint8), (9,), "needs 2 bytes"),
        (np.zeros((1, 2), np.uint8), (9,), "needs 2 bytes"),
        (np.zeros(2, np.int8), (9,), "needs 2 bytes"),
        (np.array([0, 0b01000000], np.uint8), (9,), "padding bit"),
        (np.array([0b00000001], np.uint8), (7,), "padding bit"),
        (np.zeros(0, np.uint8), (-1,), "negative extent"),
        (np.zeros(1, np.uint8), (-2, -4), "negative extent"),
    ],
)
def test_bits_must_fit_the_shape(bits: NDArray[np.uint8], shape: tuple[int, ...], message: str):
    with pytest.raises(StructureError, match=message):
        PackedMask(bits, shape)


def test_masks_of_unequal_shape_cannot_be_compared():
    first = PackedMask.from_bool(np.ones((2, 4), dtype=bool))
    second = PackedMask.from_bool(np.ones((4, 2), dtype=bool))
    assert first.bits.tolist() == second.bits.tolist()
    assert first != second
    with pytest.raises(StructureError, match=r"\(2, 4\) and \(4, 2\)"):
        first.intersection(second)


def test_a_mask_travels_between_processes_and_is_no_key():
    mask = PackedMask.from_bool(np.eye(5, dtype=bool))
    assert pickle.loads(pickle.dumps(mask)) == mask
    assert mask != "mask"
    with pytest.raises(TypeError, match="unhashable"):
        hash(mask)
