"""The neuron graph of a masked network and the pieces that it falls into."""

import dataclasses
import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components

from masktools.topology.graph import Topology
from masktools.topology.layer_edges import EdgeCache
from masktools.topology.unit_graph import unit_graph

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


def weak_components(
    topology: Topology, masks: Mapping[str, NDArray[np.bool_]], edges: EdgeCache | None = None
) -> Components:
    """Find the weak components of the neuron graph.

    The units are the network inputs and the output units of each layer: features, or channels of a map. (An input map
    that is flattened before anything else reads it has a unit for each of its elements, since no window runs over
    it.) Two units are joined when an active weight leads from one to the other through a tap that can meet a position
    inside the map, when they are added to or multiplied with each other, and when they are of one head of an
    attention. Activations, norms and pooling are part of their unit, and all the columns that flattening makes of a
    channel belong to the channel's unit. Constants are nobody's unit.

    Parameters
    ----------
    topology
        The operator graph.
    masks
        Boolean mask by layer name, each of its weight's shape.
    edges
        The edges of its layers, if they are known.

    Raises
    ------
    StructureError
        If graph and masks do not fit; the message names the layer.
    """
    graph = unit_graph(topology, masks, edges)
    label = _labels(graph.arcs)
    # Junctions join units, but are none.
    sizes = np.bincount(label[graph.of_kind("input", "layer")])
    sizes = sizes[sizes > 0]
    return Components(
        units=int(sizes.sum()),
        components=len(sizes),
        isolated=int((sizes == 1).sum()),
        largest=int(sizes.max(initial=0)),
    )


_SAMPLE = 4
"""Edges of each vertex that are looked at first."""


def _labels(arcs: csr_array) -> NDArray[np.int32]:
    """Return for each vertex the number of its weak component.

    A few edges of each vertex join almost all that will be joined in the end; of all edges only those count
    afterwards that lead from one piece to another (the idea of Afforest; Sutton et al., IPDPS 2018). It is exact.
    """
    starts, lengths = arcs.indptr[:-1], np.diff(arcs.indptr)
    far = np.arange(arcs.shape[0], dtype=np.int32)
    sampled = [(far[lengths > k], arcs.indices[starts[lengths > k] + k]) for k in range(_SAMPLE)]
    label = _joined(arcs.shape[0], *(np.concatenate(ends) for ends in zip(*sampled, strict=True)))
    one, two = np.repeat(label, lengths), label[arcs.indices]
    open_ = np.flatnonzero(one != two)
    if not len(open_):
        return label
    return _joined(int(label.max()) + 1, one[open_], two[open_])[label]


def _joined(size: int, one: NDArray[np.int32], two: NDArray[np.int32]) -> NDArray[np.int32]:
    graph = coo_array((np.ones(len(one), dtype=np.int8), (one, two)), shape=(size, size))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int32)
