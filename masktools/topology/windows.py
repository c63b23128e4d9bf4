"""Geometry of layers and pooling as tables: which position of the source each tap of each output position meets."""

import numpy as np
from numpy.typing import NDArray

from masktools.topology.graph import Node, Topology, Window

__all__ = ["inverse_table", "tap_matrices", "tap_table", "usable_taps"]


def tap_table(topology: Topology, node: Node) -> NDArray[np.intp]:
    """Return the source position that each tap meets at each output position.

    A linear layer is a window of one tap on a map of one position. Adaptive pooling has as many taps as its
    largest bin has positions; bin ``i`` of ``n`` spans from ``floor(i * size / n)`` to ``ceil((i + 1) * size / n)``
    (PyTorch's rule).

    Parameters
    ----------
    topology
        The operator graph.
    node
        A node of it: `linear`, `conv2d`, `pool2d` or `adaptive_pool2d`.

    Returns
    -------
    ndarray
        Shape (taps, output positions), row-major in both; -1 where a tap meets nothing but padding.
    """
    return _table(node.window, _grid(topology.nodes[node.inputs[0]].shape), _grid(node.shape))


def inverse_table(topology: Topology, node: Node) -> NDArray[np.intp]:
    """Return the output position at which each tap meets each source position.

    Parameters
    ----------
    topology, node
        As for `tap_table`.

    Returns
    -------
    ndarray
        Shape (taps, source positions); -1 where a tap never meets the position. For a window the taps are those
        of `tap_table`; for adaptive pooling they only number the bins that a position is in.
    """
    source, target = _grid(topology.nodes[node.inputs[0]].shape), _grid(node.shape)
    if node.op == "adaptive_pool2d":
        # Position q of n is in bin i of m when the intervals [q/n, (q+1)/n) and [i/m, (i+1)/m) overlap, so the
        # rule is its own inverse.
        return _table(None, target, source)
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


def _grid(shape: tuple[int, ...]) -> tuple[int, int]:
    return (shape[1], shape[2]) if len(shape) == 3 else (1, 1)


def _table(window: Window | None, source: tuple[int, int], target: tuple[int, int]) -> NDArray[np.intp]:
    if window is None:
        rows, columns = (_bins(before, after) for before, after in zip(source, target, strict=True))
    else:
        rows, columns = (_slide(window, axis, source[axis], target[axis]) for axis in range(2))
    table = rows[:, None, :, None] * source[1] + columns[None, :, None, :]
    table[(rows[:, None, :, None] < 0) | (columns[None, :, None, :] < 0)] = -1
    return table.reshape(rows.shape[0] * columns.shape[0], -1)


def _inverse(window: Window | None, source: tuple[int, int], target: tuple[int, int]) -> NDArray[np.intp]:
    table = _table(window, source, target)
    inverse = np.full((table.shape[0], source[0] * source[1]), -1, dtype=np.intp)
    tap, position = np.nonzero(table >= 0)
    # A tap meets a source position from one output position only: the stride is at least 1.
    inverse[tap, table[tap, position]] = position
    return inverse


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
