"""Whole numbers far beyond what a float can hold, one for each of many things: how many paths lead there."""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["Counts"]

_BAND = 512
"""Exponents that one matrix product covers: 2**512 times any number of weights is still a finite float."""

_LOWEST = -(2**30)
"""The exponent of a zero says nothing, and must not push another number out of range."""

_LOG2 = math.log10(2)


@dataclasses.dataclass(frozen=True, eq=False)
class Counts:
    """Numbers ``mantissa * 2**exponent``, none negative; exact as long as they are whole and below 2**53.

    Parameters
    ----------
    mantissa
        0 or in [0.5, 1); shape (numbers,).
    exponent
        Shape (numbers,).
    """

    mantissa: NDArray[np.float64]
    exponent: NDArray[np.int32]

    @classmethod
    def of(cls, values: NDArray[np.float64], exponent: NDArray[np.int32] | int = 0) -> Self:
        """Return ``values * 2**exponent``."""
        mantissa, added = np.frexp(values)
        return cls(mantissa, added.astype(np.int32) + exponent)

    @classmethod
    def concatenated(cls, parts: "list[Counts]") -> Self:
        """Return the numbers of several one after the other."""
        return cls(np.concatenate([part.mantissa for part in parts]), np.concatenate([part.exponent for part in parts]))

    def __len__(self) -> int:
        return len(self.mantissa)

    def __getitem__(self, places: NDArray[np.integer[Any]] | slice) -> "Counts":
        return Counts(self.mantissa[places], self.exponent[places])

    @property
    def scale(self) -> NDArray[np.int32]:
        """The exponents, of zeros one below all others."""
        return np.where(self.mantissa > 0, self.exponent, _LOWEST).astype(np.int32)

    def plus(self, other: "Counts") -> "Counts":
        """Add number by number."""
        mine, theirs = self.scale, other.scale
        top = np.maximum(mine, theirs)
        return Counts.of(np.ldexp(self.mantissa, mine - top) + np.ldexp(other.mantissa, theirs - top), top)

    def times(self, other: "Counts") -> "Counts":
        """Multiply number by number."""
        return Counts.of(self.mantissa * other.mantissa, self.exponent + other.exponent)

    def along(self, near: NDArray[np.intp], far: NDArray[np.intp], size: int) -> "Counts":
        """Sum over pairs of units, sorted by the far one, among `size`."""
        places, starts = np.unique(far, return_index=True)
        if len(places) == len(far) == size:
            return self[near]
        exponent = self.scale[near]
        top = np.maximum.reduceat(exponent, starts)
        lengths = np.diff(np.append(starts, len(far)))
        sums = np.add.reduceat(np.ldexp(self.mantissa[near], exponent - np.repeat(top, lengths)), starts)
        total, scale = np.zeros(size), np.zeros(size, dtype=np.int32)
        total[places], scale[places] = sums, top
        return Counts.of(total, scale)

    def through(self, edges: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> "Counts":
        """Sum over edges: `edges` multiplies a vector by a matrix in which nothing is negative."""
        bands = np.where(self.mantissa > 0, self.exponent // _BAND, -1)
        parts = []
        for band in np.unique(bands[bands >= 0]).tolist() or [0]:
            inside = bands == band
            values = np.zeros(len(self))
            values[inside] = np.ldexp(self.mantissa[inside], self.exponent[inside] - band * _BAND)
            parts.append(Counts.of(edges(values), band * _BAND))
        return functools.reduce(Counts.plus, parts)

    def total(self) -> "Counts":
        """Return the sum of all, as one number."""
        return self.through(lambda values: values.sum(keepdims=True))

    def relative(self, unit: "Counts") -> NDArray[np.float64]:
        """Divide by one number that is not 0; what is 2**1074 times smaller is 0."""
        distance = np.maximum(self.scale - unit.exponent, -(2**20))
        return np.asarray(np.ldexp(self.mantissa / unit.mantissa, distance))

    def log10(self) -> NDArray[np.float64]:
        """Return the logarithms to base 10, -inf of 0."""
        # Small numbers are put together first, so that a whole number gives the logarithm of just that number.
        small = self.exponent < 1000
        whole = np.where(small, np.ldexp(self.mantissa, np.where(small, self.exponent, 0)), self.mantissa)
        logarithm = np.full(len(self), -np.inf)
        np.log10(whole, out=logarithm, where=whole > 0)
        return np.asarray(logarithm + np.where(small, 0, self.exponent) * _LOG2)
