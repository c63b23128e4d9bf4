"""Whether the largest degrees of a layer follow a power law better than they follow lighter tails."""

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masktools.errors import StructureError
from masktools.frames import ToFrame
from masktools.structure.degrees import degrees
from masktools.structure.wiring.tail_models import (
    Tail,
    binomial,
    exponential,
    log_zeta,
    lognormal,
    negative_binomial,
    power_law,
)
from masktools.structure.wiring.vuong import TailComparison, compare

__all__ = ["LayerTails", "TailFit", "heavy_tails", "tail_fit"]

_DISTINCT = 3
"""Different degrees that a tail has at least: any distribution fits two."""

_LIGHT = ("exponential", "binomial", "negative_binomial")
"""Models whose tails decay exponentially or faster."""

_FIXED = "binomial"
"""The one of them to which nothing is fitted."""

_SIGNIFICANT = 0.05


@dataclasses.dataclass(frozen=True)
class TailFit:
    """A power law fitted to the largest degrees, and its rivals.

    Parameters
    ----------
    units
        Number of units.
    tail
        Number of units in the tail.
    start
        Smallest degree of the tail, in active weights.
    exponent
        Of the power law: the probability of degree d is proportional to d^-exponent.
    distance
        Largest distance of its cumulative distribution from that of the tail (Kolmogorov and Smirnov).
    comparisons
        One for each other model: ``lognormal``, ``exponential``, ``binomial`` (what density alone gives) and
        ``negative_binomial``.
    """

    units: int
    tail: int
    start: int
    exponent: float
    distance: float
    comparisons: tuple[TailComparison, ...]

    @property
    def heavy(self) -> bool:
        """Whether the power law is better than every model with a light tail, and significantly (5 %) if it was fitted.

        The binomial need not be significantly worse: a single hub can be all that speaks against it, and then the ratio
        is large but so is its deviation. The lognormal is not asked, for its tail is heavy too.
        """
        return all(
            found.log_likelihood_ratio > 0
            and (found.model == _FIXED or (found.p_value is not None and found.p_value < _SIGNIFICANT))
            for found in self.comparisons
            if found.model in _LIGHT
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name, and ``heavy``."""
        return {**dataclasses.asdict(self), "heavy": self.heavy}


@dataclasses.dataclass(frozen=True)
class LayerTails(ToFrame):
    """Tails of the degrees at both sides of a layer.

    Parameters
    ----------
    fan_in
        Of the output units; None where there are too few points.
    fan_out
        Of the input units; None where there are too few points.
    """

    fan_in: TailFit | None
    fan_out: TailFit | None

    def to_dict(self) -> dict[str, Any]:
        """Return ``{"fan_in": {..}, "fan_out": {..}}``."""
        return {name: fit and fit.to_dict() for name, fit in (("fan_in", self.fan_in), ("fan_out", self.fan_out))}


def heavy_tails(mask: NDArray[np.bool_], groups: int = 1, least: int = 50) -> LayerTails:
    """Return fits of the tails of fan-in and fan-out of a layer, every active tap counted.

    Parameters
    ----------
    mask
        Boolean, axes (out, in per group, kernel ...).
    groups
        Number of groups of a convolution.
    least
        Number of units that a tail has at least.

    Returns
    -------
    LayerTails
        One fit for the output units, one for the input units.

    Raises
    ------
    StructureError
        If there are fewer than two axes, or the outputs do not split into the groups; also as for `tail_fit`.
    """
    fan_out, fan_in = degrees(mask, groups)
    return LayerTails(
        tail_fit(fan_in, mask.size // max(1, len(fan_in)), least),
        tail_fit(fan_out, mask.size // max(1, len(fan_out)), least),
    )


def tail_fit(sequence: NDArray[np.int64], most: int, least: int = 50) -> TailFit | None:
    """Fit a power law to the tail of a sequence of degrees, and compare it with other models.

    Parameters
    ----------
    sequence
        Degree of each unit, shape (units,).
    most
        Number of weights of each unit, active or not: the largest possible degree.
    least
        Number of units that a tail has at least.

    Returns
    -------
    TailFit or None
        None where no tail has so many units and three different degrees, none of them 0.

    Raises
    ------
    StructureError
        If a degree is negative or above `most`, or `least` is below 1.

    Notes
    -----
    The tail starts where the power law fits best (Clauset, Shalizi and Newman, Power-law distributions in empirical
    data, 2009), which is to its advantage, and which the p-values do not take into account. All models are
    distributions on the whole numbers from the start on. The binomial has the density of the layer for its
    probability and nothing to fit; that a layer has a fixed number of active weights is left aside. The lognormal
    becomes a power law in the limit, so its ratio is never far above 0.
    """
    if least < 1:
        raise StructureError(f"a tail has at least one unit, got {least}")
    if len(sequence) and not 0 <= sequence.min() <= sequence.max() <= most:
        raise StructureError(f"degrees from {sequence.min()} to {sequence.max()} do not fit units with {most} weights")
    values, counts = np.unique(sequence[sequence > 0], return_counts=True)
    reach = np.cumsum(counts[::-1])[::-1]
    candidates = np.flatnonzero((reach >= least) & (np.arange(len(values), 0, -1) >= _DISTINCT))
    if not len(candidates):
        return None
    exponents = _exponents(values, counts, candidates)
    tails = [Tail(values[at:], counts[at:]) for at in candidates]
    distances = [_distance(tail, float(exponent)) for tail, exponent in zip(tails, exponents, strict=True)]
    best = int(np.argmin(distances))
    tail, exponent = tails[best], float(exponents[best])
    law = power_law(tail, exponent)
    rivals = {
        "lognormal": lognormal(tail),
        "exponential": exponential(tail),
        "binomial": binomial(tail, most, int(sequence.sum()) / (most * len(sequence))),
        "negative_binomial": negative_binomial(tail),
    }
    return TailFit(
        units=len(sequence),
        tail=int(tail.counts.sum()),
        start=tail.first,
        exponent=exponent,
        distance=distances[best],
        comparisons=tuple(compare(tail, law, name, rival) for name, rival in rivals.items()),
    )


def _exponents(
    values: NDArray[np.int64], counts: NDArray[np.int64], candidates: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Return the exponent of largest likelihood for each start of the tail, by golden section for all at once.

    The likelihood has one maximum. It is not above 1 + 1 / (mean logarithm over the start), the estimate for a
    continuous power law: a discrete one of the same exponent has the smaller logarithms.
    """
    weighed = np.cumsum((counts * np.log(values))[::-1])[::-1] / np.cumsum(counts[::-1])[::-1]
    mean, first = weighed[candidates], values[candidates].astype(np.float64)
    golden = (math.sqrt(5) - 1) / 2
    low, high = np.full(len(mean), math.log(1e-6)), np.log(1 / (mean - np.log(first)))

    def cost(logarithm: NDArray[np.float64]) -> NDArray[np.float64]:
        exponent = 1 + np.exp(logarithm)
        return exponent * mean + log_zeta(exponent, first)

    for _ in range(50):
        step = golden * (high - low)
        left = cost(high - step) < cost(low + step)
        low, high = np.where(left, low, high - step), np.where(left, low + step, high)
    return np.asarray(1 + np.exp((low + high) / 2), dtype=np.float64)


def _distance(tail: Tail, exponent: float) -> float:
    """Return the largest distance of cumulative distributions, at each value and just before the next one."""
    points = np.concatenate(([tail.first], tail.values + 1, tail.values[1:])).astype(np.float64)
    beyond = log_zeta(exponent, points)
    fitted = -np.expm1(beyond[1:] - beyond[0])
    seen = np.cumsum(tail.counts) / int(tail.counts.sum())
    return float(np.abs(np.concatenate((seen, seen[:-1])) - fitted).max())
