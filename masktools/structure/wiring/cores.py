"""Cores of a layer or of any graph: what is left when units with few edges are taken away, again and again."""

import dataclasses
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from masktools.errors import StructureError
from masktools.frames import ToFrame
from masktools.structure.wiring.channels import channel_adjacency

__all__ = ["Cores", "LayerCores", "core_numbers", "cores", "layer_cores"]


@dataclasses.dataclass(frozen=True)
class Cores:
    """Cores of a graph. The k-core is the largest set of nodes each of which has k neighbours in the set.

    Parameters
    ----------
    nodes
        Number of nodes.
    degeneracy
        The largest k with a k-core; 0 for a graph without edges.
    core_size
        Number of nodes in that innermost core.
    """

    nodes: int
    degeneracy: int
    core_size: int

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class LayerCores(ToFrame):
    """Cores of the channel graph of a layer.

    Parameters
    ----------
    inputs, outputs
        Number of units at either side.
    degeneracy
        The largest k with a k-core: all its input units have k of its output units, and the other way round; 0 for an
        empty layer.
    core_inputs, core_outputs
        Number of units of either side in that innermost core.
    """

    inputs: int
    outputs: int
    degeneracy: int
    core_inputs: int
    core_outputs: int

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name."""
        return dataclasses.asdict(self)


def cores(adjacency: scipy.sparse.csr_array) -> Cores:
    """Return the cores of a graph whose edges have no direction.

    Parameters
    ----------
    adjacency
        As for `core_numbers`.

    Raises
    ------
    StructureError
        As for `core_numbers`.
    """
    numbers = core_numbers(adjacency)
    degeneracy = int(numbers.max(initial=0))
    return Cores(len(numbers), degeneracy, int(np.count_nonzero(numbers == degeneracy)))


def layer_cores(mask: NDArray[np.bool_], groups: int = 1) -> LayerCores:
    """Return the cores of the channel graph of a layer; an edge counts once, however many taps are active.

    Parameters
    ----------
    mask
        Boolean, axes (out, in per group, kernel ...).
    groups
        Number of groups of a convolution.

    Returns
    -------
    LayerCores
        The number of the innermost core, and how many units of either side it has.

    Raises
    ------
    StructureError
        If the mask is not boolean or has fewer than two axes, or the outputs do not split into the groups.

    Examples
    --------
    >>> layer_cores(np.array([[True, True, False], [True, True, True]])).degeneracy
    2
    """
    outputs = len(mask)
    adjacency = channel_adjacency(mask, groups)
    numbers = _peel(adjacency)
    inputs = len(numbers) - outputs
    degeneracy = int(numbers.max(initial=0))
    innermost = numbers == degeneracy
    return LayerCores(
        inputs=inputs,
        outputs=outputs,
        degeneracy=degeneracy,
        core_inputs=int(np.count_nonzero(innermost[:inputs])),
        core_outputs=int(np.count_nonzero(innermost[inputs:])),
    )


def core_numbers(adjacency: scipy.sparse.csr_array) -> NDArray[np.int64]:
    """Return the largest k for each node with the node in the k-core.

    Parameters
    ----------
    adjacency
        Square and symmetric, shape (nodes, nodes); nodes are joined where it is not 0, whatever the value. It is not
        changed.

    Returns
    -------
    ndarray
        Shape (nodes,).

    Raises
    ------
    StructureError
        If the matrix is not square or not symmetric, or joins a node to itself.

    Examples
    --------
    >>> core_numbers(scipy.sparse.csr_array([[0, 1, 1, 0], [1, 0, 1, 0], [1, 1, 0, 1], [0, 0, 1, 0]])).tolist()
    [2, 2, 2, 1]
    """
    if adjacency.shape[0] != adjacency.shape[1]:
        raise StructureError(f"an adjacency matrix is square, got shape {adjacency.shape}")
    # Sums of values that cancel are no edge, so values are added up before they are compared.
    pattern = scipy.sparse.csr_array(adjacency, copy=True)
    pattern.sum_duplicates()
    pattern.eliminate_zeros()
    if pattern.diagonal().any():
        raise StructureError("an adjacency matrix for cores joins no node to itself")
    mirrored = pattern.T.tocsr()
    if not (np.array_equal(pattern.indptr, mirrored.indptr) and np.array_equal(pattern.indices, mirrored.indices)):
        raise StructureError("an adjacency matrix for cores is symmetric")
    return _peel(pattern)


def _peel(graph: scipy.sparse.csr_array) -> NDArray[np.int64]:
    """Take away whole fronts of nodes at once (Batagelj and Zaversnik, 2003, take one node after the other).

    Every entry is read once, when its row is taken away; only the start of a level looks at all nodes.
    """
    starts, neighbours = graph.indptr.astype(np.int64), graph.indices
    left = np.diff(starts)
    numbers = np.zeros(len(left), dtype=np.int64)
    alive = np.ones(len(left), dtype=np.bool_)
    while alive.any():
        level = int(left[alive].min())
        front = np.flatnonzero(alive & (left <= level))
        while front.size:
            numbers[front] = level
            alive[front] = False
            touched = neighbours[_runs(starts[front], starts[front + 1])]
            touched = touched[alive[touched]]
            np.subtract.at(left, touched, 1)
            front = np.unique(touched[left[touched] <= level])
    return numbers


def _runs(first: NDArray[np.int64], last: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the numbers of several ranges, one range after the other."""
    lengths = last - first
    shifts = np.repeat(first - (np.cumsum(lengths) - lengths), lengths)
    return np.asarray(np.arange(len(shifts)) + shifts, dtype=np.int64)
