"""Reachability through a masked network: what the input reaches, what reaches the output, which weights do both.

All of it is boolean and exact, at the level of single positions of the maps: content can be shifted out of a small map
by corner taps, and a tap that only meets padding carries nothing, so channels alone would promise paths that are not
there. Masks are applied as operators, one matrix product a tap; the unrolled graph is never built.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from masktools.topology.fields import Field, distinct, gather, spread, union
from masktools.topology.graph import Node, Topology
from masktools.topology.shapes import check_masks
from masktools.topology.windows import inverse_table, tap_matrices, tap_table

__all__ = ["backward", "effective_masks", "effective_of", "forward"]

Masks = Mapping[str, NDArray[np.bool_]]


def forward(topology: Topology, masks: Masks) -> tuple[Field, ...]:
    """Find the units that a path from a network input reaches.

    Parameters
    ----------
    topology
        The operator graph.
    masks
        Boolean mask by layer name, each of its weight's shape.

    Returns
    -------
    tuple of Field
        One for each node: true where the unit, at that position, is reached. Inputs are reached everywhere.

    Raises
    ------
    StructureError
        If graph and masks do not fit; the message names the layer.
    """
    check_masks(topology, masks)
    fields: list[Field] = []
    for node in topology.nodes:
        sources = [fields[source] for source in node.inputs]
        fields.append(_ahead(topology, node, sources, masks))
    return tuple(fields)


def backward(topology: Topology, masks: Masks) -> tuple[Field, ...]:
    """Find the units from which a path leads to a network output.

    Parameters
    ----------
    topology, masks
        As for `forward`.

    Returns
    -------
    tuple of Field
        One for each node: true where the unit, at that position, reaches an output. A node that feeds nothing
        reaches nothing.

    Raises
    ------
    StructureError
        If graph and masks do not fit; the message names the layer.
    """
    check_masks(topology, masks)
    offers: list[list[Field]] = [[] for _ in topology.nodes]
    fields: list[Field] = []
    for index in reversed(range(len(topology.nodes))):
        node = topology.nodes[index]
        if node.op == "output":
            offers[index].append(Field.full(node.shape, True))
        field = union(offers[index]) if offers[index] else Field.full(node.shape, False)
        fields.append(field)
        for source in dict.fromkeys(node.inputs):
            offers[source].append(_back(topology, node, field, masks))
    return tuple(reversed(fields))


def effective_masks(topology: Topology, masks: Masks) -> dict[str, NDArray[np.bool_]]:
    """Keep the weights through which a path leads from a network input to a network output.

    A weight is effective when it is active and there is a position of its layer's output where it reads a unit, inside
    the map, that the input reaches, and writes a unit that reaches the output. A weight that several nodes share is
    effective when it is in one of them.

    Parameters
    ----------
    topology, masks
        As for `forward`.

    Returns
    -------
    dict
        Boolean array by layer name, each a subset of its mask.

    Raises
    ------
    StructureError
        If graph and masks do not fit; the message names the layer.
    """
    return effective_of(topology, masks, forward(topology, masks), backward(topology, masks))


def effective_of(
    topology: Topology, masks: Masks, reached: tuple[Field, ...], reaching: tuple[Field, ...]
) -> dict[str, NDArray[np.bool_]]:
    """Do as `effective_masks`, from what `forward` and `backward` returned for the same masks."""
    effective: dict[str, NDArray[np.bool_]] = {}
    for node, behind in zip(topology.nodes, reaching, strict=True):
        if node.weight is not None:
            found = _effective(topology, node, masks[node.weight], reached[node.inputs[0]], behind)
            effective[node.weight] = effective[node.weight] | found if node.weight in effective else found
    return effective


def _ahead(topology: Topology, node: Node, sources: list[Field], masks: Masks) -> Field:
    if node.op == "input":
        return Field.full(node.shape, True)
    if node.op == "add":
        return union(sources)
    if node.op in ("pool2d", "adaptive_pool2d"):
        return gather(sources[0], tap_table(topology, node), node.shape)
    if node.weight is not None:
        taps = tap_matrices(masks[node.weight], _groups(node))
        return spread(sources[0], taps, tap_table(topology, node), node.shape)
    return sources[0].reshape(node.shape)


def _back(topology: Topology, node: Node, field: Field, masks: Masks) -> Field:
    shape = topology.nodes[node.inputs[0]].shape
    if node.op in ("pool2d", "adaptive_pool2d"):
        return gather(field, inverse_table(topology, node), shape)
    if node.weight is not None:
        taps = tap_matrices(masks[node.weight], _groups(node)).swapaxes(2, 3)
        return spread(field, taps, inverse_table(topology, node), shape)
    return field.reshape(shape)


def _effective(
    topology: Topology, node: Node, mask: NDArray[np.bool_], before: Field, behind: Field
) -> NDArray[np.bool_]:
    groups = _groups(node)
    read = before.columns.reshape(groups, mask.shape[1], -1).astype(np.float32)
    written = behind.columns.reshape(groups, mask.shape[0] // groups, -1).astype(np.float32)
    effective = np.zeros(mask.shape, dtype=np.bool_)
    fruitful = np.asarray(behind.columns.any(axis=0))[behind.index]
    views = zip(tap_matrices(mask, groups), tap_matrices(effective, groups), strict=True)
    for (active, result), positions in zip(views, tap_table(topology, node), strict=True):
        inside = (positions >= 0) & fruitful
        if inside.any():
            pairs = np.stack([before.index[positions[inside]], behind.index[inside]])
            near, far = pairs[:, distinct(pairs)[0]]
            # One term for each pair of columns that the tap joins; positive when any of them carries a path.
            result[...] = active & (np.matmul(written[:, :, far], read[:, :, near].swapaxes(1, 2)) > 0)
    return effective


def _groups(node: Node) -> int:
    return node.window.groups if node.window else 1
