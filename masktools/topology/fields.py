"""Which units of a node are reached, position by position, without a number for every position.

Away from the borders most positions of a map are reached in the same channels. A `Field` keeps each distinct column of
channels once and for every position the number of its column, so that a layer is applied to a few columns instead of
thousands of positions. Nothing is approximated: in the worst case each position has a column of its own.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from masktools.topology.active import Taps

__all__ = ["Field", "distinct", "gather", "spread", "union"]

_KEPT = 64
"""Tables whose borders are remembered; they are those of `masktools.topology.windows`, which keeps as many."""

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
        if columns.shape[1] == 1 or (columns == columns[:, :1]).all():
            return cls(columns[:, :1], np.zeros_like(index), shape)
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
        number = _numbered(np.ascontiguousarray(table.T))
    first = np.empty(number.max() + 1, dtype=np.intp)
    first[number[::-1]] = np.arange(columns - 1, -1, -1, dtype=np.intp)
    return first, number


def spread(field: Field, taps: "Taps", table: NDArray[np.intp], shape: tuple[int, ...]) -> Field:
    """Apply the mask of a layer: a unit is true when an active weight joins it to a true unit.

    Parameters
    ----------
    field
        The units at the near end of the weights.
    taps
        The active weights, tap by tap.
    table
        Position at the near end for each tap and position at the far end, or -1; shape (taps, far positions).
    shape
        Shape of the node at the far end.
    """
    met, number = _different(field, table)
    reached = np.zeros((shape[0], met.shape[1]), dtype=np.bool_)
    for tap, columns in enumerate(met):
        if (columns >= 0).any():
            reached |= _with_padding(_joined(field.columns, taps, tap))[:, columns]
    return Field.from_columns(reached, number, shape)


def _joined(columns: NDArray[np.bool_], taps: "Taps", tap: int) -> NDArray[np.bool_]:
    """Return which far units a tap joins to a true unit, for each column; shape (far units, columns)."""
    full, some = columns.all(axis=0), columns.any(axis=0)
    # Columns where all units are true, or none, need no product: mostly there are no others.
    joined = full & taps.reads_any(tap)[:, None]
    rest = np.flatnonzero(some & ~full)
    if len(rest):
        matrices = taps.matrices(tap)
        source = columns[:, rest].reshape(matrices.shape[0], matrices.shape[2], -1).astype(np.float32)
        # Sums of ones and zeros: positive exactly when one of the products is 1, whatever the rounding.
        joined[:, rest] = (np.matmul(matrices.astype(np.float32), source) > 0).reshape(len(joined), -1)
    return joined


_last: dict[int, tuple[NDArray[np.intp], tuple[NDArray[np.intp], NDArray[np.intp]]]] = {}
"""Where positions differ in what they meet of a map that is the same everywhere, for the tables seen last."""


def _different(field: Field, table: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the different tuples of columns that positions meet (-1 for none), and the number of each position's."""
    if field.columns.shape[1] != 1:
        met = np.append(field.index, -1)[table]
        first, number = distinct(met)
        return met[:, first], number
    # Positions differ in their padding only, and that is a matter of geometry.
    known = _last.get(id(table))
    if known is None or known[0] is not table:
        if len(_last) >= _KEPT:
            _last.clear()
        inside = np.minimum(table, 0)
        first, number = distinct(inside)
        known = _last[id(table)] = table, (inside[:, first], number)
    return known[1]


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
    return _united(field.columns, *_different(field, table), shape)


def union(fields: Sequence[Field]) -> Field:
    """Unite fields of the same shape, element by element."""
    first = fields[0]
    if all(field is first for field in fields):
        return first
    if all(field.columns.shape[1] == 1 for field in fields):
        return Field(np.any([field.columns for field in fields], axis=0), first.index, first.shape)
    starts = np.cumsum([0, *(field.columns.shape[1] for field in fields[:-1])])
    index = np.stack([field.index + start for field, start in zip(fields, starts, strict=True)])
    found, number = distinct(index)
    columns = np.concatenate([field.columns for field in fields], axis=1)
    return _united(columns, index[:, found], number, first.shape)


def _numbered(rows: NDArray[np.integer[Any]]) -> NDArray[np.intp]:
    """Return a number for each row, equal for equal rows."""
    odd = np.random.default_rng(0).integers(0, 2**64, rows.shape[1], dtype=np.uint64) | np.uint64(1)
    code = (rows.astype(np.uint64) * odd).sum(axis=1, dtype=np.uint64)
    _, first, number = np.unique(code, return_index=True, return_inverse=True)
    if (rows[first][number] == rows).all():
        return number.astype(np.intp)
    # Two different rows have the same code: next to impossible, but nothing here rests on luck.
    seen: dict[bytes, int] = {}
    return np.fromiter((seen.setdefault(row.tobytes(), len(seen)) for row in rows), dtype=np.intp, count=len(rows))


def _with_padding(columns: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Append an empty column, which is then what number -1 stands for."""
    return np.concatenate([columns, np.zeros((len(columns), 1), dtype=np.bool_)], axis=1)


def _united(
    columns: NDArray[np.bool_], met: NDArray[np.intp], number: NDArray[np.intp], shape: tuple[int, ...]
) -> Field:
    padded = _with_padding(columns)
    reached = np.zeros((columns.shape[0], met.shape[1]), dtype=np.bool_)
    for row in met:
        reached |= padded[:, row]
    return Field.from_columns(reached, number, shape)
