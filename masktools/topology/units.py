"""The neuron graph of a masked network and the pieces that it falls into."""

import dataclasses
import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from masktools.topology.graph import Node, Topology
from masktools.topology.shapes import check_masks
from masktools.topology.windows import tap_matrices, usable_taps

__all__ = ["Components", "weak_components"]


@dataclasses.dataclass(frozen=True)
class Components:
    """The weak components of a neuron graph.

    Parameters
    ----------
    units
        Number of units in the graph.
    components
        Number of weak components; an isolated unit is a component.
    isolated
        Number of units that nothing is joined to.
    largest
        Number of units in the largest component.
    """

    units: int
    components: int
    isolated: int
    largest: int

    @property
    def giant_share(self) -> float:
        """Share of the units that is in the largest component."""
        return self.largest / self.units if self.units else math.nan


def weak_components(topology: Topology, masks: Mapping[str, NDArray[np.bool_]]) -> Components:
    """Find the weak components of the neuron graph.

    The units are the network inputs and the output units of each layer: features, or channels of a map. (An input map
    that is flattened before anything else reads it has a unit for each of its elements, since no window runs over
    it.) Two units are joined when an active weight leads from one to the other through a tap that can meet a position
    inside the map, and when they are added to each other. Activations, batch norm and pooling are part of their unit,
    and all the columns that flattening makes of a channel belong to the channel's unit.

    Parameters
    ----------
    topology
        The operator graph.
    masks
        Boolean mask by layer name, each of its weight's shape.

    Raises
    ------
    StructureError
        If graph and masks do not fit; the message names the layer.
    """
    check_masks(topology, masks)
    units = 0
    owners: list[NDArray[np.int32]] = []
    edges: list[NDArray[np.int32]] = [np.empty((2, 0), dtype=np.int32)]
    for index, node in enumerate(topology.nodes):
        sources = [owners[source] for source in node.inputs]
        if node.op == "input" or node.weight is not None:
            count = math.prod(node.shape) if _read_flat(topology, index) else node.shape[0]
            owner = np.arange(units, units + count, dtype=np.int32)
            units += count
            if node.weight is not None:
                edges.append(_edges(topology, node, masks[node.weight], sources[0], owner))
        elif node.op == "add":
            owner = sources[0]
            edges += [np.stack([owner, other]) for other in sources[1:]]
        elif node.op == "flatten":
            owner = np.repeat(sources[0], node.shape[0] // len(sources[0]))
        else:
            owner = sources[0]
        owners.append(owner)
    rows, columns = np.concatenate(edges, axis=1)
    graph = coo_array((np.ones(len(rows)), (rows, columns)), shape=(units, units))
    count, label = connected_components(graph, directed=False)
    sizes = np.bincount(label, minlength=count)
    return Components(
        units=units, components=int(count), isolated=int((sizes == 1).sum()), largest=int(sizes.max(initial=0))
    )


def _edges(
    topology: Topology, node: Node, mask: NDArray[np.bool_], source: NDArray[np.int32], owner: NDArray[np.int32]
) -> NDArray[np.int32]:
    """Return the pairs of units that the layer joins, shape (2, edges)."""
    taps = tap_matrices(mask, node.window.groups if node.window else 1)
    group, far, near = np.nonzero(taps[usable_taps(topology, node)].any(axis=0))
    return np.stack([source[group * taps.shape[3] + near], owner[group * taps.shape[2] + far]])


def _read_flat(topology: Topology, index: int) -> bool:
    """Whether a node is an input map that is only ever read through a flatten."""
    node = topology.nodes[index]
    if node.op != "input" or len(node.shape) != 3:
        return False
    carriers, flattened = {index}, False
    for number, reader in enumerate(topology.nodes):
        if carriers.isdisjoint(reader.inputs):
            continue
        if reader.op == "identity":
            carriers.add(number)
        elif reader.op == "flatten":
            flattened = True
        else:
            return False
    return flattened
