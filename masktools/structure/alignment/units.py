"""Masks and weights as the hidden units see them: unfolded unit by unit, and put in another order."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from masktools.errors import StructureError
from masktools.topology.permutation_groups import PermutationGroup

__all__ = ["Arrays", "Permutations", "UnitLayer", "permute", "unfold"]

Arrays: TypeAlias = Mapping[str, NDArray[Any]]
"""Mask or weight by layer name, axes in PyTorch's order."""

Permutations: TypeAlias = Sequence[NDArray[np.intp]]
"""For each group and place the unit that is put there."""


@dataclasses.dataclass(frozen=True, eq=False)
class UnitLayer:
    """A layer with one index for each unit at its two sides; a part of one, where units of several groups lie there.

    Parameters
    ----------
    name
        Name of the layer.
    values
        Shape (units out, parts, units in). A part is a tap, and a place within the blocks of both units.
    out, fed
        Number of the group of the units at either side, None where their order is fixed.
    """

    name: str
    values: NDArray[Any]
    out: int | None
    fed: int | None

    def turned(self) -> "UnitLayer":
        """Return the same layer with its sides exchanged."""
        return UnitLayer(self.name, np.ascontiguousarray(self.values.transpose(2, 1, 0)), self.fed, self.out)

    def permuted(self, permutations: Permutations) -> NDArray[Any]:
        """Return the values with the units of both sides in another order."""
        values = self.values if self.out is None else self.values[permutations[self.out]]
        return values if self.fed is None else values[:, :, permutations[self.fed]]


def unfold(arrays: Arrays, groups: Sequence[PermutationGroup]) -> list[UnitLayer]:
    """Return the layers unit by unit.

    Parameters
    ----------
    arrays
        Masks or weights by layer name.
    groups
        The permutation groups of the network (`masktools.topology.permutation_groups`).

    Returns
    -------
    list of UnitLayer
        In the order of `arrays`; one for each pair of what lies along both axes of a layer: units of a group, or the
        indices between them, whose order is fixed.
    """
    return [
        UnitLayer(
            name, _unfolded(array[rows.places, columns.places], rows.units, columns.units), rows.group, columns.group
        )
        for name, array in arrays.items()
        for rows in _pieces(name, 0, array.shape[0], groups)
        for columns in _pieces(name, 1, array.shape[1], groups)
    ]


@dataclasses.dataclass(frozen=True)
class _Piece:
    """Neighbouring indices along an axis: units of a group, or single indices in a fixed order."""

    places: slice
    units: int
    group: int | None


def _pieces(name: str, axis: int, extent: int, groups: Sequence[PermutationGroup]) -> list[_Piece]:
    found = [
        _Piece(slice(member.start, member.start + group.size * member.block), group.size, number)
        for number, group in enumerate(groups)
        for member in group.members
        if (member.layer, member.axis) == (name, axis)
    ]
    found.sort(key=lambda piece: int(piece.places.start))
    ends = [0, *(int(end) for piece in found for end in (piece.places.start, piece.places.stop)), extent]
    fixed = [_Piece(slice(a, b), b - a, None) for a, b in zip(ends[::2], ends[1::2], strict=True) if a < b]
    return sorted([*found, *fixed], key=lambda piece: int(piece.places.start))


def _unfolded(array: NDArray[Any], rows: int, columns: int) -> NDArray[Any]:
    blocks = array.reshape(rows, array.shape[0] // rows, columns, array.shape[1] // columns, -1)
    return np.ascontiguousarray(blocks.transpose(0, 1, 3, 4, 2)).reshape(rows, -1, columns)


def permute(arrays: Arrays, groups: Sequence[PermutationGroup], permutations: Permutations) -> dict[str, NDArray[Any]]:
    """Put hidden units in another order.

    Parameters
    ----------
    arrays
        Weights, masks, biases, ... by the name of the parameter whose shape they have.
    groups
        The permutation groups.
    permutations
        For each group the unit that is put at each place.

    Returns
    -------
    dict
        New arrays under the same names; those that are in no group are returned as they are.

    Raises
    ------
    StructureError
        If an extent does not fit; the message names the parameter.
    """
    result = dict(arrays)
    for group, order in zip(groups, permutations, strict=True):
        for member in (*group.members, *group.biases):
            if member.layer not in result:
                continue
            array = result[member.layer]
            end, beside = member.start + group.size * member.block, member.start + member.after
            if array.ndim <= member.axis or array.shape[member.axis] != end + member.after:
                raise StructureError(
                    f"{member.layer} of shape {array.shape} does not have {group.size} units of {member.block} along "
                    f"axis {member.axis}" + (f", {member.start} before and {member.after} after them" if beside else "")
                )
            places = np.arange(array.shape[member.axis])
            moved = np.asarray(order)[:, None] * member.block + np.arange(member.block)
            places[member.start : end] = member.start + moved.ravel()
            result[member.layer] = array.take(places, axis=member.axis)
    return result
