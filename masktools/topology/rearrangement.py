"""Where elements go when they are only put in another arrangement: views, and inputs side by side."""

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from masktools.topology.fields import Field, distinct
from masktools.topology.graph import Node, View

__all__ = ["Blocks", "joined", "part", "returned", "source_blocks", "source_elements", "source_units", "viewed"]


_KEPT = 2**18
"""Most elements of a view whose places are kept for the next mask, 1 MiB a view."""


def source_elements(view: View) -> NDArray[np.int32]:
    """Return the element of the source that each element is, counted in C order; shape (elements,)."""
    return _known_elements(view) if math.prod(view.sizes) <= _KEPT else _elements(view)


def _elements(view: View) -> NDArray[np.int32]:
    place = np.full(1, view.offset, dtype=np.int64)
    for size, stride in zip(view.sizes, view.strides, strict=True):
        place = (place[:, None] + np.arange(size, dtype=np.int64) * stride).reshape(-1)
    elements = place.astype(np.int32)
    elements.setflags(write=False)
    return elements


_known_elements = functools.lru_cache(maxsize=64)(_elements)


def source_units(node: Node, source: tuple[int, ...]) -> NDArray[np.intp]:
    """Return which units of the source share an element with which units of a `view` or `flatten`.

    Parameters
    ----------
    node
        The node.
    source
        Shape of what feeds it.

    Returns
    -------
    ndarray
        Pairs (unit of the source, unit of the node), each once, sorted by the latter; shape (2, pairs).
    """
    positions, block = math.prod(source[1:]), math.prod(node.shape[1:])
    if node.view is None:
        far = np.arange(node.shape[0], dtype=np.intp)
        return np.stack([far // positions, far])
    near = (source_elements(node.view) // positions).reshape(node.shape[0], block)
    if (near == near[:, :1]).all():
        return np.stack([near[:, 0].astype(np.intp), np.arange(node.shape[0], dtype=np.intp)])
    code = np.unique(np.arange(node.shape[0], dtype=np.int64)[:, None] * source[0] + near)
    return np.stack([code % source[0], code // source[0]]).astype(np.intp)


class Blocks(NamedTuple):
    """A view that makes `far` units of each `near` neighbouring ones, in one and the same way, `number` times."""

    first: int
    number: int
    near: int
    far: int


def source_blocks(node: Node, source: tuple[int, ...]) -> Blocks | None:
    """Return how a `view` makes its units of whole units of a source of the given shape, or None."""
    if node.view is None:
        return None  # excluded by Topology
    elements, positions = source_elements(node.view), math.prod(source[1:])
    spanned = int(elements.max()) // positions - int(elements.min()) // positions + 1
    # Each unit of the view is made of one or several units of the source, or several are made of one.
    for count in (node.shape[0], spanned):
        if node.shape[0] % count == 0:
            rows = elements.reshape(count, -1)
            step = int(rows[1, 0]) - int(rows[0, 0]) if count > 1 else positions
            first, near = int(rows[0].min()) // positions, step // positions
            inside = step % positions == 0 and near >= 1 and int(rows[0].max()) < (first + near) * positions
            if inside and (rows - rows[:1] == np.arange(count)[:, None] * step).all():
                return Blocks(first, count, near, node.shape[0] // count)
    return None


def viewed(field: Field, node: Node) -> Field:
    """Hand a field on through a `view` or `flatten`."""
    if node.view is None:
        return field.reshape(node.shape)
    return Field.from_array(field.to_array().reshape(-1)[source_elements(node.view)].reshape(node.shape))


def returned(field: Field, node: Node, shape: tuple[int, ...]) -> Field:
    """Hand a field back through a `view` or `flatten` to the source of the given shape: read anywhere is read."""
    if node.view is None:
        return field.reshape(shape)
    values = np.zeros(math.prod(shape), dtype=np.bool_)
    values[source_elements(node.view)[field.to_array().reshape(-1)]] = True
    return Field.from_array(values.reshape(shape))


def joined(fields: Sequence[Field], axis: int, shape: tuple[int, ...]) -> Field:
    """Put fields side by side along an axis."""
    if axis == 0:
        # Positions are the same ones: a column of the result is a column of each input on top of each other.
        index = np.stack([field.index for field in fields])
        first, number = distinct(index)
        columns = np.concatenate([field.columns[:, row[first]] for field, row in zip(fields, index, strict=True)])
        return Field.from_columns(columns, number, shape)
    return Field.from_array(np.concatenate([field.to_array() for field in fields], axis=axis))


def part(field: Field, axis: int, start: int, shape: tuple[int, ...]) -> Field:
    """Take what belongs to one of the inputs out of a field of fields side by side; `shape` is the input's."""
    if axis == 0:
        return Field.from_columns(field.columns[start : start + shape[0]], field.index, shape)
    return Field.from_array(field.to_array().take(range(start, start + shape[axis]), axis=axis))
