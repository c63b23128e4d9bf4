"""Clustering of a layer: how often paths of three edges close to a cycle of four, and how often density closes them."""

import dataclasses
import math
from fractions import Fraction
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from masktools.frames import ToFrame
from masktools.structure.wiring.channels import channel_blocks

__all__ = ["Clustering", "clustering"]

_ROWS = 512
"""Rows of the dense product at a time: it takes rows times units numbers of memory."""

_SPARSE_COST = 500
"""A step of the sparse product takes about as long as this many of the dense one."""


@dataclasses.dataclass(frozen=True)
class Clustering(ToFrame):
    """Cycles of four in the channel graph of a layer: two input units that share two output units.

    A layer has no triangles, and this is the shortest cycle that it can have. An edge counts once, however many taps
    are active. What density alone gives is the exact expectation over all masks of the layer with as many active
    weights, all equally likely (the layer shuffle). In a layer with several taps it does not give the number of
    edges: the same weights in fewer kernels make fewer edges, and far fewer cycles. What edges alone give is
    therefore another expectation, over all channel graphs with as many edges; for a single tap both are the same.

    Parameters
    ----------
    edges
        Number of pairs of units that are joined.
    cycles
        Number of cycles of four (butterflies).
    paths
        Number of paths of three edges (caterpillars); each cycle has four of them.
    edges_by_density, cycles_by_density, paths_by_density
        Their expectations from density alone.
    cycles_by_edges, paths_by_edges
        Their expectations from edges alone.
    """

    edges: int
    cycles: int
    paths: int
    edges_by_density: float
    cycles_by_density: float
    paths_by_density: float
    cycles_by_edges: float
    paths_by_edges: float

    @property
    def coefficient(self) -> float | None:
        """Share of the paths of three edges that a fourth closes, 4 cycles / paths; None without paths."""
        return 4 * self.cycles / self.paths if self.paths else None

    @property
    def coefficient_by_density(self) -> float | None:
        """The same of the expectations from density (not the expectation of the share); None without paths."""
        return 4 * self.cycles_by_density / self.paths_by_density if self.paths_by_density else None

    @property
    def coefficient_by_edges(self) -> float | None:
        """The same of the expectations from edges (not the expectation of the share); None without paths."""
        return 4 * self.cycles_by_edges / self.paths_by_edges if self.paths_by_edges else None

    @property
    def cycle_ratio(self) -> float | None:
        """Cycles over what edges alone give: above 1 where they are arranged to meet; None where edges give none."""
        return self.cycles / self.cycles_by_edges if self.cycles_by_edges else None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name, and the ratios."""
        ratios = ("coefficient", "coefficient_by_density", "coefficient_by_edges", "cycle_ratio")
        return dataclasses.asdict(self) | {name: getattr(self, name) for name in ratios}


def clustering(mask: NDArray[np.bool_], groups: int = 1) -> Clustering:
    """Return how many cycles of four and paths of three edges a layer has.

    Parameters
    ----------
    mask
        Boolean, axes (out, in per group, kernel ...).
    groups
        Number of groups of a convolution.

    Returns
    -------
    Clustering
        The counts, and their expectations from the density and from the number of edges alone.

    Raises
    ------
    StructureError
        If the mask is not boolean or has fewer than two axes, or the outputs do not split into the groups.

    Notes
    -----
    The coefficient is that of Robins and Alexander (Small worlds among interlocking directors, 2004). A 4096 by 4096
    layer takes about a second, and a fraction of that when few weights are active.

    Examples
    --------
    >>> found = clustering(np.array([[True, True, False], [True, True, True]]))
    >>> found.cycles, found.paths, found.coefficient
    (1, 6, 0.6666666666666666)
    """
    blocks = channel_blocks(mask, groups)
    counts = [_count(block) for block in blocks]
    outputs, inputs = blocks.shape[1:]
    edges, pairs = int(np.count_nonzero(blocks)), blocks.size
    cycles = groups * math.comb(outputs, 2) * math.comb(inputs, 2)
    paths = groups * outputs * (outputs - 1) * inputs * (inputs - 1)
    density = mask.size // max(1, pairs), mask.size, int(np.count_nonzero(mask))
    return Clustering(
        edges=edges,
        cycles=sum(found for found, _ in counts),
        paths=sum(found for _, found in counts),
        edges_by_density=_expected(pairs, 1, *density),
        cycles_by_density=_expected(cycles, 4, *density),
        paths_by_density=_expected(paths, 3, *density),
        cycles_by_edges=_expected(cycles, 4, 1, pairs, edges),
        paths_by_edges=_expected(paths, 3, 1, pairs, edges),
    )


def _expected(patterns: int, edges: int, taps: int, size: int, active: int) -> float:
    """Return how many of some patterns are expected to be there, when any `active` of `size` weights are active.

    Parameters
    ----------
    patterns
        Number of places that the pattern can have.
    edges
        Number of kernels that it needs.
    taps
        Number of weights of each kernel.
    size, active
        Number of weights, and of active ones.

    Notes
    -----
    By inclusion and exclusion of the kernels without an active tap. The terms cancel almost to nothing in sparse
    layers, so they are fractions; for a single tap the sum is K (K - 1) .. / (N (N - 1) ..).
    """
    if not patterns:
        return 0.0
    empty, total = Fraction(1), Fraction(0)  # probability that the first `kernel` kernels are all empty
    for kernel in range(edges + 1):
        total += (-1) ** kernel * math.comb(edges, kernel) * empty
        for place in range(kernel * taps, min(edges, kernel + 1) * taps):
            empty *= Fraction(max(0, size - active - place), size - place)
    return float(patterns * total)


def _count(block: NDArray[np.bool_]) -> tuple[int, int]:
    """Return the cycles and paths of a group: of a matrix, shape (outputs, inputs)."""
    rows = block if block.shape[0] <= block.shape[1] else block.T
    near, far = np.count_nonzero(rows, axis=1), np.count_nonzero(rows, axis=0)
    sparse = int(np.square(far).sum()) * _SPARSE_COST < len(near) ** 2 * len(far)
    ordered = _shared_sparse(rows) if sparse else _shared_dense(rows)
    # So far every pair of rows was counted in both orders, and every row with itself.
    np.subtract.at(ordered, near, 1)
    twice = sum(number * math.comb(common, 2) for common, number in enumerate(ordered.tolist()) if number)
    return twice // 2, _paths(rows, near, far)


def _paths(rows: NDArray[np.bool_], near: NDArray[np.intp], far: NDArray[np.intp]) -> int:
    """Count paths by their middle edge: one more edge at either end."""
    total = 0
    for start in range(0, len(rows), _ROWS):
        row, column = np.nonzero(rows[start : start + _ROWS])
        # A sum over a row is below 2**53, so that a float holds it; the sum over all rows may need more than 63 bits.
        beyond = np.bincount(row, weights=far[column] - 1.0)
        total += sum((int(near[start + at]) - 1) * int(number) for at, number in enumerate(beyond) if number)
    return total


def _shared_dense(rows: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return how many ordered pairs of rows share 0, 1, 2 ... columns, shape (columns + 1,)."""
    found = np.zeros(rows.shape[1] + 1, dtype=np.int64)
    for one in range(0, len(rows), _ROWS):
        # Single precision counts up to 2**24 columns without error.
        left = rows[one : one + _ROWS].astype(np.float32)
        for two in range(one, len(rows), _ROWS):
            right = left if one == two else rows[two : two + _ROWS].astype(np.float32)
            common = (left @ right.T).astype(np.intp).reshape(-1)
            found += np.bincount(common, minlength=len(found)) * (1 if one == two else 2)
    return found


def _shared_sparse(rows: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the same as `_shared_dense`, but any number of pairs that share nothing."""
    edges = scipy.sparse.csr_array(rows).astype(np.int32)
    others = edges.T.tocsr()
    found = np.zeros(rows.shape[1] + 1, dtype=np.int64)
    for start in range(0, len(rows), _ROWS):
        found += np.bincount((edges[start : start + _ROWS] @ others).data, minlength=len(found))
    return found
