"""A snapshot that is written piece by piece is the snapshot that is written from memory."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from masktools.errors import SnapshotError
from masktools.importers.masks import active_values, full_mask, nonzero_mask, packed
from masktools.masks import PackedMask
from masktools.snapshot.content import LayerContent, SnapshotContent
from masktools.snapshot.read import Snapshot
from masktools.snapshot.streamed import Pieces, StreamedArray, StreamedContent, StreamedLayer
from masktools.snapshot.verify import verify_snapshot
from masktools.snapshot.write import write_snapshot


def uneven(array, seed=0):
    """Return an array that comes in pieces of all sorts of lengths, empty ones among them."""
    flat = array.reshape(-1)
    cuts = np.sort(np.random.default_rng(seed).integers(0, flat.size + 1, 7))
    return StreamedArray(array.shape, array.dtype, lambda: iter(np.split(flat, cuts)))


@pytest.mark.parametrize("kind", ["active", "dense", "none"])
@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8", ">f4"])
def test_the_bytes_are_those_of_the_content_in_memory(tmp_path: Path, kind, dtype):
    rng = np.random.default_rng(3)
    weights = {
        "small": rng.standard_normal((3, 5)),
        "wide": rng.standard_normal((3, 300_000)),  # a row is more than a chunk
        "conv": rng.standard_normal((70, 30, 3, 3)),
        "empty": np.zeros((0, 4)),
    }
    weights = {name: weight.astype(dtype) for name, weight in weights.items()}
    masks = {name: rng.random(weight.shape) < 0.3 for name, weight in weights.items()}
    tensors = {
        "bias": rng.standard_normal(1000).astype(np.float32),
        "count": np.array(7),
        "flags": rng.random((40, 40)) < 0.5,
    }
    config = {"seed": 1}
    told = SnapshotContent(
        2,
        5,
        tuple(LayerContent.from_dense(name, masks[name], weights[name], kind) for name in weights),
        config,
        tensors,
        extra={"level": 1},
    )

    def layers():
        for name, weight in weights.items():
            mask = PackedMask.from_bool(masks[name])
            values = {"active": active_values(uneven(weight), mask), "dense": uneven(weight), "none": None}[kind]
            yield StreamedLayer(name, mask, values, kind)

    streamed = StreamedContent(
        2, 5, layers(), config, {name: uneven(tensor) for name, tensor in tensors.items()}, extra={"level": 1}
    )
    write_snapshot(tmp_path / "a.h5", told)
    write_snapshot(tmp_path / "b.h5", streamed)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
    verify_snapshot(Snapshot(tmp_path / "b.h5"))


def test_what_cannot_be_stored_is_refused(tmp_path: Path):
    ones = StreamedArray.of(np.ones((2, 2), np.float32))
    mask = full_mask((2, 2))
    layer = StreamedLayer("w", mask, active_values(ones, mask))
    assert layer.axes == "out,in"
    with pytest.raises(SnapshotError, match="active weights need shape"):
        StreamedLayer("w", mask, ones)
    with pytest.raises(SnapshotError, match="cannot name a parameter"):
        StreamedContent(0, 0, (), tensors={"a/b": ones})
    with pytest.raises(SnapshotError, match="epoch -1 is not a number"):
        StreamedContent(-1, 0, ())
    with pytest.raises(SnapshotError, match="cannot be stored"):
        StreamedContent(0, 0, (), tensors={"a": dataclasses.replace(ones, dtype=np.dtype("c8"))})
    for twice in (
        StreamedContent(0, 0, (layer, dataclasses.replace(layer))),
        StreamedContent(0, 0, (layer,), tensors={"w": ones}),
    ):
        with pytest.raises(SnapshotError, match="the same name: w"):
            write_snapshot(tmp_path / "a.h5", twice)
    assert list(tmp_path.iterdir()) == []


def test_pieces_that_end_early_are_no_array():
    pieces = Pieces(iter([np.arange(3), np.arange(3, 5)]), np.dtype(int))
    assert pieces.take(0).tolist() == []
    assert pieces.take(4).tolist() == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="ends 2 elements too early"):
        pieces.take(3)


@given(st.integers(0, 60), st.integers(0, 2**32 - 1))
def test_masks_and_active_values_of_pieces_are_those_of_the_whole(size, seed):
    rng = np.random.default_rng(seed)
    weight = (rng.standard_normal(size) * (rng.random(size) < 0.5)).astype(np.float32)
    streamed = uneven(weight, seed)
    mask = nonzero_mask(streamed)
    assert mask == PackedMask.from_bool(weight != 0)
    assert packed(weight.shape, uneven(weight != 0, seed).pieces()) == mask
    assert np.array_equal(active_values(streamed, mask).read(), weight[weight != 0])
    assert full_mask((size,)) == PackedMask.from_bool(np.ones(size, bool))
