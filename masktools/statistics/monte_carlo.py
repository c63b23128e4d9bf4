"""An observed number beside draws of it from a null."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

from masktools.errors import StructureError

__all__ = ["NullLevel", "Tail", "monte_carlo_p", "null_level", "quantile"]

Tail: TypeAlias = Literal["greater", "less", "two-sided"]
"""Which draws speak against the null: at least as large, at least as small, or either."""


@dataclasses.dataclass(frozen=True)
class NullLevel:
    """What a number is under a null.

    Parameters
    ----------
    observed
        The number itself.
    mean, sd
        Mean and sample standard deviation of the draws; None where a draw is infinite, the latter also for a
        single draw.
    low, high
        Ends of the central 95 % of the draws (quantiles .025 and .975, linear between draws).
    draws
        Number of draws in which it was defined.
    p_value
        (1 + number of draws at least as extreme) / (1 + draws); twice the smaller one if two-sided.
    tail
        What counts as extreme.
    adjusted_p_value
        The p-value corrected for the number of layers (Benjamini-Hochberg); None for a total.
    """

    observed: float
    mean: float | None
    sd: float | None
    low: float
    high: float
    draws: int
    p_value: float
    tail: Tail
    adjusted_p_value: float | None = None

    @property
    def z(self) -> float | None:
        """Distance from the mean in standard deviations; None where all draws are equal."""
        return (self.observed - self.mean) / self.sd if self.sd and self.mean is not None else None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name, z included."""
        return {**dataclasses.asdict(self), "z": self.z}


def null_level(observed: float | None, draws: Sequence[float | None], tail: Tail = "greater") -> NullLevel | None:
    """Return what a number is under a null.

    Parameters
    ----------
    observed
        The number; None where it is not defined.
    draws
        The same number of masks drawn from the null, None where it is not defined.
    tail
        Which draws count as extreme.

    Returns
    -------
    NullLevel or None
        None if the number, or every draw of it, is not defined.
    """
    values = [value for value in draws if value is not None]
    if observed is None or not values:
        return None
    finite = all(math.isfinite(value) for value in values)
    mean = math.fsum(values) / len(values) if finite else None
    spread = None if mean is None else math.fsum((value - mean) ** 2 for value in values)
    return NullLevel(
        observed=observed,
        mean=mean,
        sd=math.sqrt(spread / (len(values) - 1)) if spread is not None and len(values) > 1 else None,
        low=quantile(values, 0.025),
        high=quantile(values, 0.975),
        draws=len(values),
        p_value=monte_carlo_p(observed, values, tail),
        tail=tail,
    )


def monte_carlo_p(observed: float, draws: Sequence[float], tail: Tail = "greater") -> float:
    """Return the p-value of a Monte Carlo test.

    The observed value counts as one of the draws: it is one of them if the null holds, and a p-value of 0 cannot come
    from finitely many draws (Davison and Hinkley, 1997; Phipson and Smyth, 2010).

    Parameters
    ----------
    observed
        The observed value.
    draws
        At least one value under the null.
    tail
        Which draws count as extreme; two-sided is twice the smaller tail, at most 1.

    Examples
    --------
    >>> monte_carlo_p(3.0, [1.0, 2.0, 3.0])
    0.5
    """
    if not draws:
        raise StructureError("a p-value needs at least one draw")
    above = (1 + sum(value >= observed for value in draws)) / (1 + len(draws))
    below = (1 + sum(value <= observed for value in draws)) / (1 + len(draws))
    if tail == "two-sided":
        return min(1.0, 2 * min(above, below))
    return above if tail == "greater" else below


def quantile(values: Sequence[float], share: float) -> float:
    """Return a quantile, linear between the values (Hyndman and Fan's type 7, numpy's default).

    >>> quantile([1.0, 2.0, 4.0], 0.75)
    3.0
    """
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    if place == below or not math.isfinite(ordered[below]):  # infinities have no difference
        return ordered[below]
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])
