"""Reachability through a masked network: what the input reaches, what reaches the output, which weights do both.

All of it is boolean and exact, at the level of single positions of the maps: content can be shifted out of a small map
by corner taps, and a tap that only meets padding carries nothing, so channels alone would promise paths that are not
there. Masks are applied as operators, one matrix product a tap; the unrolled graph is never built.
"""

import itertools
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from masktools.topology.active import Taps
from masktools.topology.fields import Field, distinct, gather, spread, union
from masktools.topology.graph import ADAPTIVE, POOLS, Node, Topology
from masktools.topology.mixing import attended, attended_back, mixed
from masktools.topology.rearrangement import joined, part, returned, viewed
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


def backward(topology: Topology, masks: Masks, reached: tuple[Field, ...] | None = None) -> tuple[Field, ...]:
    """Find the units from which a path leads to a network output.

    Parameters
    ----------
    topology, masks
        As for `forward`.
    reached
        What `forward` returned for the same masks, if it is known. Only an attention asks for it: a query has a path
        only where the keys and the values that it is multiplied with are reached (`masktools.topology.mixing`).

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
    if reached is None:
        attends = any(node.op == "attention" for node in topology.nodes)
        reached = forward(topology, masks) if attends else ()
    offers: list[list[Field]] = [[] for _ in topology.nodes]
    fields: list[Field] = []
    for index in reversed(range(len(topology.nodes))):
        node = topology.nodes[index]
        if node.op == "output":
            offers[index].append(Field.full(node.shape, True))
        field = union(offers[index]) if offers[index] else Field.full(node.shape, False)
        fields.append(field)
        if node.inputs:
            for source, offer in zip(node.inputs, _back(topology, node, field, masks, reached), strict=True):
                offers[source].append(offer)
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
    reached = forward(topology, masks)
    return effective_of(topology, masks, reached, backward(topology, masks, reached))


def effective_of(
    topology: Topology, masks: Masks, reached: tuple[Field, ...], reaching: tuple[Field, ...]
) -> dict[str, NDArray[np.bool_]]:
    """Do as `effective_masks`, from what `forward` and `backward` returned for the same masks.

    A mask all of whose active weights are effective is returned as it is, without a copy.
    """
    effective: dict[str, NDArray[np.bool_]] = {}
    for node, behind in zip(topology.nodes, reaching, strict=True):
        if node.weight is not None:
            mask, known = masks[node.weight], effective.get(node.weight)
            if known is not mask:
                found = _effective(topology, node, mask, reached[node.inputs[0]], behind)
                effective[node.weight] = found if known is None or found is mask else known | found
    return effective


def _ahead(topology: Topology, node: Node, sources: list[Field], masks: Masks) -> Field:
    if node.op in ("input", "constant"):
        return Field.full(node.shape, node.op == "input")
    if node.op in ("add", "mul"):
        return union(sources)
    if node.weight is not None:
        taps = Taps(masks[node.weight], node.groups)
        return spread(sources[0], taps, tap_table(topology, node), node.shape)
    if node.op in _WINDOWED:
        return gather(sources[0], tap_table(topology, node), node.shape)
    if node.op in ("flatten", "view"):
        return viewed(sources[0], node)
    if node.axes is not None:
        return joined(sources, node.axes[0], node.shape) if node.op == "concat" else mixed(sources[0], node.axes)
    return attended(sources[2], node) if node.op == "attention" else sources[0]


def _back(topology: Topology, node: Node, field: Field, masks: Masks, reached: tuple[Field, ...]) -> list[Field]:
    """Return what each of the node's inputs reaches through it."""
    shapes = [topology.nodes[source].shape for source in node.inputs]
    if node.weight is not None:
        taps = Taps(masks[node.weight], node.groups, turned=True)
        return [spread(field, taps, inverse_table(topology, node), shapes[0])]
    if node.op in _WINDOWED:
        return [gather(field, inverse_table(topology, node), shapes[0])]
    if node.op in ("flatten", "view"):
        return [returned(field, node, shapes[0])]
    if node.op == "concat" and node.axes is not None:
        (axis,) = node.axes
        starts = itertools.accumulate((shape[axis] for shape in shapes), initial=0)
        return [part(field, axis, start, shape) for start, shape in zip(starts, shapes, strict=False)]
    if node.op == "mix" and node.axes is not None:
        return [mixed(field, node.axes)]
    if node.op == "attention":
        queries, keys, values = (reached[source] for source in node.inputs)
        return list(attended_back(field, queries, keys, values, node))
    return [field] * len(shapes)


_WINDOWED = frozenset({*POOLS, *ADAPTIVE, "resample"})
"""Operators that read positions of each unit by itself."""


def _effective(
    topology: Topology, node: Node, mask: NDArray[np.bool_], before: Field, behind: Field
) -> NDArray[np.bool_]:
    groups = node.groups
    fruitful = np.asarray(behind.columns.any(axis=0))[behind.index]
    full = np.asarray(before.columns.all(axis=0)), np.asarray(behind.columns.all(axis=0))
    parts: list[NDArray[np.bool_] | None] = []
    for positions in tap_table(topology, node):
        inside = (positions >= 0) & fruitful
        if not inside.any():
            parts.append(np.zeros((1, 1, 1), dtype=np.bool_))
            continue
        near, far = np.stack([before.index[positions[inside]], behind.index[inside]])
        if (full[0][near] & full[1][far]).any():
            parts.append(None)  # every active weight of the tap carries a path at such a position
            continue
        pairs = np.stack([near, far])
        near, far = pairs[:, distinct(pairs)[0]]
        read = before.columns[:, near].reshape(groups, mask.shape[1], -1).astype(np.float32)
        written = behind.columns[:, far].reshape(groups, mask.shape[0] // groups, -1).astype(np.float32)
        # One term for each pair of columns that the tap joins; positive when any of them carries a path.
        parts.append(np.matmul(written, read.swapaxes(1, 2)) > 0)
    if all(carried is None for carried in parts):
        return mask
    effective = mask.copy()
    for result, carried in zip(tap_matrices(effective, groups), parts, strict=True):
        if carried is not None:
            result &= carried
    return mask if np.array_equal(effective, mask) else effective
