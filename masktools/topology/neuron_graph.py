"""The neuron graph of a masked network: an edge from unit to unit for the weights that lead there."""

import dataclasses
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack

from masktools.topology.graph import Topology
from masktools.topology.layer_edges import EdgeCache
from masktools.topology.unit_graph import NOBODY, Place, UnitGraph, unit_graph

if TYPE_CHECKING:
    import networkx as nx

__all__ = ["NeuronGraph", "neuron_graph"]


@dataclasses.dataclass(frozen=True, eq=False)
class NeuronGraph:
    """The neuron graph; without cycles, units numbered so that every edge leads to a higher number.

    Parameters
    ----------
    adjacency
        Shape (units, units): entry (a, b) is the number of active weights of b that read something which a flows into.
    places
        The network inputs (named ``input``) and the layers, one for each node of the operator graph: its node, its
        first unit and its number of units.
    classes
        Shape (outputs, units): 1 where a unit flows into an output of the network without a weight in between. Units
        of all output nodes one after the other.
    """

    adjacency: csr_array
    places: tuple[Place, ...]
    classes: csr_array

    @property
    def units(self) -> int:
        """Number of units."""
        return int(self.adjacency.shape[0])

    @property
    def outputs(self) -> NDArray[np.intp]:
        """The units that flow into any output, ascending."""
        return np.unique(self.classes.indices).astype(np.intp)

    @property
    def labels(self) -> list[tuple[str, int]]:
        """Place and number within it of each unit; a name that several nodes have is followed by ``@`` and the node."""
        uses = Counter(place.name for place in self.places)
        names = [place.name if uses[place.name] == 1 else f"{place.name}@{place.node}" for place in self.places]
        return [(name, index) for name, place in zip(names, self.places, strict=True) for index in range(place.units)]

    def to_scipy(self) -> tuple[csr_array, list[tuple[str, int]]]:
        """Return the adjacency matrix, and the label of each row and column."""
        return self.adjacency, self.labels

    def to_networkx(self) -> "nx.DiGraph[tuple[str, int]]":
        """Return the graph for networkx.

        Nodes are the labels, with the attributes ``kind`` (``input`` or ``layer``), ``place`` (the name), ``node``
        (index in the operator graph), ``index`` (number within the place) and ``output`` (whether it flows into an
        output of the network). Edges have ``taps``, the number of weights.
        """
        import networkx as nx

        graph: nx.DiGraph[tuple[str, int]] = nx.DiGraph()
        labels, outputs = self.labels, set(self.outputs.tolist())
        for place in self.places:
            for index in range(place.units):
                unit = place.first + index
                graph.add_node(
                    labels[unit],
                    kind=place.kind,
                    place=place.name,
                    node=place.node,
                    index=index,
                    output=unit in outputs,
                )
        edges = self.adjacency.tocoo()
        ends = zip(edges.row.tolist(), edges.col.tolist(), edges.data.tolist(), strict=True)
        graph.add_edges_from((labels[near], labels[far], {"taps": taps}) for near, far, taps in ends)
        return graph


def neuron_graph(
    topology: Topology, masks: Mapping[str, NDArray[np.bool_]], edges: EdgeCache | None = None
) -> NeuronGraph:
    """Return the neuron graph.

    Its units are those of `masktools.topology.unit_graph.unit_graph`: network inputs, and the output units of each
    layer at each node that uses it. An edge leads from a to b where an active weight of b reads what a flows into
    through activations, norms, sums, products, pooling, resampling, views, concatenation and attention; it counts the
    weights that do. (Of a convolution the taps that can meet a position inside the map, of a flattened map the
    columns.) A unit that is added to itself is not read twice.

    Parameters
    ----------
    topology
        The operator graph.
    masks
        Boolean mask by layer name, each of its weight's shape.
    edges
        The edges of its layers, if they are known.

    Returns
    -------
    NeuronGraph
        Every edge leads from a unit to one of a higher number.

    Raises
    ------
    StructureError
        If graph and masks do not fit; the message names the layer.

    Examples
    --------
    >>> from masktools.topology.graph import Node
    >>> nodes = Node("input", (), (2,)), Node("linear", (0,), (1,), "fc"), Node("output", (1,), (1,))
    >>> graph = neuron_graph(Topology(nodes), {"fc": np.array([[False, True]])})
    >>> list(graph.to_networkx().edges(data="taps"))
    [(('input', 1), ('fc', 0), 1)]
    """
    graph = unit_graph(topology, masks, edges)
    own = graph.of_kind("input", "layer")
    arcs, flows = graph.arcs, _flows(graph, own)
    if flows is not None:
        rows = arcs[np.flatnonzero(own)]
        arcs = rows[:, np.flatnonzero(own)] + rows[:, np.flatnonzero(~own)] @ flows
    first, places = 0, []
    for place in graph.places:
        if place.kind != "junction":
            places.append(dataclasses.replace(place, first=first))
            first += place.units
    return NeuronGraph(arcs.T.tocsr(), tuple(places), _classes(graph, own, flows))


def _flows(graph: UnitGraph, own: NDArray[np.bool_]) -> csr_array | None:
    """Return which units flow into which junctions, shape (junctions, units), or None without junctions."""
    units, junctions = np.flatnonzero(own), np.flatnonzero(~own)
    done: csr_array | None = None
    for place in graph.places:
        if place.kind == "junction":
            rows = graph.arcs[place.vertices]
            flow = rows[:, units]
            if done is not None:
                flow = flow + rows[:, junctions[: done.shape[0]]] @ done
            flow.data[:] = 1
            done = flow if done is None else vstack([done, flow], format="csr")
    return done


def _classes(graph: UnitGraph, own: NDArray[np.bool_], flows: csr_array | None) -> csr_array:
    known = np.flatnonzero(graph.classes != NOBODY)
    shape = len(graph.classes), len(own)
    ends = np.ones(len(known), dtype=np.int32), (known, graph.classes[known])
    direct = csr_array(ends, shape=shape)
    found = direct[:, np.flatnonzero(own)]
    return found if flows is None else (found + direct[:, np.flatnonzero(~own)] @ flows).tocsr()
