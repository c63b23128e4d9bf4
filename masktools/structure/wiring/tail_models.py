"""Discrete distributions of numbers from some number on, each fitted by maximum likelihood to a tail."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.optimize
import scipy.special
from numpy.typing import NDArray

__all__ = ["FittedTail", "Tail", "binomial", "exponential", "log_zeta", "lognormal", "negative_binomial", "power_law"]

_BERNOULLI = tuple(number / math.factorial(2 * at) for at, number in enumerate(scipy.special.bernoulli(16)[2::2], 1))
"""B(2j) / (2j)! for j = 1 .. 8."""

_PRECISION: Any = {"xatol": 1e-7, "fatol": 1e-12, "maxiter": 600}

_WIDEST = 100.0
"""Largest standard deviation of a logarithm: a lognormal tail becomes a power law as it grows."""


@dataclasses.dataclass(frozen=True, eq=False)
class Tail:
    """Numbers from the first value on.

    Parameters
    ----------
    values
        Different numbers, ascending, the first at least 1; shape (values,).
    counts
        How often each occurs; shape (values,).
    """

    values: NDArray[np.int64]
    counts: NDArray[np.int64]

    @property
    def first(self) -> int:
        """Where the tail starts."""
        return int(self.values[0])

    def mean(self, of: NDArray[np.float64]) -> float:
        """Return the mean over the tail of something that is known at each value."""
        return float(self.counts @ of) / int(self.counts.sum())


@dataclasses.dataclass(frozen=True, eq=False)
class FittedTail:
    """A distribution on the whole numbers from the first value of a tail on.

    Parameters
    ----------
    parameters
        By name.
    log_probability
        At each value of the tail, shape (values,).
    """

    parameters: dict[str, float]
    log_probability: NDArray[np.float64]


def log_zeta(exponent: float | NDArray[np.float64], first: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the logarithm of the sum of x^-exponent over x = first, first + 1, ..: Hurwitz's zeta function.

    Parameters
    ----------
    exponent
        Above 1.
    first
        At least 1; shapes are broadcast.

    Notes
    -----
    By the formula of Euler and Maclaurin. Relative to the first term, because steep tails of large degrees are below
    the smallest float.
    """
    shift = max(0, math.ceil(float(np.max(exponent)) + 20 - float(np.min(first))))
    total = np.zeros(np.broadcast_shapes(np.shape(exponent), np.shape(first)))
    for step in range(shift):
        total += (1 + step / first) ** -exponent
    start = first + shift
    rest, rising = start / (exponent - 1) + 0.5, exponent / start
    for at, coefficient in enumerate(_BERNOULLI, 1):
        rest = rest + coefficient * rising
        rising = rising * (exponent + 2 * at - 1) * (exponent + 2 * at) / start**2
    total += (start / first) ** -exponent * rest
    return np.asarray(np.log(total) - exponent * np.log(first), dtype=np.float64)


def power_law(tail: Tail, exponent: float) -> FittedTail:
    """Return the distribution proportional to x^-exponent."""
    logarithms = -exponent * np.log(tail.values) - log_zeta(exponent, np.array(float(tail.first)))
    return FittedTail({"exponent": exponent}, logarithms)


def exponential(tail: Tail) -> FittedTail:
    """Fit the geometric distribution, proportional to exp(-rate x), whose estimate is known in closed form."""
    excess = (tail.values - tail.first).astype(np.float64)
    mean = tail.mean(excess)
    rate = math.log1p(1 / mean)
    return FittedTail({"rate": rate}, -rate * excess - math.log1p(mean))


def binomial(tail: Tail, trials: int, probability: float) -> FittedTail:
    """Return a given binomial distribution from the start of the tail on; nothing is fitted.

    Parameters
    ----------
    tail
        Values at most `trials`.
    trials
        Number of trials.
    probability
        Of each, above 0 and below 1.
    """
    ln = scipy.special.gammaln
    every = np.arange(tail.first, trials + 1)
    odds = math.log(probability) - math.log1p(-probability)
    logarithms = every * odds - ln(every + 1) - ln(trials - every + 1)
    logarithms -= scipy.special.logsumexp(logarithms)
    return FittedTail({"trials": trials, "probability": probability}, logarithms[tail.values - tail.first])


def lognormal(tail: Tail) -> FittedTail:
    """Fit a lognormal distribution that is rounded to whole numbers.

    Notes
    -----
    Its parameters are fitted as sigma and as the steepness at the start of the tail, 1 + (ln first - mu) / sigma²,
    which stays put where the fit approaches a power law and mu runs off to minus infinity.
    """
    start = math.log(tail.first)
    upper, lower = np.log(tail.values + 0.5), np.log(tail.values - 0.5)

    def unpack(parameters: NDArray[np.float64]) -> tuple[float, float]:
        sigma = math.exp(parameters[1])
        return start - (parameters[0] - 1) * sigma * sigma, sigma

    def logarithms(parameters: NDArray[np.float64]) -> NDArray[np.float64]:
        mu, sigma = unpack(parameters)
        ends = (lower - mu) / sigma, (upper - mu) / sigma
        # On the side of the mean where both probabilities are small their difference keeps its digits.
        right = ends[0] > 0
        large = scipy.special.log_ndtr(np.where(right, -ends[0], ends[1]))
        small = scipy.special.log_ndtr(np.where(right, -ends[1], ends[0]))
        inside = large + np.log(-np.expm1(small - large))
        return np.asarray(inside - scipy.special.log_ndtr(-ends[0][0]), dtype=np.float64)

    logs = np.log(tail.values)
    mean = tail.mean(logs)
    spread = math.sqrt(tail.mean((logs - mean) ** 2))
    guesses = [(1 + (start - mean) / spread**2, math.log(spread)), (1.0, math.log(2 * spread))]
    guesses += [(1 + 1 / (mean - start), math.log(wide)) for wide in (3.0, 30.0)]
    best = _fit(tail, logarithms, guesses, ((-math.inf, math.inf), (-math.inf, math.log(_WIDEST))))
    mu, sigma = unpack(best)
    return FittedTail({"mu": mu, "sigma": sigma}, logarithms(best))


def negative_binomial(tail: Tail) -> FittedTail:
    """Fit a negative binomial distribution: counts whose rate is gamma distributed, with this shape and mean."""
    values = tail.values

    def logarithms(parameters: NDArray[np.float64]) -> NDArray[np.float64]:
        shape, mean = math.exp(parameters[0]), math.exp(parameters[1])
        share = mean / (mean + shape)
        beyond = float(scipy.special.betainc(tail.first, shape, share))
        if not beyond > 0:
            return np.full(values.shape, -math.inf)
        inside = values * math.log(share) - shape * math.log1p(mean / shape)
        return np.asarray(inside - np.log(values + shape) - scipy.special.betaln(shape, values + 1) - math.log(beyond))

    mean = tail.mean(values.astype(np.float64))
    excess = tail.mean(np.square(values - mean)) - mean
    guesses = [(math.log(mean * mean / excess if excess > 0 else 1e4), math.log(mean))]
    guesses += [(math.log(shape), math.log(max(0.1, mean - tail.first))) for shape in (0.1, 1.0)]
    best = _fit(tail, logarithms, guesses, ((math.log(1e-6), math.log(1e7)), (-30.0, 30.0)))
    return FittedTail({"shape": math.exp(best[0]), "mean": math.exp(best[1])}, logarithms(best))


def _fit(
    tail: Tail,
    logarithms: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    guesses: list[tuple[float, float]],
    bounds: tuple[tuple[float, float], tuple[float, float]],
) -> NDArray[np.float64]:
    """Return the parameters of the largest likelihood, from the best of several starts."""

    def cost(parameters: NDArray[np.float64]) -> float:
        # Parameters under which the tail is below the smallest float are far from any maximum.
        with np.errstate(all="ignore"):
            value = -tail.mean(logarithms(parameters))
        return value if math.isfinite(value) else math.inf

    starts = [np.clip(np.array(guess), *np.transpose(bounds)) for guess in guesses]
    point: NDArray[np.float64] = min(starts, key=cost)
    # A simplex can get stuck along a ridge; starting anew from where it stopped frees it.
    for _ in range(3):
        point = np.asarray(
            scipy.optimize.minimize(cost, point, method="Nelder-Mead", bounds=bounds, options=_PRECISION).x
        )
    return point
