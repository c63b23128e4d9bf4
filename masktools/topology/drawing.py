"""The operator graph with the numbers of a mask on it, as plain nodes and edges."""

import dataclasses
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from masktools.topology.graph import Node, Topology

__all__ = ["Drawing", "DrawnNode", "drawing"]


@dataclasses.dataclass(frozen=True)
class DrawnNode:
    """A node as it is drawn.

    Parameters
    ----------
    name
        What is written on it: the weight, or what the operator is called.
    op
        The operator.
    shape
        Its shape, as text.
    facts
        Further attributes: counts of weights, geometry.
    """

    name: str
    op: str
    shape: str
    facts: Mapping[str, str | int | float]


@dataclasses.dataclass(frozen=True)
class Drawing:
    """Nodes, and edges from node to node by number."""

    nodes: tuple[DrawnNode, ...]
    edges: tuple[tuple[int, int], ...]


def drawing(topology: Topology, masks: Mapping[str, NDArray[np.bool_]] | None = None) -> Drawing:
    """Return the operator graph ready to be drawn.

    Parameters
    ----------
    topology
        The operator graph.
    masks
        Masks by layer name; with them every layer carries its numbers of weights.
    """
    nodes = tuple(
        _drawn(node, None if masks is None or node.weight is None else masks[node.weight]) for node in topology.nodes
    )
    edges = tuple((source, index) for index, node in enumerate(topology.nodes) for source in node.inputs)
    return Drawing(nodes, edges)


def _drawn(node: Node, mask: NDArray[np.bool_] | None) -> DrawnNode:
    facts: dict[str, str | int | float] = {}
    if node.window is not None:
        window = dataclasses.asdict(node.window)
        groups = window.pop("groups")
        facts |= {key: "x".join(map(str, numbers)) for key, numbers in window.items() if set(numbers) != {_PLAIN[key]}}
        facts |= {"groups": groups} if groups > 1 else {}
    if node.heads is not None:
        facts |= {"heads": node.heads.count, "causal": str(node.heads.causal).lower()}
    if node.bias is not None:
        facts["bias"] = node.bias
    if mask is not None:
        active = int(np.count_nonzero(mask))
        facts |= {"weights": mask.size, "active": active, "density": active / mask.size}
    return DrawnNode(node.weight or node.label or node.op, node.op, "x".join(map(str, node.shape)), facts)


_PLAIN = {"kernel": 0, "stride": 1, "padding": 0, "dilation": 1}
"""Geometry that goes without saying."""
