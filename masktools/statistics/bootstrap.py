"""Intervals for numbers that belong to pairs of runs: the runs are resampled, never the pairs."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from masktools.errors import StructureError
from masktools.statistics.monte_carlo import quantile

__all__ = ["PairMean", "bootstrap_pairs"]


@dataclasses.dataclass(frozen=True)
class PairMean:
    """Mean over all pairs of runs, with an interval over runs.

    Parameters
    ----------
    mean
        Mean over the pairs whose value is defined; None if none is.
    low, high
        Ends of the percentile interval; None below three runs and three pairs with a value.
    runs, pairs
        Number of runs, and of pairs with a value.
    resamples, seed
        Number of resamples and the seed that they follow from.
    confidence
        Nominal share of such intervals that cover the true mean.
    """

    mean: float | None
    low: float | None
    high: float | None
    runs: int
    pairs: int
    resamples: int
    seed: int
    confidence: float = 0.95

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name."""
        return dataclasses.asdict(self)


def bootstrap_pairs(
    matrix: Sequence[Sequence[float | None]], resamples: int = 9999, seed: int = 0, confidence: float = 0.95
) -> PairMean:
    """Return the mean of a symmetric matrix off its diagonal, and its bootstrap interval over runs.

    Parameters
    ----------
    matrix
        One number for each pair of runs, shape (runs, runs); None where it is not defined. The diagonal is not read.
    resamples
        Number of resamples.
    seed
        What they follow from.
    confidence
        Between 0 and 1, both excluded.

    Raises
    ------
    StructureError
        If the matrix is not square and symmetric, or the confidence lies outside (0, 1).

    Notes
    -----
    Pairs share runs, so n (n - 1) / 2 pairs are no more than n independent observations: an interval over pairs is too
    narrow. Here n runs are drawn with replacement, and a resample's number is the mean over its pairs of different
    runs (a run paired with itself says nothing about two runs). Percentile interval. With few runs it is rough: in
    simulations in which runs differ in how much they agree with others, intervals for 95 % held the mean in 54 %
    (3 runs), 77 % (5), 89 % (10) and 93 % (30) of cases, and in 99 % where runs do not differ.
    """
    n = len(matrix)
    if any(len(row) != n for row in matrix) or any(matrix[i][j] != matrix[j][i] for i in range(n) for j in range(i)):
        raise StructureError("values of pairs need a symmetric matrix")
    if not 0 < confidence < 1:
        raise StructureError(f"confidence must lie between 0 and 1, got {confidence}")
    values = [value for i in range(n) for value in matrix[i][:i] if value is not None]
    mean = math.fsum(values) / len(values) if values else None
    joined = {place for i in range(n) for j in range(i) if matrix[i][j] is not None for place in (i, j)}
    if len(joined) < 3 or len(values) < 3:
        return PairMean(mean, None, None, n, len(values), 0, seed, confidence)
    import numpy as np

    filled = np.array([[0.0 if value is None else value for value in row] for row in matrix])
    defined = np.array([[value is not None for value in row] for row in matrix], dtype=float)
    np.fill_diagonal(filled, 0)
    np.fill_diagonal(defined, 0)
    counts = np.random.default_rng(seed).multinomial(n, [1 / n] * n, size=resamples).astype(float)
    total = np.einsum("ri,ij,rj->r", counts, filled, counts, optimize=True)
    weight = np.einsum("ri,ij,rj->r", counts, defined, counts, optimize=True)
    # A resample of one run over and over has no pair.
    means = [float(value) for value in total[weight > 0] / weight[weight > 0]]
    low, high = (quantile(means, share) for share in ((1 - confidence) / 2, (1 + confidence) / 2))
    return PairMean(mean, low, high, n, len(values), len(means), seed, confidence)
