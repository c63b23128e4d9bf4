"""Exact p-value of an intersection summed over layers: hypergeometric chances of all layers, convolved."""

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from masktools.statistics.chance import LEAST_P_VALUE, Chance

__all__ = ["stratified_p_value"]

_SURELY = 0.2
"""A tail below this is the smaller one: both together are at least 1, and the other one holds the median."""

_NEWTON = 200
"""Steps after which the search for a tilt ends; it needs about ten."""

_HELD = 1e-30
"""Tilted probabilities below this share of the largest are left out of the convolution."""

_LEAST = -745.0
"""Logarithm below which an exponential is 0."""


def stratified_p_value(layers: Iterable[tuple[Chance, int]]) -> float | None:
    """Return the exact two-sided p-value of the number of common weights over several layers.

    Parameters
    ----------
    layers
        For each layer its chance and the number of common weights.

    Returns
    -------
    float or None
        Twice the smaller tail, at most 1. What is smaller than a float can hold is rounded up to `LEAST_P_VALUE`,
        2.2e-308. None where no layer has any variance.

    Notes
    -----
    The sum of independent hypergeometric numbers. In sparse layers it is far from normal: two masks of 10 of 10,000
    weights that share one have z = 10 and p = .02. The convolution is made where it is needed: each layer's
    probabilities are tilted by exp(t x) so that their sum has the observed number as its mean, convolved by Fourier
    transform, and tilted back; a tail of 1e-200 then has as many digits as the centre (Esscher, 1932).

    Examples
    --------
    >>> round(stratified_p_value([(Chance(10_000, 10, 10), 1)]), 4)
    0.0199
    """
    pairs = [(chance, shared) for chance, shared in layers if chance.variance > 0]
    if not pairs:
        return None
    for chance, shared in pairs:
        chance.excess(shared)
    observed = sum(shared for _, shared in pairs)
    windows = [chance.log_probabilities(shared) for chance, shared in pairs]
    above = math.fsum(chance.excess(shared) for chance, shared in pairs)
    mirrored = [(-(start + len(log) - 1), log[::-1]) for start, log in windows]
    smaller, larger = ((windows, observed), (mirrored, -observed))[:: 1 if above >= 0 else -1]
    tail = _tail(*smaller)
    # The tail on the other side of the mean can only be the smaller one near the centre of a skewed sum.
    return max(LEAST_P_VALUE, min(1.0, 2 * (tail if tail < _SURELY else min(tail, _tail(*larger)))))


def _tail(windows: list[tuple[int, NDArray[np.float64]]], observed: int) -> float:
    """Return the probability of a sum of at least `observed`."""
    least, most = sum(start for start, _ in windows), sum(start + len(log) - 1 for start, log in windows)
    if observed <= least:
        return 1.0
    if observed >= most:
        last = math.fsum(float(log[-1]) for _, log in windows)
        return math.exp(last) if last > _LEAST else 0.0
    tilt = max(0.0, _tilt(windows, observed))  # below the mean the tail is no small number, and needs no tilt
    weights, scale, least = [], 0.0, 0
    for start, log in windows:
        weight, log_sum, _ = _tilted(start, log, tilt)
        scale += log_sum
        held = np.flatnonzero(weight > _HELD * weight.max())
        least += start + int(held[0])
        weights.append(weight[held[0] : held[-1] + 1])
    count = sum(len(weight) for weight in weights) - len(weights) + 1
    if observed < least:
        return 1.0
    if observed >= least + count:
        raise AssertionError("a tilted sum has its mean within what it can be")
    length = 1 << count.bit_length()
    spectrum = np.ones(1, dtype=np.complex128)
    for weight in weights:
        spectrum = spectrum * np.fft.rfft(weight, length)
    total = np.fft.irfft(spectrum, length)[observed - least : count].clip(min=0)
    # What was tilted up by exp(t x) is tilted down again, from the observed number on.
    tail = float((total * np.exp(np.maximum(-tilt * np.arange(len(total)), _LEAST))).sum())
    result = scale - tilt * observed + math.log(tail) if tail > 0 else -math.inf
    return min(1.0, math.exp(result)) if result > _LEAST else 0.0


def _tilt(windows: list[tuple[int, NDArray[np.float64]]], observed: int) -> float:
    """Find the tilt under which the mean of the sum is the observed number: the mean grows with the tilt."""
    low, high, tilt = -math.inf, math.inf, 0.0
    for _ in range(_NEWTON):
        moments = [_moments(start, log, tilt) for start, log in windows]
        mean, variance = (math.fsum(moment[place] for moment in moments) for place in (0, 1))
        if abs(mean - observed) < 1e-6:
            break
        low, high = (tilt, high) if mean < observed else (low, tilt)
        step = tilt + (observed - mean) / variance if variance > 0 else math.nan
        inside = low < step < high and abs(step - tilt) < 50
        middle = (low + high) / 2 if math.isfinite(low + high) else tilt + math.copysign(1.0, observed - mean)
        tilt = step if inside else middle
    return tilt


def _moments(start: int, log: NDArray[np.float64], tilt: float) -> tuple[float, float]:
    weight, _, values = _tilted(start, log, tilt)
    mean = float(weight @ values)
    return mean, float(weight @ (values - mean) ** 2)


def _tilted(
    start: int, log: NDArray[np.float64], tilt: float
) -> tuple[NDArray[np.float64], float, NDArray[np.float64]]:
    """Return tilted probabilities that sum to 1, the logarithm of what they were divided by, and the values."""
    values = start + np.arange(len(log), dtype=np.float64)
    exponent = log + tilt * values
    highest = float(exponent.max())
    weight = np.exp(np.maximum(exponent - highest, _LEAST))
    total = float(weight.sum())
    return weight / total, highest + math.log(total), values
