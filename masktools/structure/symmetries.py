"""How many ways there are to permute hidden units without changing the masks."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masktools.structure.alignment.units import UnitLayer, unfold
from masktools.topology.graph import Topology
from masktools.topology.permutation_groups import PermutationGroup, permutation_groups
from masktools.topology.shapes import check_masks

__all__ = ["GroupSymmetries", "Symmetries", "log10_symmetries"]


@dataclasses.dataclass(frozen=True)
class GroupSymmetries:
    """Symmetries of the hidden units of one group, or of all groups together.

    Parameters
    ----------
    name
        The layer that first makes the units; ``total`` for all groups together.
    units
        Number of hidden units.
    distinct
        Number of units that are left when of several interchangeable ones only one is kept.
    largest
        Number of units in the largest set of interchangeable ones.
    log10_symmetries
        Logarithm to base 10 of the number of permutations that leave the masks as they are.
    log10_permutations
        The same of all permutations: what a dense or an empty mask would have.
    """

    name: str
    units: int
    distinct: int
    largest: int
    log10_symmetries: float
    log10_permutations: float

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class Symmetries:
    """Symmetries of the masks of a network.

    Parameters
    ----------
    groups
        One entry for each permutation group, in network order.
    total
        All groups together: numbers of permutations multiply, so their logarithms add up.
    """

    groups: tuple[GroupSymmetries, ...]
    total: GroupSymmetries

    def to_dict(self) -> dict[str, Any]:
        """Return ``{"groups": [..], "total": {..}}``."""
        return {"groups": [group.to_dict() for group in self.groups], "total": self.total.to_dict()}


def log10_symmetries(topology: Topology, masks: Mapping[str, NDArray[np.bool_]]) -> Symmetries:
    """Count the permutations of interchangeable hidden units: the product of k! over sets of k.

    Units are interchangeable when they change places without changing any mask: they have the same inputs and the same
    outputs, tap by tap, in all layers of their group. Units that nothing is joined to are interchangeable too.

    Parameters
    ----------
    topology
        The operator graph.
    masks
        Boolean mask by layer name, axes in PyTorch's order; exactly the layers of the graph.

    Raises
    ------
    StructureError
        If graph and masks do not fit; the message names the layer.

    Notes
    -----
    These are the symmetries that exchanges of two units generate. Permutations under which the masks stay only if
    units of several groups move together, or several pairs of one group, are not among them, so the number is a lower
    bound of all symmetries.

    Examples
    --------
    >>> from masktools.topology.graph import Node
    >>> nodes = Node("input", (), (2,)), Node("linear", (0,), (4,), "fc1"), Node("linear", (1,), (1,), "fc2")
    >>> masks = {"fc1": np.array([[1, 0], [1, 0], [1, 0], [0, 1]], bool), "fc2": np.ones((1, 4), bool)}
    >>> round(10 ** log10_symmetries(Topology((*nodes, Node("output", (2,), (1,)))), masks).total.log10_symmetries)
    6
    """
    check_masks(topology, masks)
    groups = permutation_groups(topology, {name: tuple(mask.shape) for name, mask in masks.items()})
    layers = unfold({name: masks[name] for name in topology.layers}, groups)
    found = tuple(_group(number, group, layers) for number, group in enumerate(groups))
    total = GroupSymmetries(
        name="total",
        units=sum(group.units for group in found),
        distinct=sum(group.distinct for group in found),
        largest=max((group.largest for group in found), default=0),
        log10_symmetries=math.fsum(group.log10_symmetries for group in found),
        log10_permutations=math.fsum(group.log10_permutations for group in found),
    )
    return Symmetries(found, total)


def _group(number: int, group: PermutationGroup, layers: Sequence[UnitLayer]) -> GroupSymmetries:
    rows = [np.empty((group.size, 0), dtype=np.bool_)]
    within = []
    for layer in layers:
        if layer.out == layer.fed == number:
            within.append(layer.values)
        elif layer.out == number:
            rows.append(layer.values.reshape(group.size, -1))
        elif layer.fed == number:
            rows.append(layer.values.transpose(2, 0, 1).reshape(group.size, -1))
    packed = np.packbits(np.concatenate(rows, axis=1), axis=1)
    alike: dict[bytes, list[int]] = {}
    for unit, row in enumerate(packed):
        alike.setdefault(row.tobytes(), []).append(unit)
    sizes = [len(some) for units in alike.values() for some in _split(units, within)]
    return GroupSymmetries(
        name=next(member.layer for member in group.members if member.axis == 0),
        units=group.size,
        distinct=len(sizes),
        largest=max(sizes),
        log10_symmetries=math.fsum(map(_log10_factorial, sizes)),
        log10_permutations=_log10_factorial(group.size),
    )


def _split(units: list[int], within: list[NDArray[np.bool_]]) -> list[list[int]]:
    """Split units that are alike to all other groups by the weights that join units of their own group.

    Being interchangeable is transitive: two exchanges make the third.
    """
    sets: list[list[int]] = []
    for unit in units:
        home = next((some for some in sets if all(_exchangeable(values, some[0], unit) for values in within)), None)
        if home is None:
            sets.append([unit])
        else:
            home.append(unit)
    return sets


def _exchangeable(values: NDArray[np.bool_], one: int, two: int) -> bool:
    """Whether weights within a group stay as they are when two of its units change places at both their ends."""
    order = np.arange(len(values))
    order[[one, two]] = two, one
    others = np.delete(order, [one, two])
    return np.array_equal(values[one], values[two][:, order]) and np.array_equal(
        values[others][:, :, one], values[others][:, :, two]
    )


def _log10_factorial(number: int) -> float:
    return math.lgamma(number + 1) / math.log(10)
