"""Means of a few repetitions, with their confidence intervals."""

import dataclasses
import math
import statistics
from collections.abc import Iterable
from typing import Any

from masktools.errors import StructureError
from masktools.frames import ToFrame

__all__ = ["Interval", "mean_interval"]


@dataclasses.dataclass(frozen=True)
class Interval(ToFrame):
    """A mean with its confidence interval.

    Parameters
    ----------
    mean
        Arithmetic mean.
    low, high
        Ends of the interval; None for a single value, which says nothing about its spread.
    n
        Number of values.
    confidence
        Share of such intervals that cover the true mean.
    """

    mean: float
    low: float | None
    high: float | None
    n: int
    confidence: float = 0.95

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name."""
        return dataclasses.asdict(self)


def mean_interval(values: Iterable[float], confidence: float = 0.95) -> Interval:
    """Return the mean of independent repetitions and its Student t interval.

    Parameters
    ----------
    values
        One number a repetition, for example the accuracy of each seed. Repetitions are independent: of
        several runs take one number a run, never one a pair of runs.
    confidence
        Between 0 and 1, both excluded.

    Returns
    -------
    Interval
        The mean and both ends; these are None for a single repetition.

    Raises
    ------
    StructureError
        If there is no value, a value is not finite, or the confidence lies outside (0, 1).

    Notes
    -----
    mean ± t(n - 1) s / √n with the sample standard deviation s (Student, 1908). The ends are not clipped:
    an interval for an accuracy may reach beyond 1.

    Examples
    --------
    >>> mean_interval([1.0, 2.0, 3.0]).mean
    2.0
    """
    numbers = [float(value) for value in values]
    if not numbers:
        raise StructureError("a mean needs at least one value")
    if not all(math.isfinite(number) for number in numbers):
        raise StructureError(f"a mean needs finite values, got {next(x for x in numbers if not math.isfinite(x))}")
    if not 0 < confidence < 1:
        raise StructureError(f"confidence must lie between 0 and 1, got {confidence}")
    n, mean = len(numbers), statistics.fmean(numbers)
    if n == 1:
        return Interval(mean, None, None, 1, confidence)
    from scipy.special import stdtrit  # scipy takes long to load, and most analyses need no interval

    half = float(stdtrit(n - 1, (1 + confidence) / 2)) * statistics.stdev(numbers) / math.sqrt(n)
    return Interval(mean, mean - half, mean + half, n, confidence)
