"""Masks as packed bits: an eighth of the memory, and intersections by population count."""

import dataclasses
import functools
import math
from typing import Self

import numpy as np
from numpy.typing import NDArray

from masktools.errors import StructureError

__all__ = ["PackedMask"]


@dataclasses.dataclass(frozen=True, eq=False)
class PackedMask:
    """The mask of one layer, one bit a weight.

    Parameters
    ----------
    bits
        `numpy.packbits` of the flattened mask (C order, first weight in the highest bit of the first
        byte); the padding bits of the last byte are 0. Shape ``(ceil(size / 8),)``.
    shape
        Shape of the weight that the mask belongs to.

    Raises
    ------
    StructureError
        If the number of bytes does not fit the shape, an extent is negative, or a padding bit is set.
    """

    bits: NDArray[np.uint8]
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        if any(extent < 0 for extent in self.shape):
            raise StructureError(f"packed mask of shape {self.shape} has a negative extent")
        expected = (math.prod(self.shape) + 7) // 8
        if self.bits.dtype != np.uint8 or self.bits.shape != (expected,):
            raise StructureError(
                f"packed mask of shape {self.shape} needs {expected} bytes, got {self.bits.dtype} {self.bits.shape}"
            )
        padding = 8 * expected - self.size
        if padding and int(self.bits[-1]) & ((1 << padding) - 1):
            raise StructureError(f"packed mask of shape {self.shape} has a padding bit set")

    @classmethod
    def from_bool(cls, mask: NDArray[np.bool_]) -> Self:
        """Pack a boolean array.

        Raises
        ------
        StructureError
            If `mask` is not boolean: numbers are never guessed to be masks.
        """
        if mask.dtype != np.bool_:
            raise StructureError(f"a mask is boolean, got {mask.dtype}")
        return cls(np.packbits(mask, axis=None), tuple(mask.shape))

    def to_bool(self) -> NDArray[np.bool_]:
        """Return the mask as a boolean array of its layer's shape."""
        return np.unpackbits(self.bits, count=self.size).reshape(self.shape).view(np.bool_)

    @property
    def size(self) -> int:
        """Number of weights, active or not."""
        return math.prod(self.shape)

    @functools.cached_property
    def active(self) -> int:
        """Number of active weights."""
        return int(np.bitwise_count(self.bits).sum(dtype=np.int64))

    @property
    def density(self) -> float:
        """Share of active weights; NaN for a layer without weights."""
        return self.active / self.size if self.size else math.nan

    def intersection(self, other: Self) -> int:
        """Return the number of weights that are active in both masks.

        Raises
        ------
        StructureError
            If the shapes differ.
        """
        if self.shape != other.shape:
            raise StructureError(f"masks of shape {self.shape} and {other.shape} cannot be compared")
        return int(np.bitwise_count(self.bits & other.bits).sum(dtype=np.int64))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PackedMask):
            return NotImplemented
        return self.shape == other.shape and np.array_equal(self.bits, other.bits)

    __hash__ = None  # type: ignore[assignment]  # arrays are mutable
