"""Ratios of two means that were measured on the same repetitions."""

import math
import statistics
from collections.abc import Sequence

from masktools.errors import StructureError
from masktools.statistics.intervals import Interval

__all__ = ["ratio_of_means"]


def ratio_of_means(numerators: Sequence[float], denominators: Sequence[float], confidence: float = 0.95) -> Interval:
    """Return mean(numerators) / mean(denominators) with Fieller's interval.

    Parameters
    ----------
    numerators, denominators
        One number a repetition, paired: for example what a network keeps of what another gains, seed by seed.
    confidence
        Between 0 and 1, both excluded.

    Returns
    -------
    Interval
        Without ends for a single repetition, and where the mean denominator is not clearly different from 0: the
        ratio could then be anything.

    Raises
    ------
    StructureError
        If the sequences are empty or of different lengths, a number is not finite, the mean denominator is 0, or the
        confidence lies outside (0, 1).

    Notes
    -----
    The interval is all ratios r for which a t-test does not reject that mean(numerator - r denominator) is 0 (Fieller,
    1954). A mean of ratios would be ruled by the repetitions whose denominator is nearly 0.

    Examples
    --------
    >>> found = ratio_of_means([1.0, 1.2, 1.1], [2.0, 2.2, 2.4])
    >>> round(found.mean, 3), round(found.low, 3), round(found.high, 3)
    (0.5, 0.397, 0.63)
    """
    n = len(numerators)
    if not n or n != len(denominators):
        raise StructureError(f"a ratio of means needs pairs, got {n} numerators and {len(denominators)} denominators")
    if not all(map(math.isfinite, [*numerators, *denominators])):
        raise StructureError("a ratio of means needs finite numbers")
    if not 0 < confidence < 1:
        raise StructureError(f"confidence must lie between 0 and 1, got {confidence}")
    top, bottom = statistics.fmean(numerators), statistics.fmean(denominators)
    if bottom == 0:
        raise StructureError("a ratio of means needs a mean denominator other than 0")
    ratio = top / bottom
    if n == 1:
        return Interval(ratio, None, None, 1, confidence)
    from scipy.special import stdtrit  # scipy takes long to load, and most analyses need no interval

    t2 = float(stdtrit(n - 1, (1 + confidence) / 2)) ** 2 / n
    a, b = statistics.variance(numerators), statistics.variance(denominators)
    both = statistics.covariance(numerators, denominators)
    # (top - r bottom)² = t² var(numerator - r denominator) / n, a quadratic in r.
    square, linear, constant = bottom**2 - t2 * b, top * bottom - t2 * both, top**2 - t2 * a
    if square <= 0:
        return Interval(ratio, None, None, n, confidence)
    root = math.sqrt(max(0.0, linear**2 - square * constant))
    return Interval(ratio, (linear - root) / square, (linear + root) / square, n, confidence)
