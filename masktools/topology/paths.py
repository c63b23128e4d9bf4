"""How many paths lead through a masked network, in numbers far beyond what a float can hold."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Self

import numpy as np
from numpy.typing import NDArray

from masktools.topology.graph import Node, Topology
from masktools.topology.shapes import check_masks
from masktools.topology.windows import tap_matrices, usable_taps

__all__ = ["log10_paths"]

_BAND = 512
"""Exponents that one matrix product covers: 2**512 times any number of weights is still a finite float."""


def log10_paths(topology: Topology, masks: Mapping[str, NDArray[np.bool_]], *, taps: bool = True) -> float:
    """Count the paths from the network inputs to the network outputs.

    Paths are counted in the channel graph: a path visits channels, not positions. From channel to channel of a
    convolution it has one edge for each active tap that can meet a position inside the map. Activations, batch norm
    and pooling lead from a channel to itself, an addition leads on from each of its terms. Flattening gives each
    position of a channel a column of its own, and a path through channel and column counts once for each column. A
    path begins in a channel or feature of an input and ends in one of an output.

    Parameters
    ----------
    topology
        The operator graph.
    masks
        Boolean mask by layer name, each of its weight's shape. With the effective masks of `effective_masks`, only
        weights that carry a path position by position count.
    taps
        False counts the edges from a channel to a channel as one, however many taps there are.

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
    counts: list[_Counts] = []
    for node in topology.nodes:
        counts.append(_at(topology, node, [counts[source] for source in node.inputs], masks, taps))
    ends = [count for node, count in zip(topology.nodes, counts, strict=True) if node.op == "output"]
    mantissa, exponent = _total(ends)
    if mantissa == 0:
        return -math.inf
    # Small numbers are put together first, so that a whole number gives the logarithm of just that number.
    return math.log10(math.ldexp(mantissa, exponent)) if exponent < 1000 else math.log10(mantissa) + exponent * _LOG2


_LOG2 = math.log10(2)


@dataclasses.dataclass(frozen=True, eq=False)
class _Counts:
    """Numbers ``mantissa * 2**exponent``, mantissas 0 or in [0.5, 1), one a channel."""

    mantissa: NDArray[np.float64]
    exponent: NDArray[np.int32]

    @classmethod
    def of(cls, values: NDArray[np.float64], exponent: NDArray[np.int32] | int = 0) -> Self:
        mantissa, added = np.frexp(values)
        return cls(mantissa, added.astype(np.int32) + exponent)

    def plus(self, other: "_Counts") -> "_Counts":
        # The exponent of a zero says nothing and must not push the other number out of range.
        mine, theirs = (np.where(c.mantissa > 0, c.exponent, -(2**30)).astype(np.int32) for c in (self, other))
        top = np.maximum(mine, theirs)
        return _Counts.of(np.ldexp(self.mantissa, mine - top) + np.ldexp(other.mantissa, theirs - top), top)

    def through(self, matrices: NDArray[np.float64]) -> "_Counts":
        """Sum over the edges of a layer; `matrices` has shape (groups, out per group, in per group)."""
        groups, out, fed = matrices.shape
        total = _Counts.of(np.zeros(groups * out))
        bands = np.where(self.mantissa > 0, self.exponent // _BAND, -1)
        for band in np.unique(bands[bands >= 0]).tolist():
            inside = bands == band
            values = np.zeros(groups * fed)
            values[inside] = np.ldexp(self.mantissa[inside], self.exponent[inside] - band * _BAND)
            sums = np.matmul(matrices, values.reshape(groups, fed, 1)).reshape(-1)
            total = total.plus(_Counts.of(sums, band * _BAND))
        return total


def _at(
    topology: Topology, node: Node, sources: list[_Counts], masks: Mapping[str, NDArray[np.bool_]], taps: bool
) -> _Counts:
    if node.op == "input":
        return _Counts.of(np.ones(node.shape[0]))
    if node.op == "add":
        total = sources[0]
        for source in sources[1:]:
            total = total.plus(source)
        return total
    if node.op == "flatten":
        columns = node.shape[0] // len(sources[0].mantissa)
        return _Counts(np.repeat(sources[0].mantissa, columns), np.repeat(sources[0].exponent, columns))
    if node.weight is not None:
        matrices = tap_matrices(masks[node.weight], node.window.groups if node.window else 1)
        edges = matrices[usable_taps(topology, node)].sum(axis=0, dtype=np.float64)
        return sources[0].through(edges if taps else np.minimum(edges, 1.0))
    return sources[0]


def _total(ends: list[_Counts]) -> tuple[float, int]:
    everything = _Counts(np.concatenate([end.mantissa for end in ends]), np.concatenate([end.exponent for end in ends]))
    total = everything.through(np.ones((1, 1, len(everything.mantissa))))
    return float(total.mantissa[0]), int(total.exponent[0])
