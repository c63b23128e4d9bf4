"""Exactly the k largest magnitudes of arrays that are never whole in memory.

The magnitudes of floating-point numbers are in the order of their bits, read as whole numbers. So the k-th largest is
found digit by digit: one pass over the arrays counts the sixteen highest bits of each, the next the sixteen
after those among what is still in question. Two passes find it for float32, four for float64, in half a MiB of memory.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masktools.errors import CheckpointError
from masktools.snapshot.streamed import StreamedArray

__all__ = ["Selection"]

_DIGIT = 16


class Selection:
    """The k largest magnitudes over one array or several together; equal ones go to the array and index that is first.

    Parameters
    ----------
    named
        Names and arrays, floating-point.
    count
        How many to select, at most all.
    file
        For messages.

    Raises
    ------
    CheckpointError
        If an array holds NaN.
    """

    def __init__(self, named: Sequence[tuple[str, StreamedArray]], count: int, file: str) -> None:
        wide = any(array.dtype.itemsize > 4 for _, array in named)
        self._float: np.dtype[Any] = np.dtype(np.float64 if wide else np.float32)
        self._bits: np.dtype[Any] = np.dtype(np.uint64 if wide else np.uint32)
        self._nothing = count == 0
        self._threshold = self._ties = 0
        if not self._nothing:
            self._threshold, self._ties = self._kth(named, count, file)

    def _kth(self, named: Sequence[tuple[str, StreamedArray]], count: int, file: str) -> tuple[int, int]:
        """Return the bits of the k-th largest magnitude, and how many of those that equal it are selected."""
        infinite = int(np.array(np.inf, self._float).view(self._bits))
        width, prefix, missing = 8 * self._bits.itemsize, 0, count
        for shift in range(width - _DIGIT, -1, -_DIGIT):
            counts = np.zeros(1 << _DIGIT, dtype=np.int64)
            for name, array in named:
                for piece in array.pieces():
                    bits = self._magnitudes(piece)
                    if shift + _DIGIT == width:
                        if bits.size and int(bits.max()) > infinite:
                            raise CheckpointError(f"{file}: {name}: holds NaN, so its largest weights are not known")
                    else:
                        bits = bits[(bits >> (shift + _DIGIT)) == prefix]
                    digits = ((bits >> shift) & ((1 << _DIGIT) - 1)).astype(np.int64)
                    counts += np.bincount(digits, minlength=len(counts))
            from_top = np.cumsum(counts[::-1])
            place = int(np.searchsorted(from_top, missing))
            missing -= int(from_top[place] - counts[::-1][place])
            prefix = prefix << _DIGIT | (len(counts) - 1 - place)
        return prefix, missing

    def _magnitudes(self, piece: NDArray[Any]) -> NDArray[Any]:
        # The highest bit is the sign.
        return piece.astype(self._float).view(self._bits) & ((1 << (8 * self._bits.itemsize - 1)) - 1)

    def flags(self, array: StreamedArray) -> Iterator[NDArray[np.bool_]]:
        """Yield for each piece which of its elements are selected; call it once for each array, in their order.

        Parameters
        ----------
        array
            One of the arrays.
        """
        for piece in array.pieces():
            if self._nothing:
                yield np.zeros(len(piece), dtype=np.bool_)
                continue
            bits = self._magnitudes(piece)
            ties = np.flatnonzero(bits == self._threshold)[: self._ties]
            self._ties -= len(ties)
            chosen = bits > self._threshold
            chosen[ties] = True
            yield chosen
