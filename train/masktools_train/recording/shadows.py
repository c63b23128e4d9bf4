"""Shadows: for every element of a tensor, which element of which example of a node it is.

A shadow is an int64 tensor of the shape of the tensor. An element that is number j (in C order, without the batch) of
the node's array of m elements, in example b, has shadow ``b * m + j``. Whatever only moves elements is followed exactly
by doing the same to the shadow.
"""

import dataclasses
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from masktools_train.recording.errors import UnfollowedError

__all__ = ["Counts", "Factor", "Layout", "layout_of", "separate"]


@dataclasses.dataclass(frozen=True)
class Factor:
    """A part of an axis: `size` steps of `stride` elements; of the batch, steps from example to example."""

    size: int
    stride: int
    batch: bool = False


@dataclasses.dataclass(frozen=True)
class Layout:
    """Where the elements of a tensor lie in the array of its node.

    Parameters
    ----------
    offset
        The element at the start of every axis.
    axes
        For each axis of the tensor the factors that it runs through, the innermost last; none where it has one element.
    """

    offset: int
    axes: tuple[tuple[Factor, ...], ...]

    def content(self, axis: int) -> tuple[Factor, ...]:
        """Return the factors of an axis without the batch."""
        return tuple(factor for factor in self.axes[axis] if not factor.batch)


class Counts:
    """The numbers 0, 1, 2, ...: most shadows are strided views of them, and take neither time nor memory."""

    def __init__(self) -> None:
        self._numbers = [torch.arange(1)]

    def strided(self, sizes: Sequence[int], strides: Sequence[int], offset: int = 0) -> Tensor:
        """Return ``offset + i * strides[0] + j * strides[1] + ...`` for all indices; no stride is negative."""
        last = offset + sum((size - 1) * stride for size, stride in zip(sizes, strides, strict=True))
        if last >= len(self._numbers[-1]):
            self._numbers.append(torch.arange(max(last + 1, 2 * len(self._numbers[-1]))))
        return torch.as_strided(self._numbers[-1], tuple(sizes), tuple(strides), offset)

    def contiguous(self, sizes: Sequence[int]) -> Tensor:
        """Count through an array in C order."""
        return self.strided(sizes, [math.prod(sizes[axis + 1 :]) for axis in range(len(sizes))])

    def holds(self, shadow: Tensor) -> bool:
        """Whether a shadow is a strided view of the numbers, so that its strides say all about it."""
        place = shadow.untyped_storage().data_ptr()
        return any(numbers.untyped_storage().data_ptr() == place for numbers in self._numbers)

    def same(self, one: Tensor, other: Tensor) -> bool:
        """Whether two shadows are equal, element by element."""
        if one is other:
            return True
        if self.holds(one) and self.holds(other):
            same_axes = all(
                size == 1 or near == far
                for size, near, far in zip(one.shape, one.stride(), other.stride(), strict=False)
            )
            return one.shape == other.shape and same_axes and one.storage_offset() == other.storage_offset()
        return torch.equal(one, other)


def layout_of(shadow: Tensor, counts: Counts, elements: int, batch: int) -> Layout | None:
    """Factorise a shadow.

    Parameters
    ----------
    shadow
        Of any shape.
    counts
        The numbers that it may be a view of.
    elements
        Number of elements of the node, without the batch.
    batch
        Number of examples, at least 2.

    Returns
    -------
    Layout or None
        None where the elements follow no regular steps along some axis, or axes depend on each other.

    Raises
    ------
    UnfollowedError
        If examples of the batch are left out or repeated.
    """
    found = _factors(shadow, counts)
    if found is None:
        return None
    offset, axes = found
    split = tuple(tuple(part for factor in axis for part in _split(factor, elements, batch)) for axis in axes)
    steps = [(factor.size - 1) * factor.stride for axis in split for factor in axis if not factor.batch]
    low, high = (offset + sum(limit(step, 0) for step in steps) for limit in (min, max))
    if sum(factor.batch for axis in split for factor in axis) != 1 or low < 0 or high >= elements:
        raise UnfollowedError("examples of the batch are mixed, left out or repeated")
    return Layout(offset, split)


def _factors(shadow: Tensor, counts: Counts) -> tuple[int, list[tuple[Factor, ...]]] | None:
    if shadow.numel() == 0:
        raise UnfollowedError("a tensor without elements cannot be followed")
    if counts.holds(shadow):
        pairs = zip(shadow.shape, shadow.stride(), strict=True)
        return int(shadow.storage_offset()), [(Factor(size, stride),) if size > 1 else () for size, stride in pairs]
    separated = separate(shadow)
    if separated is None:
        return None
    axes = [_radix(steps) for steps in separated[1]]
    regular = [axis for axis in axes if axis is not None]
    return (separated[0], regular) if len(regular) == len(axes) else None


def separate(shadow: Tensor) -> tuple[int, list[list[int]]] | None:
    """Write a shadow as an offset and a sum of a function for each axis, 0 at its start; None where it is none."""
    start = shadow.reshape(-1)[0]
    total = start.clone()
    steps = []
    for axis, size in enumerate(shadow.shape):
        first = tuple(slice(None) if other == axis else 0 for other in range(shadow.ndim))
        along = shadow[first] - start
        total = total + along.view([size if other == axis else 1 for other in range(shadow.ndim)])
        steps.append([int(step) for step in along.tolist()])
    return (int(start), steps) if torch.equal(total, shadow) else None


def _radix(steps: list[int]) -> tuple[Factor, ...] | None:
    """Write ``steps[i]`` as a sum over the digits of i, each times a stride; None where there is no such way."""
    if len(steps) == 1:
        return ()
    stride, run = steps[1], 1
    while run < len(steps) and steps[run] == run * stride:
        run += 1
    if len(steps) % run or any(step != steps[i - i % run] + i % run * stride for i, step in enumerate(steps)):
        return None
    outer = _radix(steps[::run])
    return None if outer is None else (*outer, Factor(run, stride))


def _split(factor: Factor, elements: int, batch: int) -> list[Factor]:
    """Take the steps from example to example out of a factor that goes beyond one example."""
    size, stride = factor.size, factor.stride
    if (size - 1) * abs(stride) < elements:
        return [factor]
    inner = elements // stride if stride > 0 and elements % stride == 0 else 0
    if stride == elements and size == batch:
        return [Factor(size, stride, batch=True)]
    if inner == 0 or size != batch * inner:
        raise UnfollowedError("examples of the batch are mixed, left out or repeated")
    return [Factor(batch, elements, batch=True), Factor(inner, stride)]
