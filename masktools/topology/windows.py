"""Geometry of layers and pooling as tables: which position of the source each tap of each output position meets."""

import functools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from masktools.topology.graph import ADAPTIVE, Node, Topology, Window

__all__ = ["inverse_table", "tap_matrices", "tap_table", "usable_taps"]


def tap_table(topology: Topology, node: Node) -> NDArray[np.intp]:
    """Return the source position that each tap meets at each output position.

    A linear layer is a window of one tap that does not move. Adaptive pooling has as many taps as its
    largest bin has positions; bin ``i`` of ``n`` spans from ``floor(i * size / n)`` to ``ceil((i + 1) * size / n)``
    along each axis (PyTorch's rule). A resampling has as many as the longest of its lists.

    Parameters
    ----------
    topology
        The graph that the node is in.
    node
        A node of it that is a layer, a pool or a `resample`.

    Returns
    -------
    ndarray
        Shape (taps, output positions), row-major in both; -1 where a tap meets nothing.
    """
    return _table(node.window, node.reads, topology.nodes[node.inputs[0]].shape[1:], node.shape[1:])


def inverse_table(topology: Topology, node: Node) -> NDArray[np.intp]:
    """Return the output position at which each tap meets each source position.

    Parameters
    ----------
    topology, node
        As for `tap_table`.

    Returns
    -------
    ndarray
        Shape (taps, source positions); -1 where a tap never meets the position. For a layer or a pooling window the
        taps are those of `tap_table`; otherwise they only number the output positions that read a source position.
    """
    source, target = topology.nodes[node.inputs[0]].shape[1:], node.shape[1:]
    if node.op in ADAPTIVE:
        # Position q of n is in bin i of m when the intervals [q/n, (q+1)/n) and [i/m, (i+1)/m) overlap, so the
        # rule is its own inverse.
        return _table(None, None, target, source)
    if node.reads is not None:
        return _product([_turned(axis, size) for axis, size in zip(node.reads, source, strict=True)], target)
    return _inverse(node.window, source, target)


def usable_taps(topology: Topology, node: Node) -> NDArray[np.bool_]:
    """Return which taps meet a position inside the map at least once, shape (taps,)."""
    return np.asarray((tap_table(topology, node) >= 0).any(axis=1))


def tap_matrices(weight: NDArray[np.bool_], groups: int) -> NDArray[np.bool_]:
    """View a mask as one matrix per tap and group.

    Parameters
    ----------
    weight
        Mask of shape (out, in) or (out, in per group, kh, kw).
    groups
        Number of groups of channels.

    Returns
    -------
    ndarray
        Shape (taps, groups, out per group, in per group), a view where numpy can make one.
    """
    out, fed = weight.shape[:2]
    return weight.reshape(groups, out // groups, fed, -1).transpose(3, 0, 1, 2)


_Reads = tuple[tuple[tuple[int, ...], ...], ...]


@functools.lru_cache(maxsize=64)
def _table(
    window: Window | None, reads: _Reads | None, source: tuple[int, ...], target: tuple[int, ...]
) -> NDArray[np.intp]:
    """Return a table of positions; networks have few geometries, and many layers of each."""
    if reads is not None:
        axes = [_listed(axis) for axis in reads]
    elif window is not None:
        axes = [_slide(window, axis, source[axis], target[axis]) for axis in range(len(target))]
    else:
        # A linear layer keeps the positions: one bin each.
        axes = [_bins(before, after) for before, after in zip(source, target, strict=True)]
    table = _product(axes, source)
    table.setflags(write=False)
    return table


@functools.lru_cache(maxsize=64)
def _inverse(window: Window | None, source: tuple[int, ...], target: tuple[int, ...]) -> NDArray[np.intp]:
    table = _table(window, None, source, target)
    inverse = np.full((table.shape[0], math.prod(source)), -1, dtype=np.intp)
    tap, position = np.nonzero(table >= 0)
    # A tap meets a source position from one output position only: the stride is at least 1.
    inverse[tap, table[tap, position]] = position
    inverse.setflags(write=False)
    return inverse


def _product(axes: Sequence[NDArray[np.intp]], source: tuple[int, ...]) -> NDArray[np.intp]:
    """Combine tables of indices along axes, each of shape (taps, indices), into one of positions."""
    table = np.zeros((1, 1), dtype=np.intp)
    for met, extent in zip(axes, source, strict=True):
        combined = table[:, None, :, None] * extent + met[None, :, None, :]
        combined[(table[:, None, :, None] < 0) | (met[None, :, None, :] < 0)] = -1
        table = combined.reshape(table.shape[0] * met.shape[0], -1)
    return table


def _listed(lists: Sequence[Sequence[int]]) -> NDArray[np.intp]:
    """Return lists of indices as a table of shape (longest list, lists), -1 beyond a shorter one."""
    table = np.full((max(1, *map(len, lists)), len(lists)), -1, dtype=np.intp)
    for place, indices in enumerate(lists):
        table[: len(indices), place] = indices
    return table


def _turned(lists: Sequence[Sequence[int]], size: int) -> NDArray[np.intp]:
    """Return for each index that the lists can name the lists that do."""
    readers: list[list[int]] = [[] for _ in range(size)]
    for place, indices in enumerate(lists):
        for index in indices:
            readers[index].append(place)
    return _listed(readers)


def _slide(window: Window, axis: int, source: int, target: int) -> NDArray[np.intp]:
    """Return the index met along one axis, shape (kernel, target), -1 in the padding."""
    start = np.arange(target, dtype=np.intp) * window.stride[axis] - window.padding[axis]
    met = start + np.arange(window.kernel[axis], dtype=np.intp)[:, None] * window.dilation[axis]
    return np.where((met >= 0) & (met < source), met, -1)


def _bins(source: int, target: int) -> NDArray[np.intp]:
    """Return the indices in each bin along one axis, shape (longest bin, target), -1 beyond a shorter bin."""
    number = np.arange(target, dtype=np.intp)
    start, end = number * source // target, -(-(number + 1) * source // target)
    met = start + np.arange((end - start).max(), dtype=np.intp)[:, None]
    return np.where(met < end, met, -1)
