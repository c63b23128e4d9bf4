"""The k largest of arrays in pieces, held against a sort of the whole."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from masktools.errors import CheckpointError
from masktools.importers.top_k import Selection
from masktools.snapshot.streamed import StreamedArray


def in_pieces(array, length=7):
    flat = array.reshape(-1)
    return StreamedArray(
        array.shape, array.dtype, lambda: (flat[at : at + length] for at in range(0, flat.size, length))
    )


def selected(arrays, count):
    named = [(f"w{index}", in_pieces(array)) for index, array in enumerate(arrays)]
    selection = Selection(named, count, "file")
    return [np.concatenate([np.zeros(0, bool), *selection.flags(array)]).reshape(array.shape) for _, array in named]


def by_sorting(arrays, count):
    """Sort stably by falling magnitude: of equal ones, the first in order of arrays and indices comes first."""
    magnitudes = np.concatenate([np.abs(array.reshape(-1).astype(np.float64)) for array in arrays])
    flags = np.zeros(magnitudes.size, bool)
    flags[np.argsort(-magnitudes, kind="stable")[:count]] = True
    cuts = np.cumsum([array.size for array in arrays])[:-1]
    return [part.reshape(array.shape) for part, array in zip(np.split(flags, cuts), arrays, strict=True)]


@given(
    st.lists(st.sampled_from(["<f2", "<f4", "<f8", ">f4"]), min_size=1, max_size=3),
    st.integers(0, 2**32 - 1),
    st.floats(0, 1),
    st.booleans(),
)
def test_it_selects_what_a_sort_does(dtypes, seed, share, coarse):
    rng = np.random.default_rng(seed)
    arrays = [rng.standard_normal((rng.integers(0, 6), 5)).astype(dtype) for dtype in dtypes]
    if coarse:  # many ties, and zeros of both signs
        arrays = [np.copysign(np.round(np.abs(array)), array).astype(array.dtype) for array in arrays]
    count = round(share * sum(array.size for array in arrays))
    for found, expected in zip(selected(arrays, count), by_sorting(arrays, count), strict=True):
        assert np.array_equal(found, expected)


def test_extremes():
    values = np.array([0.0, -np.inf, 1e-45, 3.4e38, -0.0, 1e-40], np.float32)
    for count in range(len(values) + 1):
        (found,) = selected([values], count)
        assert found.sum() == count
        assert np.array_equal(found, by_sorting([values], count)[0])


def test_nan_has_no_place_among_the_largest():
    with pytest.raises(CheckpointError, match="file: w0: holds NaN"):
        selected([np.array([1.0, np.nan, 2.0], np.float32)], 1)
