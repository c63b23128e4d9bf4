"""Walks that never turn back: how well a layer with unequal degrees is connected, by its non-backtracking matrix."""

import dataclasses
import math
from typing import Any

import numpy as np
import scipy.linalg
import scipy.sparse
import scipy.sparse.linalg
from numpy.typing import NDArray

from masktools.frames import ToFrame
from masktools.structure.wiring.singular_values import biadjacency, connected_parts, leading_singular_values

__all__ = ["NonBacktracking", "layer_non_backtracking"]

_DENSE, _FALLBACK = 400, 1000
"""Units up to which all eigenvalues are computed: at once, and where the Arnoldi method did not find the second."""

_WANTED, _BASIS = 4, 80
"""Eigenvalues that the Arnoldi method looks for, and vectors it keeps. Most non-trivial eigenvalues have nearly the
same modulus, and with fewer it may settle on one that is not the second."""

_RESIDUAL = 1e-8
"""Residual of an eigenvalue, relative to it, at which it counts as found; ten times that is the most that is used."""


@dataclasses.dataclass(frozen=True)
class NonBacktracking(ToFrame):
    """Largest eigenvalues of the non-backtracking matrix B of the channel graph of a layer.

    B joins the directed edge u → v to all v → w with w ≠ u. All its eigenvalues come in pairs ±λ, as the graph has
    two sides; a pair counts once here.

    Parameters
    ----------
    core_inputs, core_outputs
        Number of units in the 2-core, which alone has cycles and decides all eigenvalues but 0.
    lambda_1
        The largest eigenvalue: by how much the number of walks grows with each step. 0 for a layer without cycles.
    lambda_2
        The largest modulus of the others. None for a layer without cycles, and where it could not be settled within
        the work allowed, see `layer_non_backtracking`.
    ratio
        ``lambda_2`` / √``lambda_1``. None where ``lambda_2`` is None.
    least_ratio
        A lower bound of the ratio: ``lambda_2`` is at least the geometric mean of the moduli of all but ±``lambda_1``.
        None for a layer without cycles.
    real_ratio
        The second singular value of √λ₁ (D_out + λ₁ − 1)^(−1/2) M (D_in + λ₁ − 1)^(−1/2) with the biadjacency matrix
        M and the degrees D of the 2-core. Where it is above 1, B has a second real eigenvalue above √λ₁. Where all
        units of a side have the same degree, it equals the ratio of the second singular value to the Ramanujan bound.
        None for a layer without cycles.
    """

    core_inputs: int
    core_outputs: int
    lambda_1: float
    lambda_2: float | None
    ratio: float | None
    least_ratio: float | None
    real_ratio: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name."""
        return dataclasses.asdict(self)


def layer_non_backtracking(mask: NDArray[np.bool_], groups: int = 1, work: float = 2e9) -> NonBacktracking:
    """Return the largest eigenvalues of the non-backtracking matrix of the channel graph of a layer.

    In a large sparse random graph, whatever its degrees, all but ±λ₁ are within √λ₁, up to a term that vanishes with
    size [2]_; where all units of a side have the same degree, this is what makes a Ramanujan graph. So the ratio needs
    no mean degree, but it depends on size and density like every other: compare it with that of null masks.

    Parameters
    ----------
    mask
        Boolean, axes (out, in per group, kernel ...). How many taps join two units does not count.
    groups
        Number of groups of a convolution. Groups are not joined, so ``lambda_2`` is then most often the ``lambda_1``
        of another group.
    work
        Multiplications to spend on ``lambda_2`` of each connected part of more than 400 units; 0 to leave it out there.
        It depends on the machine in no way whether they are enough. They are where the second eigenvalue stands out,
        and up to some 1000 units at either side where it does not.

    Returns
    -------
    NonBacktracking
        The eigenvalues, their ratios and bounds; None where there are none, or they could not be settled.

    Raises
    ------
    StructureError
        If the mask is not boolean or has fewer than two axes, or the outputs do not split into the groups.

    Notes
    -----
    By the formula of Ihara and Bass all eigenvalues of B but ±1 are those of λ²x − λAx + (D − 1)x = 0, with the
    adjacency matrix A and the degrees D of both sides; 1 and −1 are among these too. As units of one side are joined
    only to the other, with x = (x₁, λw) and s = x₁ − Mw this is a problem of half the size, μ = λ²:

    ::

        μ (s)   ( −(D₁ − 1)   −(D₁ − 1) M    ) (s)
          (w) = (    Mᵀ       MᵀM − (D₂ − 1) ) (w)

    Units with one edge are taken away first, again and again: they add nothing but zeros. Connected parts are solved
    one by one.

    A real second eigenvalue comes from parts that few edges join; an imaginary one from small singular values, which
    layers with unequal sides have as soon as they are not very sparse. ``real_ratio`` tells of the first alone: it is
    above 1 where the Bethe Hessian (λ₁ − 1) − √λ₁ A + D has a second direction below 0 [3]_. It costs no more than
    singular values do, whatever the size of the layer.

    References
    ----------
    .. [1] Bass. The Ihara-Selberg zeta function of a tree lattice. International Journal of Mathematics 3, 1992.
    .. [2] Bordenave, Lelarge, Massoulié. Nonbacktracking spectrum of random graphs: community detection and
       nonregular Ramanujan graphs. Annals of Probability 46, 2018.
    .. [3] Saade, Krzakala, Zdeborová. Spectral clustering of graphs with the Bethe Hessian. NeurIPS 2014.

    Examples
    --------
    >>> found = layer_non_backtracking(np.ones((3, 3), dtype=bool))
    >>> round(found.lambda_1, 6), round(found.lambda_2, 6)
    (2.0, 1.414214)
    """
    core = _two_core(biadjacency(mask, groups))
    if not core.nnz:
        return NonBacktracking(0, 0, 0.0, None, None, None, None)
    moduli: list[float] = []
    settled = True
    for bound, part in connected_parts(core):
        # λ₁² is at most the product of the largest degrees less 1, which is at most (bound − 1)².
        if len(moduli) > 1 and bound - 1 <= moduli[1]:
            break
        first, second = _solve(part, work)
        settled = settled and second is not None
        moduli = sorted([*moduli, first, *([] if second is None else [second])], reverse=True)
    lambda_1, lambda_2 = moduli[0], moduli[1] if settled else None
    outputs, inputs = core.shape
    root = math.sqrt(lambda_1)
    degrees = np.concatenate(_degrees(core))
    mean = (np.log(degrees - 1).sum() - 2 * math.log(lambda_1)) / (2 * (inputs + outputs - 1))
    return NonBacktracking(
        core_inputs=inputs,
        core_outputs=outputs,
        lambda_1=lambda_1,
        lambda_2=lambda_2,
        ratio=None if lambda_2 is None else lambda_2 / root,
        least_ratio=math.exp(mean) / root,
        real_ratio=_real_ratio(core, lambda_1),
    )


def _two_core(matrix: scipy.sparse.csr_array) -> scipy.sparse.csr_array:
    """Take units with one edge away until there are none, then units without any."""
    row, column = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr)), matrix.indices.astype(np.intp)
    size = 0
    while size != row.size:
        size = row.size
        kept = (np.bincount(row, minlength=1)[row] > 1) & (np.bincount(column, minlength=1)[column] > 1)
        row, column = row[kept], column[kept]
    (rows, row), (columns, column) = np.unique(row, return_inverse=True), np.unique(column, return_inverse=True)
    return scipy.sparse.csr_array((np.ones(row.size), (row, column)), shape=(rows.size, columns.size))


def _degrees(part: scipy.sparse.csr_array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return np.asarray(part.sum(axis=1), dtype=np.float64), np.asarray(part.sum(axis=0), dtype=np.float64)


def _real_ratio(core: scipy.sparse.csr_array, lambda_1: float) -> float:
    out, into = _degrees(core)
    left, right = ((lambda_1 - 1 + degrees) ** -0.5 for degrees in (out, into))
    values = core.data * np.repeat(left, np.diff(core.indptr)) * right[core.indices]
    scaled = scipy.sparse.csr_array((values, core.indices, core.indptr), shape=core.shape)
    return math.sqrt(lambda_1) * leading_singular_values(scaled)[1]


def _solve(part: scipy.sparse.csr_array, work: float) -> tuple[float, float | None]:
    """Return the largest eigenvalue of a connected part, and the second largest modulus or None."""
    out, into = _degrees(part)
    units = sum(part.shape)
    if part.nnz == units:
        return 1.0, 1.0  # A ring: all eigenvalues are roots of unity, some of them defective for a dense solver.
    moduli = None
    if units > _DENSE:
        restart = 2 * (part.nnz + units * _BASIS) * _BASIS
        if work >= restart:
            moduli = _arnoldi(part, _WANTED, _BASIS, int(work / restart))
        if moduli is None and (units > _FALLBACK or work < restart):
            first = _arnoldi(part, 1, 20, 1000)
            if first is not None:
                return math.sqrt(first[0]), None
    if moduli is None:
        moduli = np.sort(np.abs(scipy.linalg.eigvals(_half(part, out, into))))[::-1]
    return math.sqrt(moduli[0]), math.sqrt(moduli[1])


def _half(part: scipy.sparse.csr_array, out: NDArray[np.float64], into: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the matrix of the squared eigenvalues."""
    joined = part.toarray()
    lower = joined.T @ joined - np.diag(into - 1)
    return np.block([[-np.diag(out - 1), (1 - out)[:, None] * joined], [joined.T, lower]])


def _arnoldi(part: scipy.sparse.csr_array, wanted: int, basis: int, restarts: int) -> NDArray[np.float64] | None:
    """Return the largest moduli of the squared eigenvalues, the largest first, or None where they are not found."""
    rows, columns = part.shape
    out, into = _degrees(part)
    mirrored = scipy.sparse.csr_array(part.T)

    def product(x: NDArray[np.float64]) -> NDArray[np.float64]:
        s, w = x[:rows], x[rows:]
        t = s + part @ w
        return np.concatenate([(1 - out) * t, mirrored @ t - (into - 1) * w])

    operator = scipy.sparse.linalg.LinearOperator((rows + columns,) * 2, matvec=product, dtype=np.float64)
    start = np.random.default_rng(0).standard_normal(rows + columns)
    try:
        values, vectors = scipy.sparse.linalg.eigs(
            operator, k=wanted, v0=start, ncv=basis, maxiter=restarts, tol=_RESIDUAL
        )
    except scipy.sparse.linalg.ArpackNoConvergence:
        return None
    order = np.argsort(-np.abs(values), kind="stable")[:2]
    for value, vector in zip(values[order], vectors.T[order], strict=True):
        image = product(vector.real) + 1j * product(vector.imag)
        if np.linalg.norm(image - value * vector) > 10 * _RESIDUAL * abs(value):
            return None
    return np.abs(values[order])
