"""Masks packed piece by piece, and the active values of weights that are never whole in memory."""

import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masktools.masks import PackedMask
from masktools.snapshot.streamed import PIECE, Pieces, StreamedArray

__all__ = ["active_values", "full_mask", "nonzero_mask", "packed"]


def packed(shape: tuple[int, ...], flags: Iterable[NDArray[np.bool_]]) -> PackedMask:
    """Pack booleans that come in pieces.

    Parameters
    ----------
    shape
        Shape of the mask.
    flags
        One-dimensional, together all elements in C order.
    """
    size = math.prod(shape)
    bits = np.zeros((size + 7) // 8, dtype=np.uint8)
    pieces = Pieces(iter(flags), np.dtype(np.bool_))
    for start in range(0, size, PIECE):  # a multiple of 8, so that every portion begins with a byte
        part = np.packbits(pieces.take(min(PIECE, size - start)))
        bits[start // 8 : start // 8 + len(part)] = part
    return PackedMask(bits, shape)


def full_mask(shape: tuple[int, ...]) -> PackedMask:
    """Return a mask full of ones, made without its booleans.

    Parameters
    ----------
    shape
        Shape of the mask.
    """
    size = math.prod(shape)
    bits = np.full((size + 7) // 8, 0xFF, dtype=np.uint8)
    if size % 8:
        bits[-1] = 0xFF << (8 - size % 8) & 0xFF
    return PackedMask(bits, shape)


def nonzero_mask(array: StreamedArray) -> PackedMask:
    """Return where an array is not 0; NaN is not.

    Parameters
    ----------
    array
        A weight.
    """
    return packed(array.shape, (piece != 0 for piece in array.pieces()))


def active_values(array: StreamedArray, mask: PackedMask) -> StreamedArray:
    """Return the values of a weight where its mask is 1, in pieces.

    Parameters
    ----------
    array
        The weight.
    mask
        Of its shape.

    Returns
    -------
    StreamedArray
        Shape ``(active,)``.
    """

    def pieces() -> Iterator[NDArray[Any]]:
        start = 0
        for piece in array.pieces():
            stop = start + len(piece)
            bits = np.unpackbits(mask.bits[start // 8 : (stop + 7) // 8])[start % 8 : start % 8 + len(piece)]
            yield piece[bits.view(np.bool_)]
            start = stop

    return StreamedArray((mask.active,), array.dtype, pieces)
