"""Differences between two things that were tried under the same conditions, for example with the same seeds."""

import dataclasses
import math
import statistics
from collections.abc import Iterable
from typing import Any

import numpy as np

from masktools.errors import StructureError
from masktools.frames import ToFrame
from masktools.statistics.intervals import mean_interval

__all__ = ["MOST_FLIPPED", "PairedDifference", "paired_difference", "sign_flip_p"]

MOST_FLIPPED = 20
"""Most differences of which all 2ⁿ choices of signs are counted."""

_ROUNDING = 4.0 * float(np.finfo(np.float64).eps)
"""What decimal numbers that differ by equally much can come apart by, relative to the largest: two roundings each."""

_TIE = 1e-9
"""Sums of differences that are closer, relative to their sizes, are equal but for rounding."""


@dataclasses.dataclass(frozen=True)
class PairedDifference(ToFrame):
    """A mean difference with its confidence interval and two tests of whether it is zero.

    Parameters
    ----------
    mean
        Arithmetic mean of the differences.
    low, high
        Ends of the Student t interval; None for a single pair.
    p_value
        Of the paired t-test, two-sided. None where that test says nothing: for a single pair, and where all
        differences are equal and not zero.
    permutation_p_value
        Of the exact sign-flip test, two-sided. It assumes no normal distribution, and cannot be below 2 / 2ⁿ: with five
        pairs .0625. None for a single pair and for more than 20.
    n
        Number of pairs.
    confidence
        Share of such intervals that cover the true mean difference.
    """

    mean: float
    low: float | None
    high: float | None
    p_value: float | None
    permutation_p_value: float | None
    n: int
    confidence: float = 0.95

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name."""
        return dataclasses.asdict(self)


def paired_difference(a: Iterable[float], b: Iterable[float], confidence: float = 0.95) -> PairedDifference:
    """Return the mean of ``a - b`` over paired repetitions, its interval, and how surprising it is.

    Parameters
    ----------
    a, b
        One number a repetition, in the same order in both: the first of `a` and the first of `b` come from the same
        seed, say. The pairs are independent of each other.
    confidence
        Between 0 and 1, both excluded.

    Returns
    -------
    PairedDifference
        The mean, both ends and two p-values; of a single pair the mean alone.

    Raises
    ------
    StructureError
        If `a` and `b` do not have the same number of values, have none, a value or a difference is not finite, or the
        confidence lies outside (0, 1).

    Notes
    -----
    t = √n mean / s with the sample standard deviation s of the differences, and n - 1 degrees of freedom (Student,
    1908).

    Where all differences are equal (up to rounding), s is 0 and t is not defined. Accuracies are counts of a few
    hundred or thousand images, so that five seeds can well differ by equally many of them by accident; p = 0, which
    other programs return for it, would call that certain. The interval then has no width, as that of
    `masktools.mean_interval`, and p is 1 if the differences are all zero, else None. The sign-flip test holds in
    these cases too.

    Examples
    --------
    >>> found = paired_difference([0.95, 0.96, 0.97], [0.93, 0.93, 0.93])
    >>> round(found.mean, 3), round(found.p_value, 3), found.permutation_p_value
    (0.03, 0.035, 0.25)
    """
    first, second = [float(value) for value in a], [float(value) for value in b]
    if len(first) != len(second):
        raise StructureError(f"paired values need equal numbers, got {len(first)} and {len(second)}")
    differences = [x - y for x, y in zip(first, second, strict=True)]
    interval = mean_interval(differences, confidence)
    n, mean = interval.n, interval.mean
    if n == 1:
        return PairedDifference(mean, None, None, None, None, 1, confidence)
    flipped = sign_flip_p(differences) if n <= MOST_FLIPPED else None
    rounding = _ROUNDING * max(map(abs, first + second))
    if max(differences) - min(differences) <= rounding:
        p_value = 1.0 if max(map(abs, differences)) <= rounding else None
        return PairedDifference(mean, mean, mean, p_value, flipped, n, confidence)
    from scipy.special import stdtr  # scipy takes long to load, and most analyses need no test

    p_value = 2 * float(stdtr(n - 1, -abs(mean) * math.sqrt(n) / statistics.stdev(differences)))
    return PairedDifference(mean, interval.low, interval.high, p_value, flipped, n, confidence)


def sign_flip_p(differences: Iterable[float]) -> float:
    """Return the exact two-sided p-value of the sign-flip test of whether differences are centred at zero.

    Parameters
    ----------
    differences
        One number a pair, at most 20 of them.

    Returns
    -------
    float
        Share of all 2ⁿ choices of signs whose sum is at least as far from zero as the one observed. The observed
        signs and their opposites are among them, so it is never below 2 / 2ⁿ: .25 with three pairs, .0625 with five,
        .0312 with six.

    Raises
    ------
    StructureError
        If there is no difference, there are more than 20, or one is not finite.

    Notes
    -----
    Fisher (1935), *The Design of Experiments*, section 21. It needs differences that are distributed symmetrically
    about zero if nothing is different, which those are whose two sides could be exchanged, and no normal
    distribution. Zeros count as differences, and change nothing.

    Examples
    --------
    >>> sign_flip_p([1, 2, 3])
    0.25
    >>> sign_flip_p([1, 2, -3])
    1.0
    """
    numbers = np.array([float(value) for value in differences])
    if not 1 <= len(numbers) <= MOST_FLIPPED:
        raise StructureError(f"the sign-flip test takes 1 to {MOST_FLIPPED} differences, got {len(numbers)}")
    if not np.isfinite(numbers).all():
        raise StructureError(f"the sign-flip test needs finite differences, got {numbers[~np.isfinite(numbers)][0]}")
    largest = float(np.abs(numbers).max())
    if largest == 0:
        return 1.0
    numbers = numbers / largest  # so that no sum overflows
    # The first sign is held: choices and their opposites are equally far from zero.
    sums = numbers[:1]
    for number in numbers[1:]:
        sums = np.concatenate((sums + number, sums - number))
    # The choice of no flip comes first, computed in the same order as all others.
    tie = _TIE * float(np.abs(numbers).sum())
    return float(np.mean(np.abs(sums) >= abs(float(sums[0])) - tie))
