"""The sets of hidden units of a network, and out of which of them units can be taken."""

import dataclasses
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from masktools.topology.graph import Node, Topology
from masktools.topology.permutation_groups import Member, PermutationGroup, permutation_groups
from masktools_train.compacting.cautious import NORMS_OVER_UNITS
from masktools_train.compacting.holders import Holders

__all__ = ["UnitSet", "unit_sets"]

_NOBODY = -1

_WITH_CONSTANTS = frozenset(
    "add iadd radd sub isub rsub subtract mul imul rmul multiply div truediv itruediv rtruediv rdiv divide true_divide "
    "clamp clamp_min clamp_max clip pow prelu".split()
)
"""Functions of each element that may be given a number for each unit."""


@dataclasses.dataclass(frozen=True)
class UnitSet:
    """Hidden units that lie along the same axes.

    Parameters
    ----------
    group
        Where they lie.
    refusal
        Why no unit can be taken out, or None.
    """

    group: PermutationGroup
    refusal: str | None

    @property
    def readers(self) -> tuple[Member, ...]:
        """Where layers read the units."""
        return tuple(member for member in self.group.members if member.axis == 1)


def unit_sets(topology: Topology, shapes: Mapping[str, tuple[int, ...]], holders: Holders) -> tuple[UnitSet, ...]:
    """Find the sets of hidden units, and say of each whether units can be taken out of it.

    Parameters
    ----------
    topology
        The operator graph.
    shapes
        Shape of the weight by layer name.
    holders
        Which modules hold the parameters.
    """
    groups = permutation_groups(topology, shapes)
    refusals: dict[int, str] = {}
    for number, group in enumerate(groups):
        problems = [holders.obstacle(member.layer) for member in (*group.members, *group.biases)]
        problem = next((text for text in problems if text), None)
        if not any(member.axis == 0 for member in group.members):
            problem = "its units are constants, not those of a layer"
        if problem:
            refusals[number] = problem
    rows = _rows(groups, shapes)
    owners: list[NDArray[np.intp]] = []
    for node in topology.nodes:
        sources = [owners[source] for source in node.inputs]
        owner = _owner(node, sources, rows)
        owners.append(owner)
        reason = _refusal(topology, node, sources, holders)
        if reason:
            for number in np.unique(np.concatenate([owner, *sources])):
                if number != _NOBODY:
                    refusals.setdefault(int(number), reason)
    return tuple(UnitSet(group, refusals.get(number)) for number, group in enumerate(groups))


def _rows(groups: tuple[PermutationGroup, ...], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, NDArray[np.intp]]:
    """Return for each layer the number of the group that each of its outputs is in."""
    rows = {name: np.full(shape[0], _NOBODY, dtype=np.intp) for name, shape in shapes.items()}
    for number, group in enumerate(groups):
        for member in group.members:
            if member.axis == 0:
                rows[member.layer][member.start : member.start + group.size * member.block] = number
    return rows


def _owner(node: Node, sources: list[NDArray[np.intp]], rows: Mapping[str, NDArray[np.intp]]) -> NDArray[np.intp]:
    """Return the number of the group that each unit of a node is in."""
    if node.weight is not None:
        return rows[node.weight]
    if node.op == "concat" and node.axes == (0,):
        return np.concatenate(sources)
    if node.op == "view" and len(sources[0]) != node.shape[0]:
        return np.full(node.shape[0], _NOBODY, dtype=np.intp)
    if node.op in ("add", "mul", "concat"):
        return np.max(sources, axis=0)  # type: ignore[no-any-return]
    if not sources or node.op == "attention":
        return np.full(node.shape[0], _NOBODY, dtype=np.intp)
    return np.repeat(sources[0], node.shape[0] // len(sources[0]))


def _refusal(topology: Topology, node: Node, sources: list[NDArray[np.intp]], holders: Holders) -> str | None:
    """Return why a node does not let units be taken out of the sets that it reads, or None."""
    what = node.label or node.op
    if node.op == "identity":
        if node.label in NORMS_OVER_UNITS:
            return f"a norm with statistics of its own input ({what})"
        if node.label == "batch_norm" and node.bias is None:
            return "a batch norm whose parameters the graph does not name"
        if node.label in _WITH_CONSTANTS and holders.may_hold_units(node.shape[0]):
            return f"an operation that may have a number for each unit ({what})"
    if node.op == "mix" and node.axes is not None and 0 in node.axes:
        return f"an operation over all units ({what})"
    if node.op == "view" and len(sources[0]) != node.shape[0]:
        return f"a part of the units is taken ({what})"
    if node.op in ("add", "mul") or (node.op == "concat" and node.axes != (0,)):
        together = np.stack(sources)
        if (together != together[0]).any():
            return f"constants or other units are joined to them ({what})"
    if node.op == "concat" and any(topology.nodes[source].op == "constant" for source in node.inputs):
        return f"constants beside them ({what})"
    return None
