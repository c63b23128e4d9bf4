"""Iterative mean difference of bound: how far regular subgraphs of a layer are below the Ramanujan bound."""

import dataclasses
import math
from typing import Any, Literal

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from masktools.errors import StructureError
from masktools.structure.wiring.singular_values import biadjacency, leading_singular_values
from masktools.structure.wiring.spectrum import ramanujan_bound

__all__ = ["BoundDifference", "layer_bound_difference"]

_LEAST = 3
"""Least mean degree of either side: below it a subgraph says nothing about expansion."""


@dataclasses.dataclass(frozen=True)
class BoundDifference:
    """Iterative mean difference of bound (IMDB) of a layer.

    Parameters
    ----------
    side
        Whose units are grouped by their degree: ``inputs`` or ``outputs``.
    subgraphs
        Number of subgraphs that count.
    units
        Number of units of that side in these subgraphs.
    difference
        Mean of bound − ``sigma_2`` over the subgraphs, negative where all exceed it. None without
        subgraphs.
    relative_difference
        Mean of 1 − ``sigma_2`` / bound, at most 1. None without subgraphs.
    """

    side: Literal["inputs", "outputs"]
    subgraphs: int
    units: int
    difference: float | None
    relative_difference: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name."""
        return dataclasses.asdict(self)


def layer_bound_difference(
    mask: NDArray[np.bool_], groups: int = 1, side: Literal["inputs", "outputs"] = "inputs"
) -> BoundDifference:
    """Return the iterative mean difference of bound (IMDB) of the channel graph of a layer.

    Units of one side that have the same degree d, together with all units that they are joined to, make a subgraph
    that is regular at that side. Every degree makes one. It counts where d and the mean degree of the other side are
    at least 3; its bound is that of `ramanujan_bound` for d and that mean.

    Parameters
    ----------
    mask
        Boolean, axes (out, in per group, kernel ...).
    groups
        Number of groups of a convolution.
    side
        Whose units are grouped by degree.

    Raises
    ------
    StructureError
        If the mask is not boolean or has fewer than two axes, the outputs do not split into the groups, or there is
        no such side.

    Notes
    -----
    The definition is that of the program its authors published with [1]_ (github.com/VITA-Group/ramanujan-on-pai),
    whose left side is the inputs; ``relative_difference`` is its normalised form. Two things differ: there every
    kernel tap of an input is a unit of its own, here units are channels, as in all measures of the channel graph; and
    degrees of which there is one unit or two are left out there beforehand, which changes nothing, as the other side
    of such a subgraph never has a mean degree of 3.

    References
    ----------
    .. [1] Hoang, Liu, Marculescu, Wang. Revisiting pruning at initialization through the lens of Ramanujan graph.
       ICLR 2023.

    Examples
    --------
    >>> found = layer_bound_difference(np.ones((4, 4), dtype=bool))  # complete: its second singular value is 0
    >>> found.subgraphs, round(found.difference, 6), found.relative_difference
    (1, 3.464102, 1.0)
    """
    if side not in ("inputs", "outputs"):
        raise StructureError(f"a layer has inputs and outputs, not {side!r}")
    matrix = biadjacency(mask, groups)
    matrix = matrix if side == "outputs" else scipy.sparse.csr_array(matrix.T)
    degrees = np.diff(matrix.indptr)
    differences, relative, units = [], [], 0
    for degree in np.unique(degrees[degrees >= _LEAST]).tolist():
        rows = matrix[np.flatnonzero(degrees == degree)]
        opposite = rows.nnz / np.unique(rows.indices).size
        if opposite < _LEAST:
            continue
        bound = ramanujan_bound(degree, opposite)
        sigma_2 = leading_singular_values(rows)[1]
        differences.append(bound - sigma_2)
        relative.append(1 - sigma_2 / bound)
        units += rows.shape[0]
    number = len(differences)
    if not number:
        return BoundDifference(side, 0, 0, None, None)
    return BoundDifference(side, number, units, math.fsum(differences) / number, math.fsum(relative) / number)
