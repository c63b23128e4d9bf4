"""What two masks of a layer share by chance: the hypergeometric null, layer by layer and summed."""

import dataclasses
import math
import sys
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from masktools.errors import StructureError

__all__ = ["LEAST_P_VALUE", "Chance", "stratified_kappa", "stratified_z"]

LEAST_P_VALUE = sys.float_info.min
"""What a p-value below the smallest normal float is rounded up to, 2.2e-308.

Nothing that happened has a probability of 0, and a p-value of 0 has no logarithm; None would say that there is none.
One that is too large is still a valid one: it never claims more than the data say.
"""

_REACH = 40.0
"""Standard deviations beyond which a tail probability is below the smallest float."""

_REACH_STEPS = 1000
"""Further steps for skewed (Poisson-like) layers, whose tail is longer than a normal one."""


@dataclasses.dataclass(frozen=True)
class Chance:
    """Distribution of the intersection of two independent uniform masks with fixed counts.

    One mask is held, the other is drawn uniformly among all masks with its number of active weights. The
    number of common weights is then hypergeometric. All counts are Python integers and enter as exact
    ratios of integers, so layers of any size neither overflow nor lose digits by cancellation.

    Parameters
    ----------
    size
        Number of weights N of the layer.
    active_a, active_b
        Numbers of active weights K1 and K2.

    Raises
    ------
    StructureError
        If a count is negative or exceeds the size.
    """

    size: int
    active_a: int
    active_b: int

    def __post_init__(self) -> None:
        if not (0 <= self.active_a <= self.size and 0 <= self.active_b <= self.size):
            raise StructureError(
                f"{self.active_a} and {self.active_b} active weights do not fit a layer of {self.size}"
            )

    @property
    def mean(self) -> float:
        """Expected number of common weights, K1 K2 / N; 0 for a layer without weights."""
        return self.active_a * self.active_b / self.size if self.size else 0.0

    @property
    def variance(self) -> float:
        """Variance of the number of common weights, K1 K2 (N - K1) (N - K2) / (N² (N - 1))."""
        n, a, b = self.size, self.active_a, self.active_b
        return a * b * (n - a) * (n - b) / (n * n * (n - 1)) if n > 1 else 0.0

    @property
    def room(self) -> float:
        """K1 + K2 - 2 mean, the denominator of kappa; 0 where both masks are dense or both are empty."""
        n, a, b = self.size, self.active_a, self.active_b
        return ((a + b) * n - 2 * a * b) / n if n else 0.0

    @property
    def jaccard(self) -> float | None:
        """Jaccard index at the expected intersection; p / (2 - p) at equal density p. None if both are empty."""
        n, a, b = self.size, self.active_a, self.active_b
        union = (a + b) * n - a * b
        return a * b / union if union else None

    def excess(self, intersection: int) -> float:
        """Return the number of common weights above the mean.

        Raises
        ------
        StructureError
            If two masks with these counts cannot have that intersection.
        """
        n, a, b = self.size, self.active_a, self.active_b
        if not max(0, a + b - n) <= intersection <= min(a, b):
            raise StructureError(f"masks with {a} and {b} of {n} active weights cannot share {intersection}")
        return (intersection * n - a * b) / n if n else 0.0

    def z(self, intersection: int) -> float | None:
        """Return the excess in standard deviations; None where chance leaves no freedom (variance 0)."""
        excess, variance = self.excess(intersection), self.variance
        return excess / math.sqrt(variance) if variance > 0 else None

    def kappa(self, intersection: int) -> float | None:
        """Return Cohen's kappa of the two masks: 0 at chance, 1 where they are equal.

        It is 2 (X - mean) / (K1 + K2 - 2 mean). At equal counts this is the phi coefficient. None where
        both masks are dense or both are empty.
        """
        self.excess(intersection)
        n, a, b = self.size, self.active_a, self.active_b
        room = (a + b) * n - 2 * a * b
        return 2 * (intersection * n - a * b) / room if room else None

    def p_value(self, intersection: int) -> float | None:
        """Return the exact two-sided p-value: twice the smaller tail, at most 1; None where variance is 0.

        The probabilities are summed from their ratios, which needs no factorials. What is smaller than a float
        can hold is rounded up to `LEAST_P_VALUE`, 2.2e-308.
        """
        self.excess(intersection)
        if self.variance <= 0:
            return None
        start, log = self.log_probabilities()
        at = intersection - start
        if not 0 <= at < len(log):
            return LEAST_P_VALUE
        weight = np.exp(log)
        return max(LEAST_P_VALUE, min(1.0, 2 * min(float(weight[: at + 1].sum()), float(weight[at:].sum()))))

    def log_probabilities(self, *including: int) -> tuple[int, NDArray[np.float64]]:
        """Return the logarithms of the probabilities of all intersections that can be told from impossible.

        Parameters
        ----------
        including
            Intersections to reach in any case.

        Returns
        -------
        start, logarithms
            The smallest intersection, and the logarithms of its probability and of those that follow; shape (number,).
            They are summed from ratios of neighbours, which needs no factorials.
        """
        n, a, b = self.size, self.active_a, self.active_b
        least, most = max(0, a + b - n), min(a, b)
        mode = (a + 1) * (b + 1) // (n + 2)
        reach = math.ceil(_REACH * math.sqrt(self.variance)) + _REACH_STEPS
        low = max(least, min(mode - reach, *including, mode))
        high = min(most, max(mode + reach, *including, mode))
        k = np.arange(low, high, dtype=np.float64)
        steps = np.log(a - k) + np.log(b - k) - np.log(k + 1) - np.log(n - a - b + k + 1)
        log = np.concatenate(([0.0], np.cumsum(steps)))
        log -= log.max()
        return low, log - math.log(float(np.exp(log).sum()))


def stratified_z(layers: Iterable[tuple[Chance, int]]) -> float | None:
    """Return z over several layers: means and variances add up over layers.

    One chance level for the pooled weights would be wrong: layers differ in density, and that alone makes
    independent masks agree far more often than the pooled density says.

    Parameters
    ----------
    layers
        For each layer its chance and the number of common weights.

    Returns
    -------
    float or None
        None where no layer has any variance.
    """
    pairs = list(layers)
    variance = math.fsum(chance.variance for chance, _ in pairs)
    excess = math.fsum(chance.excess(intersection) for chance, intersection in pairs)
    return excess / math.sqrt(variance) if variance > 0 else None


def stratified_kappa(layers: Iterable[tuple[Chance, int]]) -> float | None:
    """Return kappa over several layers, 2 sum(X - mean) / sum(K1 + K2 - 2 mean).

    Parameters
    ----------
    layers
        For each layer its chance and the number of common weights. Layers that are dense in both masks or
        empty in both add nothing.

    Returns
    -------
    float or None
        None where every layer is dense in both masks or empty in both.
    """
    pairs = list(layers)
    room = math.fsum(chance.room for chance, _ in pairs)
    excess = math.fsum(chance.excess(intersection) for chance, intersection in pairs)
    return 2 * excess / room if room > 0 else None
