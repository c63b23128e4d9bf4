"""Which weights matter to the outputs, where connectivity alone would be too sure of itself.

For connectivity a norm is an identity. For values it is not: a layer norm of a position reads all its units, so that a
unit that leads nowhere else still changes the others. Here such nodes read whatever their statistics read, and queries
and keys of an attention count whether or not the input reaches their counterparts: constants can differ from position
to position.
"""

import dataclasses
from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import NDArray

from masktools.topology.active import Taps
from masktools.topology.fields import Field, distinct, spread
from masktools.topology.graph import Node, Topology
from masktools.topology.reach import backward, effective_of
from masktools.topology.windows import inverse_table

__all__ = ["NORMS_OVER_UNITS", "cautious", "meeting", "read_by", "useful_masks"]

NORMS_OVER_UNITS = frozenset({"layer_norm", "group_norm", "rms_norm", "instance_norm"})
"""Norms with statistics of several units, or of several positions of each unit."""

Masks = Mapping[str, NDArray[np.bool_]]


def cautious(topology: Topology, running: Collection[str]) -> Topology:
    """Return the graph with every norm that has statistics of its own input as a node that reads them.

    Parameters
    ----------
    topology
        The operator graph.
    running
        Names of the offsets of batch norms with running statistics, which are constants in evaluation.
    """
    return Topology(tuple(_cautious(node, running) for node in topology.nodes))


def _cautious(node: Node, running: Collection[str]) -> Node:
    if node.op != "identity":
        return node
    if node.label in NORMS_OVER_UNITS:
        return dataclasses.replace(node, op="mix", axes=tuple(range(len(node.shape))))
    if node.label == "batch_norm" and node.bias not in running and len(node.shape) > 1:
        return dataclasses.replace(node, op="mix", axes=tuple(range(1, len(node.shape))))
    return node


def useful_masks(topology: Topology, masks: Masks) -> tuple[dict[str, NDArray[np.bool_]], tuple[Field, ...]]:
    """Keep the weights that can change an output, whether or not the input reaches them.

    Parameters
    ----------
    topology
        A cautious operator graph.
    masks
        Boolean mask by layer name.

    Returns
    -------
    masks
        Without weights whose unit reaches no output, and weights that only ever meet padding there.
    reaching
        For each node which of its units reach an output, and where.
    """
    everywhere = tuple(Field.full(node.shape, True) for node in topology.nodes)
    reaching = backward(topology, masks, everywhere)
    return effective_of(topology, masks, everywhere, reaching), reaching


def read_by(topology: Topology, node: Node, mask: NDArray[np.bool_], reaching: Field) -> Field:
    """Return which units of its source a layer reads, and where, for outputs that reach an output of the network."""
    taps = Taps(mask, node.groups, turned=True)
    return spread(reaching, taps, inverse_table(topology, node), topology.nodes[node.inputs[0]].shape)


def meeting(one: Field, other: Field) -> NDArray[np.bool_]:
    """Return for each unit whether both fields are true at a common position; shape (units,)."""
    pairs = np.stack([one.index, other.index])
    near, far = pairs[:, distinct(pairs)[0]]
    return np.asarray((one.columns[:, near] & other.columns[:, far]).any(axis=1))
