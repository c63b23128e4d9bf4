"""Masks of many moments as packed bits, and how many weights each pair of them has in common."""

import dataclasses
import functools
import os
from collections.abc import Iterable, Mapping
from typing import Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from masktools.errors import StructureError
from masktools.masks import PackedMask

__all__ = ["MaskStack", "rows_in_common"]

_BLOCK = 2**14
"""Bytes of each mask that are counted at once: a block of a hundred masks stays in the cache."""

_PIECE = 16 * _BLOCK
"""Bytes of each mask that a thread takes at once."""

_Counts: TypeAlias = dict[str, NDArray[np.int64]]


@dataclasses.dataclass(frozen=True, eq=False)
class MaskStack:
    """The masks of several moments, all of the same layers.

    Parameters
    ----------
    bits
        Packed masks by layer, as `PackedMask.bits`; shape (moments, bytes).
    shapes
        Shape of each layer's weight.
    """

    bits: Mapping[str, NDArray[np.uint8]]
    shapes: Mapping[str, tuple[int, ...]]

    @classmethod
    def of(cls, moments: Iterable[Mapping[str, PackedMask]], count: int) -> Self:
        """Stack masks; only one moment at a time is held beside the stack.

        Parameters
        ----------
        moments
            Masks by layer name.
        count
            Number of moments.

        Raises
        ------
        StructureError
            If there are none, more or fewer than `count`, or their layers differ; the message names the layer.
        """
        bits: dict[str, NDArray[np.uint8]] = {}
        shapes: dict[str, tuple[int, ...]] = {}
        place = -1
        for place, masks in enumerate(moments):
            if place == 0:
                shapes = {name: mask.shape for name, mask in masks.items()}
                bits = {name: np.empty((count, len(mask.bits)), dtype=np.uint8) for name, mask in masks.items()}
            if place >= count or masks.keys() != shapes.keys():
                different = sorted(masks.keys() ^ shapes.keys())
                raise StructureError(f"moment {place} does not fit a stack of {count}: {', '.join(different)}")
            for name, mask in masks.items():
                if mask.shape != shapes[name]:
                    raise StructureError(
                        f"layer {name!r} has shape {mask.shape} at moment {place} but {shapes[name]} at the first"
                    )
                bits[name][place] = mask.bits
        if place + 1 != count or not count:
            raise StructureError(f"a stack of {count} moments got {place + 1}")
        return cls(bits, shapes)

    def __len__(self) -> int:
        return next((len(rows) for rows in self.bits.values()), 0)

    @functools.cached_property
    def active(self) -> dict[str, NDArray[np.int64]]:
        """Number of active weights of each layer at each moment, shape (moments,)."""
        nothing = {name: np.zeros((1, rows.shape[1]), dtype=np.uint8) for name, rows in self.bits.items()}
        return {name: counts[:, 0] for name, counts in _distances(self.bits, nothing).items()}

    def intersections(self, other: Self | None = None) -> dict[str, NDArray[np.int64]]:
        """Return how many weights of each layer are active at both moments of each pair.

        Parameters
        ----------
        other
            A stack of the same layers whose moments are the columns; None takes the stack itself.

        Returns
        -------
        dict
            Exact counts by layer, shape (moments, moments of `other`).

        Raises
        ------
        StructureError
            If the layers or their shapes differ.

        Notes
        -----
        From Hamming distances H, counted by `numkong` in blocks that fit the cache: the intersection is
        (K1 + K2 - H) / 2.
        """
        if other is not None and dict(other.shapes) != dict(self.shapes):
            different = sorted(
                name for name in self.shapes.keys() | other.shapes if self.shapes.get(name) != other.shapes.get(name)
            )
            raise StructureError(f"stacks of different layers cannot be compared: {', '.join(different)}")
        columns = self.active if other is None else other.active
        distances = _distances(self.bits, None if other is None else other.bits)
        return {
            name: (self.active[name][:, None] + columns[name][None, :] - distance) // 2
            for name, distance in distances.items()
        }


def rows_in_common(rows: NDArray[np.bool_], columns: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return in how many places a row of one array and a row of another are both true: ``rows @ columns.T``, exact.

    Parameters
    ----------
    rows, columns
        Boolean, shapes (n, places) and (m, places).

    Returns
    -------
    ndarray
        Shape (n, m). Counting bits is an order of magnitude faster than a product of floats for wide arrays.
    """
    sides = [MaskStack({"": np.packbits(side, axis=1)}, {"": side.shape[1:]}) for side in (rows, columns)]
    return sides[0].intersections(sides[1])[""]


def _distances(rows: Mapping[str, NDArray[np.uint8]], columns: Mapping[str, NDArray[np.uint8]] | None) -> _Counts:
    """Return the Hamming distance of each row to each column, or to each other row, by layer."""
    from concurrent.futures import ThreadPoolExecutor

    pieces = [
        (name, start, min(start + _PIECE, bits.shape[1]))
        for name, bits in rows.items()
        for start in range(0, bits.shape[1], _PIECE)
    ]
    total = {
        name: np.zeros((len(bits), len(bits if columns is None else columns[name])), dtype=np.int64)
        for name, bits in rows.items()
    }

    def count(piece: tuple[str, int, int]) -> tuple[str, NDArray[np.int64]]:
        name, start, stop = piece
        return name, _piece(rows[name], None if columns is None else columns[name], start, stop)

    if len(pieces) == 1:
        name, part = count(pieces[0])
        return {**total, name: part}
    # The counting leaves Python's lock, so threads share the work; sums of integers do not depend on their order.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    with ThreadPoolExecutor(cores) as pool:
        for name, part in pool.map(count, pieces):
            total[name] += part
    return total


def _piece(rows: NDArray[np.uint8], columns: NDArray[np.uint8] | None, start: int, stop: int) -> NDArray[np.int64]:
    """Count the differences in a range of bytes."""
    import numkong  # only comparisons of many masks need it

    total = np.zeros((len(rows), len(rows if columns is None else columns)), dtype=np.int64)
    for low in range(start, stop, _BLOCK):
        block = slice(low, min(low + _BLOCK, stop))
        if columns is None:
            total += np.asarray(numkong.hammings_symmetric(rows[:, block], dtype="uint1"))
        else:
            packed = numkong.hammings_pack(np.ascontiguousarray(columns[:, block]), dtype="uint1")
            total += np.asarray(numkong.hammings_packed(np.ascontiguousarray(rows[:, block]), packed))
    if columns is not None:
        return total
    upper = np.triu(total, 1)  # nothing is promised of what lies below
    return upper + upper.T
