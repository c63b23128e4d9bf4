"""Compressed datasets: written as ordinary HDF5 chunks, read without trusting their size.

HDF5's own deflate filter inflates a chunk to whatever size its stream asks for, a thousand times the file. Here a
chunk is inflated to the size that its dataset declares and not a byte more. Writing the streams here has
a use as well: packed masks have next to no repeated strings for deflate to find, and the strategies that only count
bytes or runs make them a fifth smaller in half the time, for every reader there is.
"""

import itertools
import math
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

__all__ = ["PIPELINES", "chunk_shape", "read_chunks", "write_chunks"]

PIPELINES = ((h5py.h5z.FILTER_DEFLATE,), (h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_DEFLATE))
"""The filters that a dataset may go through, in the order of writing: every HDF5 library has them."""

_CHUNK = 2**20
"""Bytes in a chunk, before compression."""

_STRATEGIES = {1: (zlib.Z_HUFFMAN_ONLY, zlib.Z_RLE), 2: (zlib.Z_RLE,)}
"""What is tried by the number of filters: for masks the smaller of two, for shuffled numbers they hardly differ."""


def chunk_shape(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Return the shape of chunks of at most a MiB that are contiguous in C order; no extent may be 0."""
    room = _CHUNK // itemsize
    extents: list[int] = []
    for extent in reversed(shape):
        extents.append(min(extent, max(1, room)))
        room //= extent
    return tuple(reversed(extents))


def write_chunks(dataset: h5py.Dataset, take: Callable[[int], NDArray[Any]]) -> None:
    """Fill a new, chunked dataset that declares one of `PIPELINES`, holding no more than a chunk.

    Parameters
    ----------
    dataset
        Where to write, its chunks as `chunk_shape` makes them: each covers elements that follow each other in C order.
    take
        Returns the next so many elements in C order: flat, little-endian, of the element type of the dataset.
    """
    filters, itemsize = _pipeline(dataset), dataset.dtype.itemsize
    for offset, region in _regions(dataset):
        shape = tuple(min(s.stop, extent) - s.start for s, extent in zip(region, dataset.shape, strict=True))
        part = take(math.prod(shape)).reshape(shape)
        if part.shape != dataset.chunks:  # a chunk at the edge is stored whole
            whole = np.zeros(dataset.chunks, dtype=part.dtype)
            whole[tuple(slice(extent) for extent in part.shape)] = part
            part = whole
        raw = np.ascontiguousarray(part).reshape(-1).view(np.uint8)
        if len(filters) == 2:
            raw = np.ascontiguousarray(raw.reshape(-1, itemsize).T)
        best = min((_deflate(raw, strategy) for strategy in _STRATEGIES[len(filters)]), key=len)
        if len(best) < raw.nbytes:
            dataset.id.write_direct_chunk(offset, best, 0)
        else:  # the mask says which filter was left out
            dataset.id.write_direct_chunk(offset, raw.tobytes(), 1 << (len(filters) - 1))


def read_chunks(dataset: h5py.Dataset) -> NDArray[Any]:
    """Return the values of a chunked dataset that declares one of `PIPELINES`.

    Raises
    ------
    ValueError
        If a chunk is missing or does not have the declared size.
    """
    filters = _pipeline(dataset)
    size = math.prod(dataset.chunks) * dataset.dtype.itemsize
    result = np.empty(dataset.shape, dtype=dataset.dtype)
    for offset, region in _regions(dataset):
        skipped, data = dataset.id.read_direct_chunk(offset)
        for position in reversed(range(len(filters))):
            if skipped >> position & 1:
                continue
            if filters[position] == h5py.h5z.FILTER_DEFLATE:
                data = _inflate(data, size)
            elif len(data) == size:
                data = np.frombuffer(data, np.uint8).reshape(dataset.dtype.itemsize, -1).T.tobytes()
        if len(data) != size:
            raise ValueError(f"the chunk at {offset} has {len(data)} bytes instead of {size}")
        part = result[region]
        whole = np.frombuffer(data, dtype=dataset.dtype).reshape(dataset.chunks)
        part[...] = whole[tuple(slice(extent) for extent in part.shape)]
    return result


def _pipeline(dataset: h5py.Dataset) -> tuple[int, ...]:
    plist = dataset.id.get_create_plist()
    return tuple(plist.get_filter(index)[0] for index in range(plist.get_nfilters()))


def _regions(dataset: h5py.Dataset) -> Iterator[tuple[tuple[int, ...], tuple[slice, ...]]]:
    """Yield where each chunk starts, and the part of the dataset that it covers."""
    steps = [range(0, extent, step) for extent, step in zip(dataset.shape, dataset.chunks, strict=True)]
    for offset in itertools.product(*steps):
        yield offset, tuple(slice(start, start + step) for start, step in zip(offset, dataset.chunks, strict=True))


def _deflate(raw: NDArray[np.uint8], strategy: int) -> bytes:
    stream = zlib.compressobj(1, zlib.DEFLATED, 15, 9, strategy)
    return stream.compress(raw.data) + stream.flush()


def _inflate(data: bytes, size: int) -> bytes:
    stream = zlib.decompressobj()
    try:
        result = stream.decompress(data, size + 1)
    except zlib.error as error:
        raise ValueError(f"a chunk cannot be decompressed: {error}") from None
    if len(result) != size or not stream.eof:
        raise ValueError(f"a chunk does not inflate to the {size} bytes that it declares")
    return result
