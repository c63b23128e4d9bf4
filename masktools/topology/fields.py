"""Which units of a node are reached, position by position, without a number for every position.

Away from the borders most positions of a map are reached in the same channels. A `Field` keeps each distinct column of
channels once and for every position the number of its column, so that a layer is applied to a few columns instead of
thousands of positions. Nothing is approximated: in the worst case each position has a column of its own.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["Field", "distinct", "gather", "spread", "union"]

_CODES = 2**16
"""Most values that a column of a table may have for it to be numbered through a list of them all."""


@dataclasses.dataclass(frozen=True, eq=False)
class Field:
    """A boolean for each unit of a node.

    Parameters
    ----------
    columns
        The columns that occur, all different and all in use; shape (channels, columns). Features count as
        channels of a map of one position.
    index
        Number of the column at each position, row-major; shape (positions,).
    shape
        Shape of the node: (features,) or (channels, height, width).
    """

    columns: NDArray[np.bool_]
    index: NDArray[np.intp]
    shape: tuple[int, ...]

    @classmethod
    def full(cls, shape: tuple[int, ...], value: bool) -> Self:
        """Return a field that is `value` everywhere."""
        return cls(
            columns=np.full((shape[0], 1), value, dtype=np.bool_),
            index=np.zeros(math.prod(shape[1:]), dtype=np.intp),
            shape=shape,
        )

    @classmethod
    def from_columns(cls, columns: NDArray[np.bool_], index: NDArray[np.intp], shape: tuple[int, ...]) -> Self:
        """Merge equal columns; every column must be in use."""
        first, number = distinct(np.packbits(columns, axis=0))
        return cls(columns[:, first], number[index], shape)

    @classmethod
    def from_array(cls, values: NDArray[np.bool_]) -> Self:
        """Take an array of the node's shape."""
        columns = values.reshape(values.shape[0], -1)
        return cls.from_columns(columns, np.arange(columns.shape[1], dtype=np.intp), tuple(values.shape))

    def to_array(self) -> NDArray[np.bool_]:
        """Return the booleans as an array of the node's shape."""
        return self.columns[:, self.index].reshape(self.shape)

    def reshape(self, shape: tuple[int, ...]) -> "Field":
        """Return the same elements, in C order, under another shape."""
        return self if shape == self.shape else Field.from_array(self.to_array().reshape(shape))

    @property
    def anywhere(self) -> NDArray[np.bool_]:
        """For each channel whether it is true at any position; shape (channels,)."""
        return np.asarray(self.columns.any(axis=1))

    @property
    def count(self) -> int:
        """Number of true units, each position of a channel counted by itself."""
        return int(self.columns.sum(axis=0, dtype=np.int64)[self.index].sum())


def distinct(table: NDArray[np.integer[Any]]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Find the different columns of a table and number them, in any order.

    Parameters
    ----------
    table
        Integers, shape (rows, columns), at least one of each.

    Returns
    -------
    first
        The first column with each number; shape (numbers,).
    number
        Number of each column; shape (columns,).
    """
    rows, columns = table.shape
    low = int(table.min())
    span = int(table.max()) - low + 1
    if span**rows <= _CODES:
        # Few values in few rows: a column is the digits of a small number.
        code = np.zeros(columns, dtype=np.intp)
        for row in table:
            code = code * span + (row - low)
        used = np.bincount(code, minlength=span**rows) > 0
        number = (np.cumsum(used) - 1)[code]
    else:
        keys = np.ascontiguousarray(table.T).view(np.dtype((np.void, rows * table.itemsize))).ravel()
        seen: dict[object, int] = {}
        number = np.fromiter((seen.setdefault(key, len(seen)) for key in keys.tolist()), dtype=np.intp, count=columns)
    first = np.empty(number.max() + 1, dtype=np.intp)
    first[number[::-1]] = np.arange(columns - 1, -1, -1, dtype=np.intp)
    return first, number


def spread(field: Field, taps: NDArray[np.bool_], table: NDArray[np.intp], shape: tuple[int, ...]) -> Field:
    """Apply the mask of a layer: a unit is true when an active weight joins it to a true unit.

    Parameters
    ----------
    field
        The units at the near end of the weights.
    taps
        Shape (taps, groups, far channels per group, near channels per group).
    table
        Position at the near end for each tap and position at the far end, or -1; shape (taps, far positions).
    shape
        Shape of the node at the far end.
    """
    met = _met(field.index, table)
    first, number = distinct(met)
    groups, near = taps.shape[1], taps.shape[3]
    source = field.columns.reshape(groups, near, -1).astype(np.float32)
    reached = np.zeros((shape[0], len(first)), dtype=np.bool_)
    for tap, columns in zip(taps, met[:, first], strict=True):
        if (columns >= 0).any():
            # Sums of ones and zeros: positive exactly when one of the products is 1, whatever the rounding.
            product = np.matmul(tap.astype(np.float32), source) > 0
            reached |= _with_padding(product.reshape(shape[0], -1))[:, columns]
    return Field.from_columns(reached, number, shape)


def gather(field: Field, table: NDArray[np.intp], shape: tuple[int, ...]) -> Field:
    """Unite, channel by channel, the positions that a window meets.

    Parameters
    ----------
    field
        The units that the window slides over.
    table
        Position met by each tap at each position of the result, or -1; shape (taps, positions).
    shape
        Shape of the result.
    """
    return _united(field.columns, _met(field.index, table), shape)


def union(fields: Sequence[Field]) -> Field:
    """Unite fields of the same shape, element by element."""
    first = fields[0]
    if all(field is first for field in fields):
        return first
    starts = np.cumsum([0, *(field.columns.shape[1] for field in fields[:-1])])
    index = np.stack([field.index + start for field, start in zip(fields, starts, strict=True)])
    return _united(np.concatenate([field.columns for field in fields], axis=1), index, first.shape)


def _met(index: NDArray[np.intp], table: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the number of the column that is met, -1 where nothing is."""
    return np.append(index, -1)[table]


def _with_padding(columns: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Append an empty column, which is then what number -1 stands for."""
    return np.pad(columns, ((0, 0), (0, 1)))


def _united(columns: NDArray[np.bool_], met: NDArray[np.intp], shape: tuple[int, ...]) -> Field:
    # In a union only the set of columns counts: sorted, equal sets become equal tuples.
    first, number = distinct(np.sort(met, axis=0))
    padded = _with_padding(columns)
    reached = np.zeros((columns.shape[0], len(first)), dtype=np.bool_)
    for row in met[:, first]:
        reached |= padded[:, row]
    return Field.from_columns(reached, number, shape)
