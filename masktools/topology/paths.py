"""How many paths lead through a masked network, and how many of them through each of its edges."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from masktools.topology.counts import Counts
from masktools.topology.graph import Node, Topology
from masktools.topology.layer_edges import EdgeCache
from masktools.topology.rearrangement import source_units
from masktools.topology.shapes import check_masks

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["EdgePaths", "edge_paths", "log10_paths", "log10_throughput"]

Masks: TypeAlias = Mapping[str, NDArray[np.bool_]]
Product: TypeAlias = Callable[[NDArray[np.float64]], NDArray[np.float64]]


@dataclasses.dataclass(frozen=True, eq=False)
class EdgePaths:
    """How many paths lead through each edge of the channel graph that has an active weight.

    Parameters
    ----------
    total
        The number of all paths, as one number.
    edges
        By layer the edges as places in an array of shape (out, in per group), counted in C order, ascending.
    paths
        By layer the number of paths through each of these edges.
    """

    total: Counts
    edges: Mapping[str, NDArray[np.intp]]
    paths: Mapping[str, Counts]


def log10_paths(topology: Topology, masks: Masks, *, taps: bool = True, edges: EdgeCache | None = None) -> float:
    """Count the paths from the network inputs to the network outputs.

    Paths are counted in the channel graph: a path visits channels, not positions. From channel to channel of a
    convolution it has one edge for each active tap that can meet a position inside the map. Activations, batch norm
    and pooling lead from a channel to itself, an addition leads on from each of its terms. Flattening gives each
    position of a channel a column of its own, and a path through channel and column counts once for each column; any
    other view joins two units once where they share an element. In an attention a value leads to its own unit of the
    output, a query and a key to all units of their head's. A path begins in a channel or feature of an input and ends
    in one of an output.

    Parameters
    ----------
    topology
        The operator graph.
    masks
        Boolean mask by layer name, each of its weight's shape. With the effective masks of `effective_masks`, only
        weights that carry a path position by position count.
    taps
        False counts the edges from a channel to a channel as one, however many taps there are.
    edges
        The edges of its layers, if they are known.

    Returns
    -------
    float
        Logarithm to base 10 of the number of paths; -inf if there is none. A number below 2**53 is counted exactly
        before its logarithm is taken.

    Raises
    ------
    StructureError
        If graph and masks do not fit; the message names the layer.

    Notes
    -----
    Dynamic programming in topological order. Numbers are pairs of a mantissa and a binary exponent, so that neither
    the paths of a deep network overflow, nor one path beside them underflows: a dense ResNet-50 has about 10**141,
    or 10**124 with `taps` false.
    """
    check_masks(topology, masks)
    known = edges or EdgeCache(topology, masks)
    ahead = _ahead(topology, lambda index: _numbers(known(index), taps).__matmul__)
    return float(_total(topology, ahead).log10()[0])


def log10_throughput(topology: Topology, masks: Masks, *, taps: bool = True) -> dict[str, NDArray[np.float64]]:
    """Count the paths through each edge of the channel graph.

    Parameters
    ----------
    topology, masks, taps
        As for `log10_paths`. With taps, all active taps from a channel to a channel count together.

    Returns
    -------
    dict
        By layer name the logarithm to base 10 of the number of paths, shape (out, in per group); -inf where there is
        none. A weight that several nodes share has the paths through any of its uses, added up: a path
        that uses it twice counts twice.

    Raises
    ------
    StructureError
        If graph and masks do not fit; the message names the layer.

    Notes
    -----
    The paths through an edge are those that lead to its near end times those that lead on from its far end. Over the
    edges of a layer that every path crosses exactly once they sum to the number of all paths.
    """
    found = edge_paths(topology, masks, taps=taps)
    logarithms = {}
    for name, edges in found.edges.items():
        array = np.full(masks[name].shape[:2], -np.inf)
        array.reshape(-1)[edges] = found.paths[name].log10()
        logarithms[name] = array
    return logarithms


def edge_paths(topology: Topology, masks: Masks, *, taps: bool = True, edges: EdgeCache | None = None) -> EdgePaths:
    """Do as `log10_throughput`, and return numbers instead of logarithms, for edges with an active weight only."""
    check_masks(topology, masks)
    known = edges or EdgeCache(topology, masks)
    weights: dict[int, csr_array] = {}
    for index, node in enumerate(topology.nodes):
        if node.weight is not None:
            weights[index] = _numbers(known(index), taps)
    ahead = _ahead(topology, lambda index: weights[index].__matmul__)
    behind = _behind(topology, lambda index: weights[index].T.__matmul__)
    places_of: dict[str, NDArray[np.intp]] = {}
    paths: dict[str, Counts] = {}
    for index, matrix in weights.items():
        node = topology.nodes[index]
        name, fed = str(node.weight), masks[str(node.weight)].shape[1]
        far = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
        places = far * fed + matrix.indices % fed
        found = ahead[node.inputs[0]][matrix.indices].times(behind[index][far]).times(Counts.of(matrix.data))
        if name in places_of:
            # Another use, in which other taps may be inside the map.
            both = np.concatenate([places_of[name], places])
            order = np.argsort(both, kind="stable")
            places, number = np.unique(both, return_inverse=True)
            found = Counts.concatenated([paths[name], found]).along(order, number[order], len(places))
        places_of[name], paths[name] = places, found
    return EdgePaths(_total(topology, ahead), places_of, paths)


def _total(topology: Topology, ahead: Sequence[Counts]) -> Counts:
    ends = [count for node, count in zip(topology.nodes, ahead, strict=True) if node.op == "output"]
    return Counts.concatenated(ends).total()


def _numbers(edges: "csr_array", taps: bool) -> "csr_array":
    """Return the edges of a layer as floats, all 1 without taps."""
    data = edges.data.astype(np.float64) if taps else np.ones(len(edges.data))
    return type(edges)((data, edges.indices, edges.indptr), shape=edges.shape)


def _ahead(topology: Topology, weights: Callable[[int], Product]) -> list[Counts]:
    """Count, for each unit of each node, the paths that lead to it from an input."""
    counts: list[Counts] = []
    for index, node in enumerate(topology.nodes):
        sources = [counts[source] for source in node.inputs]
        through = sources[0].through(weights(index)) if node.weight is not None else _at(topology, node, sources)
        counts.append(through)
    return counts


def _at(topology: Topology, node: Node, sources: list[Counts]) -> Counts:
    if node.op in ("input", "constant"):
        return Counts.of(np.full(node.shape[0], float(node.op == "input")))
    if node.op == "concat" and node.axes == (0,):
        return Counts.concatenated(sources)
    if node.op in ("add", "mul", "concat"):
        return functools.reduce(Counts.plus, sources)
    if node.op in ("flatten", "view"):
        near, far = source_units(node, topology.nodes[node.inputs[0]].shape)
        return sources[0].along(near, far, node.shape[0])
    if node.op == "mix" and node.axes is not None and 0 in node.axes:
        return sources[0].through(_shared(1, node.shape[0]))
    if node.heads is not None:
        # Queries and keys lead to all outputs of their head.
        asked = sources[0].plus(sources[1]).through(_shared(node.heads.count, node.shape[0]))
        return sources[2].plus(asked)
    return sources[0]


def _behind(topology: Topology, weights: Callable[[int], Product]) -> list[Counts]:
    """Count, for each unit of each node, the paths that lead on from it to an output."""
    counts = [Counts.of(np.full(node.shape[0], float(node.op == "output"))) for node in topology.nodes]
    for index in reversed(range(len(topology.nodes))):
        node = topology.nodes[index]
        if node.weight is not None:
            offers = [counts[index].through(weights(index))]
        else:
            offers = _back(topology, node, counts[index]) if node.inputs else []
        for source, offer in zip(node.inputs, offers, strict=True):
            counts[source] = counts[source].plus(offer)
    return counts


def _back(topology: Topology, node: Node, counts: Counts) -> list[Counts]:
    """Return the paths that lead on through a node from each of its inputs."""
    sizes = [topology.nodes[source].shape[0] for source in node.inputs]
    if node.op == "concat" and node.axes == (0,):
        ends = itertools.accumulate(sizes)
        return [counts[end - size : end] for size, end in zip(sizes, ends, strict=True)]
    if node.op in ("flatten", "view"):
        near, far = source_units(node, topology.nodes[node.inputs[0]].shape)
        order = np.argsort(near, kind="stable")
        return [counts.along(far[order], near[order], sizes[0])]
    if node.op == "mix" and node.axes is not None and 0 in node.axes:
        return [counts.through(_shared(1, sizes[0]))]
    if node.heads is not None:
        asked = counts.through(_shared(node.heads.count, sizes[0]))
        return [asked, asked, counts]
    return [counts] * len(sizes)


def _shared(parts: int, units: int) -> Product:
    """Return the product that gives each of some units the sum over its part of the values, all parts being equal."""
    return lambda values: np.repeat(values.reshape(parts, -1).sum(axis=1), units // parts)
