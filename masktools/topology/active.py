"""The active weights of a layer, tap by tap, as propagation asks for them."""

import functools

import numpy as np
from numpy.typing import NDArray

from masktools.topology.windows import tap_matrices

__all__ = ["Taps"]


class Taps:
    """A mask as one matrix per tap and group, from near units to far ones.

    Parameters
    ----------
    mask
        Boolean, axes (out, in per group, kernel ...).
    groups
        Number of groups of channels.
    turned
        False leads from the inputs to the outputs, true from the outputs to the inputs.
    """

    def __init__(self, mask: NDArray[np.bool_], groups: int, *, turned: bool = False) -> None:
        self._mask = mask
        self._groups = groups
        self._turned = turned

    def matrices(self, tap: int) -> NDArray[np.bool_]:
        """Return the matrices of a tap, shape (groups, far units per group, near units per group)."""
        found = tap_matrices(self._mask, self._groups)[tap]
        return np.asarray(found.swapaxes(1, 2) if self._turned else found)

    def reads_any(self, tap: int) -> NDArray[np.bool_]:
        """Return for each far unit whether the tap joins it to any near unit, shape (far units,)."""
        return np.asarray(self._any[tap])

    @functools.cached_property
    def _any(self) -> NDArray[np.bool_]:
        out, fed = self._mask.shape[:2]
        rows = self._mask.reshape(self._groups, out // self._groups, -1)
        if self._turned:
            # Groups read different inputs: the units of a group are those of its rows.
            return np.ascontiguousarray(_folded(rows).reshape(self._groups * fed, -1).T)
        return np.ascontiguousarray(_folded(rows.reshape(out, fed, -1)).T)


def _folded(values: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return whether any value along the middle axis is true; halves are united, which keeps the memory in order."""
    while values.shape[1] > 1:
        half = values.shape[1] // 2
        united = values[:, :half] | values[:, half : 2 * half]
        if values.shape[1] % 2:
            united[:, 0] |= values[:, -1]
        values = united
    return values[:, 0]
