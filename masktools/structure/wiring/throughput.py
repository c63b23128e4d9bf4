"""How unevenly the paths through a network are spread over the edges of a layer."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masktools.frames import ToFrame
from masktools.topology.counts import Counts
from masktools.topology.graph import Topology
from masktools.topology.layer_edges import EdgeCache
from masktools.topology.paths import edge_paths

__all__ = ["LayerThroughput", "throughput"]


@dataclasses.dataclass(frozen=True)
class LayerThroughput(ToFrame):
    """How the paths from the inputs to the outputs use the edges of a layer, channel to channel.

    Parameters
    ----------
    name
        Name of the layer.
    used
        Number of edges that a path leads through.
    largest_share
        The most paths through one edge, as a share of all paths of the network. None where there are no paths. (A
        weight that several nodes share is used by a path up to as many times, and so may exceed 1.)
    edges
        Participation ratio ``1 / sum(share**2)``, the shares being those of the paths through the layer: as many
        equally busy edges would spread the paths as evenly. From 1 to `used`; 0 where no path leads
        through the layer.
    """

    name: str
    used: int
    largest_share: float | None
    edges: float

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name."""
        return dataclasses.asdict(self)


def throughput(
    topology: Topology,
    masks: Mapping[str, NDArray[np.bool_]],
    *,
    taps: bool = True,
    edges: EdgeCache | None = None,
) -> dict[str, LayerThroughput]:
    """Measure how the paths through a network are spread over the edges of each layer.

    Parameters
    ----------
    topology
        The operator graph.
    masks
        Boolean mask by layer name, each of its weight's shape. With the effective masks of `effective_masks` only
        weights count that carry a path position by position.
    taps
        Whether a path from channel to channel counts once for each active tap, or once.
    edges
        The edges of its layers, if they are known.

    Returns
    -------
    dict
        By layer name, in network order.

    Raises
    ------
    StructureError
        If graph and masks do not fit; the message names the layer.

    Notes
    -----
    Paths are counted as by `masktools.topology.paths.log10_throughput`. The participation ratio is that of Bell and
    Dean (Atomic vibrations in vitreous silica, 1970), the inverse of Simpson's index of concentration (1949).

    Examples
    --------
    >>> from masktools.topology.graph import Node
    >>> nodes = Node("input", (), (3,)), Node("linear", (0,), (1,), "fc"), Node("output", (1,), (1,))
    >>> found = throughput(Topology(nodes), {"fc": np.array([[True, True, False]])})["fc"]
    >>> found.used, found.largest_share, found.edges
    (2, 0.5, 2.0)
    """
    found = edge_paths(topology, masks, taps=taps, edges=edges)
    return {name: _layer(name, found.paths[name], found.total) for name in topology.layers}


def _layer(name: str, paths: Counts, total: Counts) -> LayerThroughput:
    used = int(np.count_nonzero(paths.mantissa))
    if not used:
        return LayerThroughput(name, 0, None if total.mantissa[0] == 0 else 0.0, 0.0)
    scale = paths.scale
    tops = np.flatnonzero(scale == scale.max())
    busiest = paths[tops[[paths.mantissa[tops].argmax()]]]
    shares = paths.relative(busiest)
    return LayerThroughput(
        name=name,
        used=used,
        largest_share=float(busiest.relative(total)[0]),
        edges=float(shares.sum() ** 2 / np.square(shares).sum()),
    )
