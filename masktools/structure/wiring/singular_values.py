"""The two largest singular values of a sparse matrix without negative entries: exact, and the same in every run."""

from collections.abc import Iterator

import numpy as np
import scipy.linalg
import scipy.sparse
import scipy.sparse.csgraph
import scipy.sparse.linalg
from numpy.typing import NDArray

from masktools.structure.wiring.channels import channel_blocks

__all__ = ["biadjacency", "connected_parts", "leading_singular_values"]

_DENSE = 150
"""Rows or columns, whichever are fewer, up to which a dense eigensolver is as fast as the Lanczos method."""

_RESIDUAL = 1e-8
"""Largest residual of an eigenvalue of the Gram matrix, relative to it; that of a singular value is half of it."""


def biadjacency(mask: NDArray[np.bool_], groups: int = 1) -> scipy.sparse.csr_array:
    """Return the biadjacency matrix of the channel graph: 1 where any kernel tap joins an output to an input.

    Parameters
    ----------
    mask
        Boolean, axes (out, in per group, kernel ...).
    groups
        Number of groups of a convolution: the matrix is block-diagonal.

    Returns
    -------
    scipy.sparse.csr_array
        Float64, shape (outputs, inputs of all groups). How many taps join two units does not count.

    Raises
    ------
    StructureError
        If the mask is not boolean or has fewer than two axes, or the outputs do not split into the groups.
    """
    blocks = channel_blocks(mask, groups)
    _, outputs, inputs = blocks.shape
    group, out, into = np.nonzero(blocks)
    ends = (group * outputs + out).astype(np.int32), (group * inputs + into).astype(np.int32)
    return scipy.sparse.csr_array((np.ones(group.size), ends), shape=(groups * outputs, groups * inputs))


def connected_parts(matrix: scipy.sparse.csr_array) -> Iterator[tuple[float, scipy.sparse.csr_array]]:
    """Yield the connected parts of a bipartite graph, those first that may have the largest singular values.

    Parameters
    ----------
    matrix
        Positive where a row is joined to a column.

    Yields
    ------
    bound : float
        No singular value of the part is larger: the square root of its largest sum of a row times that of a column.
        It never grows from part to part.
    part : scipy.sparse.csr_array
        The rows and columns of the part, in their order. Rows and columns without entries are in no part.
    """
    rows, columns = matrix.shape
    # Edges from rows to columns alone are enough, and take no copy of the matrix.
    starts = np.concatenate((matrix.indptr, np.full(columns, matrix.nnz, dtype=matrix.indptr.dtype)))
    graph = scipy.sparse.csr_array((matrix.data, matrix.indices + np.int32(rows), starts), shape=(rows + columns,) * 2)
    number, labels = scipy.sparse.csgraph.connected_components(graph, directed=False)
    largest = np.zeros((2, number))
    np.maximum.at(largest[0], labels[:rows], np.asarray(matrix.sum(axis=1)))
    np.maximum.at(largest[1], labels[rows:], np.asarray(matrix.sum(axis=0)))
    bounds = np.sqrt(largest[0] * largest[1])
    order = np.argsort(labels, kind="stable")
    ends = np.cumsum(np.bincount(labels, minlength=number))
    for part in np.argsort(-bounds, kind="stable"):
        if bounds[part] == 0:
            return
        nodes = order[ends[part - 1] if part else 0 : ends[part]]
        first = int(np.searchsorted(nodes, rows))
        whole = nodes.size == rows + columns
        yield float(bounds[part]), matrix if whole else matrix[nodes[:first]][:, nodes[first:] - rows]


def leading_singular_values(matrix: scipy.sparse.csr_array) -> tuple[float, float]:
    """Return the largest and the second largest singular value of a matrix without negative entries.

    Parameters
    ----------
    matrix
        Float64, shape (rows, columns), no entry below 0.

    Returns
    -------
    tuple of float
        Both with their multiplicity, to a relative 1e-8. A matrix of one row or one column, and any other of rank 1,
        has 0 as its second: zero rows and columns, which add nothing but zeros, never change the result.

    Notes
    -----
    Connected parts of the graph are solved one by one: in each the largest value is simple (Perron and Frobenius), so
    that equal parts, whose common value a Krylov method may find only once, are counted as often as they are. A part
    is solved by the Lanczos method on its Gram matrix with a fixed start, and by a dense solver where it is small or
    where the residuals are too large. Values follow from the vectors, not from the eigenvalues of the Gram matrix, as
    squaring would lose half of the digits of a small second value.
    """
    first = second = 0.0
    for bound, part in connected_parts(matrix):
        if bound <= second:
            break
        first, second = sorted((first, second, *_solve(part)), reverse=True)[:2]
    return first, second


def _solve(part: scipy.sparse.csr_array) -> tuple[float, float]:
    rows, columns = part.shape
    if part.nnz == rows * columns and part.data.min() == part.data.max():
        return float(part.data[0] * np.sqrt(rows * columns)), 0.0
    tall = part if rows >= columns else scipy.sparse.csr_array(part.T)
    if min(rows, columns) > _DENSE:
        found = _ritz(tall, _lanczos(tall))
        if found is not None:
            return found
    values = _ritz(tall, _dense(tall))
    return values if values is not None else tuple(scipy.linalg.svdvals(tall.toarray())[:2].tolist())


def _lanczos(tall: scipy.sparse.csr_array) -> NDArray[np.float64]:
    """Return approximate right singular vectors, shape (columns, up to 2)."""
    size = tall.shape[1]
    wide = scipy.sparse.csr_array(tall.T)
    gram = scipy.sparse.linalg.LinearOperator((size, size), matvec=lambda x: wide @ (tall @ x), dtype=np.float64)
    # A constant start is the first vector itself where all degrees are equal: the second would be left to rounding.
    start = np.random.default_rng(0).standard_normal(size)
    try:
        return np.asarray(scipy.sparse.linalg.eigsh(gram, k=2, v0=start, tol=_RESIDUAL / 10)[1], dtype=np.float64)
    except scipy.sparse.linalg.ArpackNoConvergence:
        return np.empty((size, 0))


def _dense(tall: scipy.sparse.csr_array) -> NDArray[np.float64]:
    values = tall.toarray()
    size = values.shape[1]
    vectors = scipy.linalg.eigh(values.T @ values, subset_by_index=[max(size - 2, 0), size - 1])[1]
    return np.asarray(vectors, dtype=np.float64)


def _ritz(tall: scipy.sparse.csr_array, vectors: NDArray[np.float64]) -> tuple[float, float] | None:
    """Return the singular values within the span of two vectors, or None where they are not those of the matrix."""
    if vectors.shape[1] < 2:
        return None
    base = np.linalg.qr(vectors)[0]
    image = tall @ base
    left, values, right = np.linalg.svd(image, full_matrices=False)
    residuals = np.linalg.norm(tall.T @ (left * values) - (base @ right.T) * values**2, axis=0)
    allowed = _RESIDUAL * values**2 + 64 * np.finfo(np.float64).eps * values[0] ** 2
    return (float(values[0]), float(values[1])) if np.all(residuals <= allowed) else None
