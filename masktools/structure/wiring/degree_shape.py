"""How unequal the degrees of a layer are, and how unequal density alone would make them."""

import dataclasses
import math
from typing import Any

import numpy as np
import scipy.special
from numpy.typing import NDArray

from masktools.frames import ToFrame
from masktools.statistics.chance import Chance
from masktools.structure.degrees import degrees

__all__ = ["DegreeShape", "LayerDegreeShape", "degree_shape", "degree_shapes", "gini"]


@dataclasses.dataclass(frozen=True)
class DegreeShape:
    """Moments and inequality of the degrees of the units at one side of a layer.

    What density alone gives is the expectation over all masks of the layer with as many active weights, all equally
    likely (the layer shuffle).

    Parameters
    ----------
    units
        Number of units.
    mean
        Mean degree, in active weights; None without units. The shuffle does not change it.
    variance
        Mean squared distance from the mean, in squared active weights.
    variance_by_density
        Its expectation: the variance of the hypergeometric degree of a unit.
    cv
        Coefficient of variation, the root of `variance` over the mean; None where no weight is active.
    cv_by_density
        The root of `variance_by_density` over the mean: the root mean square of the coefficient over all masks.
    gini
        Gini coefficient: 0 where all degrees are equal, 1 - 1 / units where one unit has all weights; None where no
        weight is active.
    gini_by_density
        Its expectation.
    """

    units: int
    mean: float | None
    variance: float | None
    variance_by_density: float | None
    cv: float | None
    cv_by_density: float | None
    gini: float | None
    gini_by_density: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class LayerDegreeShape(ToFrame):
    """Shape of the degrees at both sides of a layer.

    Parameters
    ----------
    fan_in
        Of the output units: active weights into each.
    fan_out
        Of the input units: active weights out of each.
    """

    fan_in: DegreeShape
    fan_out: DegreeShape

    def to_dict(self) -> dict[str, Any]:
        """Return ``{"fan_in": {..}, "fan_out": {..}}``."""
        return dataclasses.asdict(self)


def degree_shapes(mask: NDArray[np.bool_], groups: int = 1) -> LayerDegreeShape:
    """Return the shape of fan-in and fan-out of a layer, every active tap counted.

    Parameters
    ----------
    mask
        Boolean, axes (out, in per group, kernel ...).
    groups
        Number of groups of a convolution.

    Returns
    -------
    LayerDegreeShape
        One shape for the output units, one for the input units.

    Raises
    ------
    StructureError
        If there are fewer than two axes, or the outputs do not split into the groups.

    Examples
    --------
    >>> shape = degree_shapes(np.array([[True, True, True], [True, False, False]]))
    >>> shape.fan_in.mean, shape.fan_in.cv, shape.fan_in.gini
    (2.0, 0.5, 0.25)
    """
    fan_out, fan_in = degrees(mask, groups)
    return LayerDegreeShape(degree_shape(fan_in, mask.size), degree_shape(fan_out, mask.size))


def degree_shape(sequence: NDArray[np.int64], size: int) -> DegreeShape:
    """Return the shape of a sequence of degrees.

    Parameters
    ----------
    sequence
        Active weights of each unit, shape (units,).
    size
        Number of weights of the layer, active or not; each unit has an equal share of them.

    Notes
    -----
    Under the shuffle the sum of the degrees stays, so degrees are not independent. With n weights a unit and K of N
    active, the degrees of two units have a sum s that is hypergeometric (2n of N), and given s the first one is
    hypergeometric (n of 2n). The expected distance of 2x and s telescopes to 2 m (n - s + m) P(m) / n at m = ceil(s /
    2), as for the mean deviation of a binomial (Diaconis and Zabell, Closed form summation for classical
    distributions, 1991), which leaves one exact sum over s.
    """
    units, active = len(sequence), int(sequence.sum())
    if not units:
        return DegreeShape(0, None, None, None, None, None, None, None)
    mean = active / units
    variance = float(np.square(sequence - mean).mean())
    by_density = Chance(size, active, size // units).variance
    if not active:
        return DegreeShape(units, mean, variance, by_density, None, None, None, None)
    return DegreeShape(
        units=units,
        mean=mean,
        variance=variance,
        variance_by_density=by_density,
        cv=math.sqrt(variance) / mean,
        cv_by_density=math.sqrt(by_density) / mean,
        gini=gini(sequence),
        # The mean over ordered pairs of units, of which one in `units` pairs a unit with itself.
        gini_by_density=_mean_difference(size, active, size // units) * (units - 1) / (2 * active)
        if units > 1
        else 0.0,
    )


def gini(sequence: NDArray[np.int64]) -> float | None:
    """Return the Gini coefficient of numbers none of which is negative: mean difference of pairs over twice the mean.

    Parameters
    ----------
    sequence
        Shape (units,). A unit is also paired with itself.

    Returns
    -------
    float or None
        None where the sum is 0.

    Examples
    --------
    >>> gini(np.array([0, 0, 0, 6]))
    0.75
    """
    units, total = len(sequence), int(sequence.sum())
    if not total:
        return None
    ranks = 2 * np.arange(1, units + 1) - units - 1
    return int(ranks @ np.sort(sequence)) / (units * total)


def _mean_difference(size: int, active: int, each: int) -> float:
    """Return the expected distance of the degrees of two units with `each` of the `size` weights."""
    start, log = Chance(size, active, 2 * each).log_probabilities()
    both = start + np.arange(len(log))
    half = (both + 1) // 2
    within = _log_choose(each, half) + _log_choose(each, both - half) - _log_choose(2 * each, both)
    return float(np.exp(log + within) @ (2 * half * (each - both + half) / each))


def _log_choose(total: int, chosen: NDArray[np.int64]) -> NDArray[np.float64]:
    ln = scipy.special.gammaln
    return np.asarray(ln(total + 1) - ln(chosen + 1) - ln(total - chosen + 1), dtype=np.float64)
