"""Numbers that sum up a curve over densities: where it crosses a level, and its mean over a logarithmic axis."""

import itertools
import math
from collections.abc import Sequence

__all__ = ["falling_crossing", "mean_over_log"]


def falling_crossing(positions: Sequence[float], values: Sequence[float], level: float) -> float | None:
    """Return where a curve first falls below a level, followed from the largest position downwards.

    Parameters
    ----------
    positions
        At least 0, falling; for example densities.
    values
        One a position.
    level
        What is crossed.

    Returns
    -------
    float or None
        Between the last point before that is not below the level and the first that is, linear in the logarithm of the
        position, or in the position itself where the lower one is 0. None where no point is below the level, or the
        first one is already.

    Examples
    --------
    >>> falling_crossing([1.0, 0.01], [1.0, 0.0], 0.5)
    0.1
    >>> falling_crossing([1.0, 0.0], [1.0, 0.0], 0.25)
    0.25
    """
    points = list(zip(positions, values, strict=True))
    if not points or points[0][1] < level:
        return None
    for (above, before), (below, after) in itertools.pairwise(points):
        if after < level:
            part = (before - level) / (before - after)
            if below == 0:
                return above * (1 - part)
            return float(above * (below / above) ** part)
    return None


def mean_over_log(positions: Sequence[float], values: Sequence[float]) -> float | None:
    """Return the mean height of a curve over the logarithm of its positions.

    Parameters
    ----------
    positions
        At least 0, falling; those that are 0 have no logarithm and are left out.
    values
        One a position.

    Returns
    -------
    float or None
        The area under the curve by the trapezoidal rule, divided by its width: every factor of ten counts the same. The
        base of the logarithm does not matter. None where the positions above 0 are not at least two different ones.

    Examples
    --------
    >>> mean_over_log([1.0, 0.1, 0.01], [1.0, 1.0, 0.0])
    0.75
    """
    points = [(math.log10(place), value) for place, value in zip(positions, values, strict=True) if place > 0]
    width = points[0][0] - points[-1][0] if points else 0.0
    if width == 0:
        return None
    area = math.fsum((a - b) * (before + after) / 2 for (a, before), (b, after) in itertools.pairwise(points))
    return area / width
