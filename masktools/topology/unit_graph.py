"""The graph that paths through a masked network run in: its units, and the junctions at which units run together.

Where a node hands its units on one by one no vertex is made, so a chain of layers costs no more than its weights. Where
several units become one, in an addition for example, a junction stands for the result: everything that reads it
reads one vertex instead of each summand, and a weight leads from exactly one vertex to exactly one.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array

from masktools.topology.graph import Topology
from masktools.topology.layer_edges import EdgeCache
from masktools.topology.rearrangement import source_units
from masktools.topology.shapes import check_masks

__all__ = ["NOBODY", "Place", "UnitGraph", "unit_graph"]

NOBODY = -1
"""Stands for the vertex of what is no function of the input."""


@dataclasses.dataclass(frozen=True)
class Place:
    """The vertices of one node; no path leads from one of them to another.

    Parameters
    ----------
    name
        The layer; of other nodes the operator.
    kind
        ``input``, ``layer``, or ``junction``: no units of their own, but what units of other places become together.
    node
        Index of the node in the operator graph.
    first
        Number of the first vertex.
    units
        How many there are.
    """

    name: str
    kind: str
    node: int
    first: int
    units: int

    @property
    def vertices(self) -> slice:
        """The numbers of its vertices."""
        return slice(self.first, self.first + self.units)


@dataclasses.dataclass(frozen=True, eq=False)
class UnitGraph:
    """Units, junctions, and what leads where; without cycles.

    Parameters
    ----------
    places
        In topological order; their vertices are numbered one after the other.
    arcs
        Shape (vertices, vertices). Row v holds what leads to vertex v: to a unit of a layer the number of active
        weights, to a junction 1. Columns are sorted and each occurs once.
    classes
        The vertex of each output of the network, or `NOBODY`; units of all output nodes one after the other.
    """

    places: tuple[Place, ...]
    arcs: csr_array
    classes: NDArray[np.int32]

    def of_kind(self, *kinds: str) -> NDArray[np.bool_]:
        """Return for each vertex whether its place is of one of these kinds; shape (vertices,)."""
        return np.repeat([place.kind in kinds for place in self.places], [place.units for place in self.places])


def unit_graph(topology: Topology, masks: Mapping[str, NDArray[np.bool_]], edges: EdgeCache | None = None) -> UnitGraph:
    """Build the graph of a masked network.

    Its units are the network inputs and the output units of each layer at each node that uses it: features, or channels
    of a map. An input map that is flattened before anything else reads it has a unit for each of its elements,
    since no window runs over it. Activations, norms, pooling and resampling are part of their unit, and all the columns
    that flattening makes of a channel belong to the channel's unit. In an attention a value leads to its own unit, a
    query and a key to all units of their head. Constants are nobody's unit. A weight counts where it is active and its
    tap can meet a position inside the map.

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
    check_masks(topology, masks)
    growing = _Growing()
    edges = edges or EdgeCache(topology, masks)
    owners: list[NDArray[np.int32]] = []
    for index in range(len(topology.nodes)):
        owners.append(_owner(topology, index, owners, edges, growing))
    ends = [owner for node, owner in zip(topology.nodes, owners, strict=True) if node.op == "output"]
    return UnitGraph(tuple(growing.places), growing.arcs(), np.concatenate(ends))


class _Growing:
    """Places and the rows of their vertices, one after the other."""

    def __init__(self) -> None:
        self.places: list[Place] = []
        self.vertices = 0
        self._rows: list[csr_array] = []

    def place(self, name: str, kind: str, node: int, rows: csr_array) -> NDArray[np.int32]:
        """Append a place and return its vertices."""
        units = rows.shape[0]
        self.places.append(Place(name, kind, node, self.vertices, units))
        self._rows.append(rows)
        self.vertices += units
        return np.arange(self.vertices - units, self.vertices, dtype=np.int32)

    def junction(
        self, name: str, node: int, near: Sequence[NDArray[np.int32]], far: Sequence[NDArray[np.intp]], units: int
    ) -> NDArray[np.int32]:
        """Append a place of units that the vertices `near` lead to; nobody leads nowhere."""
        source, target = np.concatenate(near), np.concatenate(far)
        inside = source != NOBODY
        ends = target[inside], source[inside]
        rows = coo_array((np.ones(len(ends[0]), dtype=np.int32), ends), shape=(units, self.vertices)).tocsr()
        rows.data[:] = 1  # x + x leads from x to the sum once
        return self.place(name, "junction", node, rows)

    def arcs(self) -> csr_array:
        """Return all rows as one matrix."""
        shape = (self.vertices, self.vertices)
        lengths = np.concatenate([[0], *(np.diff(rows.indptr) for rows in self._rows)])
        data, indices = (np.concatenate([getattr(rows, part) for rows in self._rows]) for part in ("data", "indices"))
        return csr_array((data, indices.astype(np.int32, copy=False), lengths.cumsum().astype(np.int32)), shape=shape)


def _owner(
    topology: Topology,
    index: int,
    owners: Sequence[NDArray[np.int32]],
    edges: EdgeCache,
    growing: _Growing,
) -> NDArray[np.int32]:
    """Return the vertex of each unit of a node."""
    node = topology.nodes[index]
    sources = [owners[source] for source in node.inputs]
    count = node.shape[0]
    every = np.arange(count)
    if node.op == "constant":
        return np.full(count, NOBODY, dtype=np.int32)
    if node.op == "input":
        units = math.prod(node.shape) if _read_flat(topology, index) else count
        return growing.place("input", "input", index, csr_array(np.zeros((units, 0), dtype=np.int32)))
    if node.weight is not None:
        return growing.place(node.weight, "layer", index, _weights(edges(index), sources[0]))
    if node.op == "concat" and node.axes == (0,):
        return np.concatenate(sources)
    if node.op in ("add", "mul", "concat"):
        together = _agreed(sources)
        return (
            growing.junction(node.op, index, sources, [every] * len(sources), count) if together is None else together
        )
    if node.op == "flatten":
        return np.repeat(sources[0], count // len(sources[0]))
    if node.op == "view":
        near, far = source_units(node, topology.nodes[node.inputs[0]].shape)
        owner = sources[0][near]
        first = owner[np.searchsorted(far, every)]
        return first if (owner == first[far]).all() else growing.junction("view", index, [owner], [far], count)
    if node.op == "mix" and node.axes is not None and 0 in node.axes:
        hub = growing.junction("mix", index, sources, [np.zeros(len(sources[0]), dtype=np.intp)], 1)
        return np.repeat(hub, count)
    if node.heads is not None:
        # All queries and keys of a head lead to one junction, and that to all units of the head.
        heads = node.heads.count
        queries = [np.arange(len(owner)) * heads // len(owner) for owner in sources[:2]]
        hubs = growing.junction("attention", index, sources[:2], queries, heads)
        return growing.junction("attention", index, [sources[2], hubs[every * heads // count]], [every] * 2, count)
    return sources[0]


def _agreed(sources: Sequence[NDArray[np.int32]]) -> NDArray[np.int32] | None:
    """Return the one vertex that all sources have for each unit, constants apart, or None where they differ."""
    owner = np.max(sources, axis=0)
    return owner if all(((one == owner) | (one == NOBODY)).all() for one in sources) else None


def _weights(edges: csr_array, owner: NDArray[np.int32]) -> csr_array:
    """Return how many active weights lead from the vertices of a source to each output unit of a layer."""
    near, count, starts = owner[edges.indices], edges.data, edges.indptr
    if (owner == NOBODY).any():
        kept = near != NOBODY
        starts = np.concatenate([[0], np.cumsum(kept)])[starts].astype(np.int32)
        near, count = near[kept], count[kept]
    matrix = csr_array((count, near, starts), shape=(edges.shape[0], int(owner.max(initial=0)) + 1))
    if not (np.diff(owner) > 0).all():
        matrix = matrix.copy()
        matrix.sum_duplicates()  # columns of a flattened channel, and views
    return matrix


def _read_flat(topology: Topology, index: int) -> bool:
    """Whether a node is an input map that is only ever read through a flatten."""
    node = topology.nodes[index]
    if node.op != "input" or len(node.shape) == 1:
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
