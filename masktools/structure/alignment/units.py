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
    """A layer with one index for each unit at its two sides.

    Parameters
    ----------
    values
        Shape (units out, parts, units in). A part is a tap, and a place within the blocks of both units.
    out, fed
        Number of the group of the units at either side, None where their order is fixed.
    """

    values: NDArray[Any]
    out: int | None
    fed: int | None

    def turned(self) -> "UnitLayer":
        """Return the same layer with its sides exchanged."""
        return UnitLayer(np.ascontiguousarray(self.values.transpose(2, 1, 0)), self.fed, self.out)

    def permuted(self, permutations: Permutations) -> NDArray[Any]:
        """Return the values with the units of both sides in another order."""
        values = self.values if self.out is None else self.values[permutations[self.out]]
        return values if self.fed is None else values[:, :, permutations[self.fed]]


def unfold(arrays: Arrays, groups: Sequence[PermutationGroup]) -> dict[str, UnitLayer]:
    """Return the layers unit by unit.

    Parameters
    ----------
    arrays
        Masks or weights by layer name.
    groups
        The permutation groups of the network (`masktools.topology.permutation_groups`).
    """
    places = {(member.layer, member.axis): number for number, group in enumerate(groups) for member in group.members}
    layers = {}
    for name, array in arrays.items():
        out, fed = places.get((name, 0)), places.get((name, 1))
        rows, columns = (
            extent if place is None else groups[place].size
            for extent, place in zip(array.shape[:2], (out, fed), strict=True)
        )
        blocks = array.reshape(rows, array.shape[0] // rows, columns, array.shape[1] // columns, -1)
        values = np.ascontiguousarray(blocks.transpose(0, 1, 3, 4, 2)).reshape(rows, -1, columns)
        layers[name] = UnitLayer(values, out, fed)
    return layers


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
            if array.ndim <= member.axis or array.shape[member.axis] != group.size * member.block:
                raise StructureError(
                    f"{member.layer} of shape {array.shape} does not have {group.size} units of {member.block} along "
                    f"axis {member.axis}"
                )
            places = np.asarray(order)[:, None] * member.block + np.arange(member.block)
            result[member.layer] = array.take(places.ravel(), axis=member.axis)
    return result
