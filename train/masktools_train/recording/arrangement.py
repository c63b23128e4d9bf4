"""Arrangements: which axes of a tensor are the units of a node, and which its positions."""

import dataclasses
import math
from collections.abc import Mapping, Sequence

from torch import Tensor

from masktools.topology.graph import View
from masktools_train.recording.errors import UnfollowedError
from masktools_train.recording.shadows import Counts, Factor, Layout

__all__ = ["Arrangement", "Extent", "merged_view", "natural_axes"]

_MOST_POSITIONS = 4
"""As many axes of positions as a node has; further ones are merged."""


@dataclasses.dataclass(frozen=True)
class Extent:
    """An axis of a tensor: elements outside the batch, whether the batch runs along it, and elements inside of it."""

    outer: int
    batch: bool
    inner: int

    @property
    def size(self) -> int:
        """Number of elements of one example along the axis."""
        return self.outer * self.inner


@dataclasses.dataclass(frozen=True)
class Arrangement:
    """A node and a tensor of the same elements.

    Parameters
    ----------
    extents
        One for each axis of the tensor.
    units
        The axes of the tensor that make the units, in order; none for a single unit.
    positions
        The axes that make the positions, in order.
    batch
        Number of examples.
    """

    extents: tuple[Extent, ...]
    units: tuple[int, ...]
    positions: tuple[int, ...]
    batch: int

    @classmethod
    def of(cls, layout: Layout, units: Sequence[int], positions: Sequence[int] | None, batch: int) -> "Arrangement":
        """Arrange a tensor of some layout; all axes that are no units are positions, unless they are given."""
        extents = tuple(_extent(factors) for factors in layout.axes)
        if any(extents[axis].batch for axis in units):
            raise UnfollowedError("the examples of the batch lie among the units")
        if positions is None:
            positions = [axis for axis in range(len(extents)) if axis not in units]
        kept = tuple(axis for axis in positions if not extents[axis].batch or extents[axis].size > 1)
        return cls(extents, tuple(units), kept, batch)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the node."""
        positions = [self.extents[axis].size for axis in self.positions]
        while len(positions) > _MOST_POSITIONS:
            positions[:2] = [positions[0] * positions[1]]
        return (math.prod(self.extents[axis].size for axis in self.units), *positions)

    def node_axis(self, axis: int) -> int:
        """Return the axis of the node that an axis of the tensor is."""
        if axis in self.units:
            return 0
        surplus = max(0, len(self.positions) - _MOST_POSITIONS)
        place = self.positions.index(axis) - surplus
        if place < 0 or (surplus and place == 0):
            raise UnfollowedError(f"a tensor has more than {_MOST_POSITIONS} axes of positions")
        return place + 1

    def resized(self, sizes: Mapping[int, int]) -> "Arrangement":
        """Give other sizes to some axes, none of which is the batch."""
        extents = list(self.extents)
        for axis, size in sizes.items():
            if extents[axis].batch:
                raise UnfollowedError("the examples of the batch lie along an axis that is changed")
            extents[axis] = Extent(1, batch=False, inner=size)
        return dataclasses.replace(self, extents=tuple(extents))

    def shadow(self, counts: Counts) -> Tensor:
        """Return the shadow of the tensor on a node that has this arrangement."""
        strides = {}
        elements = 1
        for axis in reversed((*self.units, *self.positions)):
            strides[axis] = elements
            elements *= self.extents[axis].size
        sizes, steps = [], []
        for axis, extent in enumerate(self.extents):
            stride = strides.get(axis, 0)
            sizes += [extent.outer, self.batch if extent.batch else 1, extent.inner]
            steps += [extent.inner * stride, elements, stride]
        whole = [extent.size * (self.batch if extent.batch else 1) for extent in self.extents]
        return counts.strided(sizes, steps).reshape(whole)


def _extent(factors: Sequence[Factor]) -> Extent:
    places = [place for place, factor in enumerate(factors) if factor.batch]
    cut = places[0] if places else 0
    outer = math.prod(factor.size for factor in factors[:cut])
    return Extent(outer, bool(places), math.prod(f.size for f in factors[cut:] if not f.batch))


def merged_view(layout: Layout, axes: Sequence[int]) -> View:
    """Return the view that runs through axes of a layout, the last one fastest, with as few sizes as possible."""
    factors: list[Factor] = []
    for factor in (factor for axis in axes for factor in layout.content(axis)):
        if factors and factors[-1].stride == factor.size * factor.stride:
            factor = Factor(factors.pop().size * factor.size, factor.stride)
        factors.append(factor)
    return View(tuple(f.size for f in factors), tuple(f.stride for f in factors), layout.offset)


def natural_axes(layout: Layout, shape: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Tell units from positions as a node does.

    Parameters
    ----------
    layout
        Layout of a tensor on the node.
    shape
        Shape of the node.

    Returns
    -------
    units
        The axes of the tensor along which the unit of the node changes, in the order of the node.
    positions
        The other axes without the batch, in the order of the node.
    """
    positions = math.prod(shape[1:])
    reach = {axis: max((abs(f.stride) for f in layout.content(axis)), default=0) for axis in range(len(layout.axes))}
    units = [
        axis
        for axis in reach
        if any(abs(factor.stride) * (factor.size - 1) >= positions for factor in layout.content(axis))
    ]
    rest = [axis for axis in reach if axis not in units]
    if not units:
        # A single unit may still have an axis of its own: where convolutions have it, or linear layers.
        single = [axis for axis in rest if not layout.axes[axis]]
        usual = 1 if len(layout.axes) >= _IMAGE_AXES else len(layout.axes) - 1
        units = [usual] if usual in single else single[:1]
        if not units and sum(not any(f.batch for f in layout.axes[axis]) for axis in rest) == 1:
            units = [axis for axis in rest if not any(f.batch for f in layout.axes[axis])]
        rest = [axis for axis in rest if axis not in units]
    rest = [axis for axis in rest if layout.content(axis) or not layout.axes[axis]]
    moving = [axis for axis in rest if reach[axis]]
    ordered = iter(sorted(moving, key=lambda axis: -reach[axis]))
    return (
        tuple(sorted(units, key=lambda axis: -reach[axis])),
        tuple(next(ordered) if reach[axis] else axis for axis in rest),
    )


_IMAGE_AXES = 4
