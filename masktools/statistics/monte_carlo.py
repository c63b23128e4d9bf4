"""An observed number beside draws of it from a null."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

from masktools.errors import StructureError
from masktools.frames import ToFrame

__all__ = ["NullLevel", "Tail", "monte_carlo_p", "null_level", "quantile"]

Tail: TypeAlias = Literal["greater", "less", "two-sided"]
"""Which draws speak against the null: at least as large, at least as small, or either."""


@dataclasses.dataclass(frozen=True)
class NullLevel(ToFrame):
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
    p_greater, p_less
        (1 + number of draws at least as large, or at least as small) / (1 + draws).
    tail
        What counts as extreme.
    adjusted_p_value
        The p-value corrected for the number of layers (Benjamini-Hochberg); None for a total, and for a layer in which
        the null leaves no freedom.
    free
        Whether the null could have given another number. That is so by what the null may change, whatever was drawn:
        a p-value of 1 counts among the tests if it is one.
    least, most
        Smallest and largest draw: of a few draws no 95 % are the central ones.
    """

    observed: float
    mean: float | None
    sd: float | None
    low: float
    high: float
    draws: int
    p_greater: float
    p_less: float
    tail: Tail
    adjusted_p_value: float | None = None
    free: bool = True
    least: float | None = None
    most: float | None = None

    @property
    def p_value(self) -> float:
        """The p-value of the tail that counts."""
        return {"greater": self.p_greater, "less": self.p_less, "two-sided": self.p_two_sided}[self.tail]

    @property
    def p_two_sided(self) -> float:
        """Twice the smaller of the two tails, at most 1."""
        return min(1.0, 2 * min(self.p_greater, self.p_less))

    @property
    def z(self) -> float | None:
        """Distance from the mean in standard deviations; None where all draws are equal."""
        return (self.observed - self.mean) / self.sd if self.sd and self.mean is not None else None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name, z included."""
        return {**dataclasses.asdict(self), "p_value": self.p_value, "p_two_sided": self.p_two_sided, "z": self.z}


def null_level(
    observed: float | None, draws: Sequence[float | None], tail: Tail = "greater", *, free: bool = True
) -> NullLevel | None:
    """Return what a number is under a null.

    Parameters
    ----------
    observed
        The number; None where it is not defined.
    draws
        The same number of masks drawn from the null, None where it is not defined.
    tail
        Which draws count as extreme.
    free
        Whether the null could have given another number.

    Returns
    -------
    NullLevel or None
        None if the number, or every draw of it, is not defined.
    """
    values = [value for value in draws if value is not None]
    if observed is None or not values:
        return None
    finite = all(math.isfinite(value) for value in values)
    # Equal draws have their own value as mean, whatever a sum of them would round to.
    equal = min(values) == max(values)
    mean = values[0] if equal and finite else math.fsum(values) / len(values) if finite else None
    sd = None
    if mean is not None and len(values) > 1:
        sd = 0.0 if equal else math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))
    return NullLevel(
        observed=observed,
        mean=mean,
        sd=sd,
        low=quantile(values, 0.025),
        high=quantile(values, 0.975),
        draws=len(values),
        p_greater=monte_carlo_p(observed, values, "greater"),
        p_less=monte_carlo_p(observed, values, "less"),
        tail=tail,
        free=free,
        least=min(values),
        most=max(values),
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
