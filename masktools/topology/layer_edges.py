"""The edges of layers in the channel graph, as sparse matrices."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from masktools.topology.graph import Node, Topology
from masktools.topology.windows import usable_taps

__all__ = ["EdgeCache", "layer_edges"]


def layer_edges(topology: Topology, node: Node, mask: NDArray[np.bool_]) -> csr_array:
    """Return how many active weights lead from each unit of its source to each unit of a layer.

    Parameters
    ----------
    topology
        The graph that the node is in.
    node
        A layer of it.
    mask
        Its mask, boolean, axes (out, in per group, kernel ...).

    Returns
    -------
    scipy.sparse.csr_array
        Shape (out, in), integers: the number of active taps that can meet a position inside the map. Columns are
        sorted, and no zero is stored.
    """
    out, fed = mask.shape[:2]
    usable = usable_taps(topology, node)
    found = np.flatnonzero(mask)
    if len(usable) > 1:
        if not usable.all():
            found = found[usable[found % len(usable)]]
        # Taps are the last axis, so those of an edge lie side by side.
        found //= len(usable)
        new = np.flatnonzero(np.diff(found, prepend=-1))
        count = np.diff(new, append=len(found)).astype(np.int32)
        found = found[new]
    else:
        count = np.ones(len(found), dtype=np.int32)
        if not usable.all():
            found, count = found[:0], count[:0]
    starts = np.searchsorted(found, np.arange(out + 1) * fed).astype(np.int32)
    rows = np.arange(out)
    shift = (rows // (out // node.groups) - rows) * fed
    columns = (found + np.repeat(shift, np.diff(starts))).astype(np.int32)
    return csr_array((count, columns, starts), shape=(out, fed * node.groups))


class EdgeCache:
    """The edges of the layers of one masked network, each computed once.

    Parameters
    ----------
    topology
        The operator graph.
    masks
        Boolean mask by layer name, each of its weight's shape.
    alike
        Of another network of the same graph: layers whose mask is the very same array take their edges from it.
    """

    def __init__(
        self, topology: Topology, masks: Mapping[str, NDArray[np.bool_]], alike: "EdgeCache | None" = None
    ) -> None:
        self._topology = topology
        self.masks = masks
        self._alike = alike
        self._edges: dict[int, csr_array] = {}

    def __call__(self, index: int) -> csr_array:
        """Return the edges of the layer at a node, as `layer_edges`; not to be changed."""
        if index not in self._edges:
            node = self._topology.nodes[index]
            mask = self.masks[str(node.weight)]
            same = self._alike is not None and self._alike.masks[str(node.weight)] is mask
            self._edges[index] = self._alike(index) if same and self._alike else layer_edges(self._topology, node, mask)
        return self._edges[index]
