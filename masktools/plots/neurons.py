"""Which edges of a neuron graph are live, dead or ghosts."""

import dataclasses
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from masktools.topology.neuron_graph import NeuronGraph

__all__ = ["EdgeKinds", "edge_kinds"]

_Ends: TypeAlias = tuple[NDArray[np.int64], NDArray[np.int64]]


@dataclasses.dataclass(frozen=True, eq=False)
class EdgeKinds:
    """The edges of a neuron graph, each as the units that it leads from and to.

    Parameters
    ----------
    live
        On a path from an input to an output.
    dead
        From what they feed no output is reached.
    ghost
        An output is reached, but no input reaches them: they carry a constant.
    live_units
        Whether each unit lies on a path, shape (units,).
    """

    live: _Ends
    dead: _Ends
    ghost: _Ends
    live_units: NDArray[np.bool_]


def edge_kinds(graph: NeuronGraph) -> EdgeKinds:
    """Tell the edges of a neuron graph apart.

    Parameters
    ----------
    graph
        The graph. Units are numbered so that every edge leads to a higher number.

    Notes
    -----
    A path is one of units. Where positions of a convolution's map matter, as at a border that a stride leaves out,
    `masktools.connectivity` may find fewer weights on a path.
    """
    near, far = (ends.astype(np.int64) for ends in graph.adjacency.tocoo().coords)
    reached = np.zeros(graph.units, dtype=np.bool_)
    for place in graph.places:
        if place.kind == "input":
            reached[place.first : place.first + place.units] = True
    reaching = np.zeros(graph.units, dtype=np.bool_)
    reaching[graph.outputs] = True
    # Edges lead upwards, so that one pass in order of their ends settles each direction.
    for index in np.argsort(near, kind="stable"):
        reached[far[index]] |= reached[near[index]]
    for index in np.argsort(-far, kind="stable"):
        reaching[near[index]] |= reaching[far[index]]
    live, dead = reached[near] & reaching[far], ~reaching[far]
    ghost = ~live & ~dead
    return EdgeKinds((near[live], far[live]), (near[dead], far[dead]), (near[ghost], far[ghost]), reached & reaching)
