"""The spectrum of a layer: its two largest singular values, and the bound that a Ramanujan graph keeps."""

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masktools.frames import ToFrame
from masktools.structure.wiring.singular_values import biadjacency, leading_singular_values

__all__ = ["LayerSpectrum", "layer_spectrum", "ramanujan_bound"]


@dataclasses.dataclass(frozen=True)
class LayerSpectrum(ToFrame):
    """The two largest singular values of the channel graph of a layer, next to what its density alone makes of them.

    Parameters
    ----------
    inputs, outputs
        Number of units with at least one edge. Others change nothing here.
    edges
        Number of pairs of units that are joined; how many taps join them does not count.
    sigma_1, sigma_2
        The two largest singular values of the biadjacency matrix; 0 for an empty layer, and ``sigma_2`` 0 for one of
        rank 1, such as a complete bipartite graph. The eigenvalues of the adjacency matrix are ± these.
    mean_sigma_1
        √(mean fan-out · mean fan-in): ``sigma_1`` is never smaller, and equal where both sides are regular. None for
        an empty layer.
    random_sigma_2
        √(p(1−p)) (√inputs + √outputs) with the density p among the units counted here: what ``sigma_2`` tends to in
        large random layers whose weights are independent. None for an empty layer and for several groups.
    bound
        √(mean fan-out − 1) + √(mean fan-in − 1), see `ramanujan_bound`. None for an empty layer.
    ratio
        ``sigma_2`` / ``bound``. None where the bound is 0 or there is none.
    """

    inputs: int
    outputs: int
    edges: int
    sigma_1: float
    sigma_2: float
    mean_sigma_1: float | None
    random_sigma_2: float | None
    bound: float | None
    ratio: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name."""
        return dataclasses.asdict(self)


def ramanujan_bound(fan_out: float, fan_in: float) -> float:
    """Return √(fan_out − 1) + √(fan_in − 1).

    Parameters
    ----------
    fan_out, fan_in
        Mean degree of the units of either side, those without edges left out: at least 1.

    Returns
    -------
    float
        Of graphs with the same degree at all units of a side, those are Ramanujan whose non-trivial singular values
        are at most this; hardly smaller ones are possible in large graphs, and random ones come close to it.

    References
    ----------
    .. [1] Lubotzky, Phillips, Sarnak. Ramanujan graphs. Combinatorica 8, 1988 (equal degrees of both sides).
    .. [2] Feng, Li. Spectra of hypergraphs and applications. Journal of Number Theory 60, 1996 (unequal ones).
    .. [3] Brito, Dumitriu, Harris. Spectral gap in random bipartite biregular graphs and applications. Combinatorics,
       Probability and Computing 31, 2022.
    """
    return math.sqrt(fan_out - 1) + math.sqrt(fan_in - 1)


def layer_spectrum(mask: NDArray[np.bool_], groups: int = 1) -> LayerSpectrum:
    """Return the two largest singular values of the channel graph of a layer, and their levels by density.

    Parameters
    ----------
    mask
        Boolean, axes (out, in per group, kernel ...).
    groups
        Number of groups of a convolution. Groups are not joined, so ``sigma_2`` is then most often the ``sigma_1`` of
        another group.

    Returns
    -------
    LayerSpectrum
        Both values, what random layers of the same density have, and the bound for regular ones.

    Raises
    ------
    StructureError
        If the mask is not boolean or has fewer than two axes, or the outputs do not split into the groups.

    Notes
    -----
    The ratio to the bound is used for pruned networks by [1]_ and [2]_, with the mean degrees of either side in place
    of equal ones. Then the bound is no threshold: with unequal degrees ``sigma_2`` may exceed it in the best connected
    graph, and in a layer that is not very sparse it is below it for no reason but density, by about √(1−p). Compare
    the ratio with that of null masks; `non_backtracking` is the measure that allows for unequal degrees.

    References
    ----------
    .. [1] Pal, Biswas, Kolay, Mitra, Basu. A study on the Ramanujan graph property of winning lottery tickets. ICML
       2022.
    .. [2] Hoang, Liu, Marculescu, Wang. Revisiting pruning at initialization through the lens of Ramanujan graph.
       ICLR 2023.
    .. [3] Yin, Bai, Krishnaiah. On the limit of the largest eigenvalue of the large dimensional sample covariance
       matrix. Probability Theory and Related Fields 78, 1988 (``random_sigma_2``: the mean has rank 1, so by Weyl's
       inequality the second value of the mask is at most the first of what remains).

    Examples
    --------
    >>> found = layer_spectrum(np.array([[1, 1, 0], [0, 1, 1], [1, 0, 1]], dtype=bool))  # a ring of six units
    >>> round(found.sigma_1, 6), round(found.sigma_2, 6), found.bound
    (2.0, 1.0, 2.0)
    """
    matrix = biadjacency(mask, groups)
    edges = int(matrix.nnz)
    outputs = int(np.count_nonzero(np.diff(matrix.indptr)))
    inputs = int(np.count_nonzero(np.bincount(matrix.indices, minlength=1)))
    sigma_1, sigma_2 = leading_singular_values(matrix)
    if not edges:
        return LayerSpectrum(0, 0, 0, sigma_1, sigma_2, None, None, None, None)
    density = edges / (inputs * outputs)
    bound = ramanujan_bound(edges / inputs, edges / outputs)
    level = math.sqrt(density * (1 - density)) * (math.sqrt(inputs) + math.sqrt(outputs))
    return LayerSpectrum(
        inputs=inputs,
        outputs=outputs,
        edges=edges,
        sigma_1=sigma_1,
        sigma_2=sigma_2,
        mean_sigma_1=edges / math.sqrt(inputs * outputs),
        random_sigma_2=level if groups == 1 else None,
        bound=bound,
        ratio=sigma_2 / bound if bound else None,
    )
