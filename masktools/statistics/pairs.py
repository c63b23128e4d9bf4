"""Intervals for numbers that belong to pairs of runs: one run after the other is left out, never a pair."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from masktools.errors import StructureError
from masktools.frames import ToFrame

__all__ = ["PairMean", "mean_over_pairs"]


@dataclasses.dataclass(frozen=True)
class PairMean(ToFrame):
    """Mean over all pairs of runs, with an interval over runs.

    Parameters
    ----------
    mean
        Mean over the pairs whose value is defined; None if none is.
    low, high
        Ends of the interval; None below three runs that have pairs with a value, and where leaving out one of those
        runs leaves no such pair.
    runs, pairs
        Number of runs that have a pair with a value, and of such pairs.
    confidence
        Nominal share of such intervals that cover the true mean.
    """

    mean: float | None
    low: float | None
    high: float | None
    runs: int
    pairs: int
    confidence: float = 0.95

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name."""
        return dataclasses.asdict(self)


def mean_over_pairs(matrix: Sequence[Sequence[float | None]], confidence: float = 0.95) -> PairMean:
    """Return the mean of a symmetric matrix off its diagonal, and its interval over runs.

    Parameters
    ----------
    matrix
        One number for each pair of runs, shape (runs, runs); None where it is not defined. The diagonal is not read.
    confidence
        Between 0 and 1, both excluded.

    Returns
    -------
    PairMean
        The mean and both ends; each is None where it is not defined.

    Raises
    ------
    StructureError
        If the matrix is not square and symmetric, or the confidence lies outside (0, 1).

    Notes
    -----
    Pairs share runs, so n (n - 1) / 2 pairs are no more than n independent observations: an interval over pairs is too
    narrow. The mean is a U-statistic, and its variance that of the jackknife (Arvesen, 1969): (n - 1) / n times the sum
    of squares of what the mean becomes without each of the runs, less the mean. It cannot be below the variance of as
    many unrelated pairs (Hoeffding, 1948), and where the jackknife falls below that is taken instead. The interval is
    mean ± t(n - 1) standard errors. It is exact where runs differ by normal amounts that add up in a pair.
    ``docs/overlap.md`` says how often it holds the mean elsewhere.

    Examples
    --------
    >>> found = mean_over_pairs([[None, 0.1, 0.2], [0.1, None, 0.3], [0.2, 0.3, None]])
    >>> round(found.mean, 3), round(found.low, 3), round(found.high, 3)
    (0.2, -0.297, 0.697)
    """
    n = len(matrix)
    if any(len(row) != n for row in matrix) or any(matrix[i][j] != matrix[j][i] for i in range(n) for j in range(i)):
        raise StructureError("values of pairs need a symmetric matrix")
    if not 0 < confidence < 1:
        raise StructureError(f"confidence must lie between 0 and 1, got {confidence}")
    found = {(j, i): value for i in range(n) for j, value in enumerate(matrix[i][:i]) if value is not None}
    runs = sorted({run for pair in found for run in pair})
    mean = math.fsum(found.values()) / len(found) if found else None
    without = [[value for pair, value in found.items() if run not in pair] for run in runs]
    if mean is None or len(runs) < 3 or not all(without):
        return PairMean(mean, None, None, len(runs), len(found), confidence)
    from scipy.special import stdtrit  # scipy takes long to load, and most analyses need no interval

    jackknife = (len(runs) - 1) / len(runs) * math.fsum((math.fsum(rest) / len(rest) - mean) ** 2 for rest in without)
    spread = math.fsum((value - mean) ** 2 for value in found.values()) / (len(found) - 1)
    error = math.sqrt(max(jackknife, spread / len(found)))
    half = float(stdtrit(len(runs) - 1, (1 + confidence) / 2)) * error
    return PairMean(mean, mean - half, mean + half, len(runs), len(found), confidence)
