"""How long things last when some of them have not ended yet: the Kaplan-Meier estimate from counts."""

import bisect
import dataclasses
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from masktools.errors import StructureError
from masktools.frames import ToFrame

__all__ = ["SurvivalCurve", "SurvivalPoint", "kaplan_meier"]

_HALF = 0.5 + 1e-12
"""One half, and what rounding may add to it: a product of shares that is exactly one half counts as that."""


@dataclasses.dataclass(frozen=True)
class SurvivalPoint:
    """The survival function at one duration.

    Parameters
    ----------
    duration
        How long.
    at_risk
        Number that lasted at least that long and were watched that long.
    deaths
        Number that ended at exactly this duration.
    censored
        Number that were last seen alive at exactly this duration; they are at risk at it.
    survival
        Estimated share that lasts longer than this.
    standard_error
        Of `survival` by Greenwood's formula; None once nothing survives.
    low, high
        Ends of its log-log interval; None while everything survives, and once nothing does.
    """

    duration: int
    at_risk: float
    deaths: float
    censored: float
    survival: float
    standard_error: float | None
    low: float | None
    high: float | None


@dataclasses.dataclass(frozen=True)
class SurvivalCurve(ToFrame):
    """A survival function, a step down at every duration at which something ended.

    Parameters
    ----------
    points
        One for every duration at which something ended or was last seen, ascending.
    confidence
        Share of the intervals that cover the true value, point by point.
    """

    points: tuple[SurvivalPoint, ...]
    confidence: float

    @property
    def total(self) -> float:
        """Number of durations, censored ones included."""
        return self.points[0].at_risk if self.points else 0

    @property
    def median(self) -> int | None:
        """The half-life: smallest duration with survival at most one half; None where it is not reached."""
        return self._reaches([point.survival for point in self.points])

    @property
    def median_low(self) -> int | None:
        """Lower end of the interval of the median: where the lower end of survival reaches one half."""
        return self._reaches([point.low if point.survival else 0.0 for point in self.points])

    @property
    def median_high(self) -> int | None:
        """Upper end of the interval of the median; None where it is not reached: the median may be any longer."""
        return self._reaches([point.high if point.survival else 0.0 for point in self.points])

    def _reaches(self, values: Sequence[float | None]) -> int | None:
        pairs = zip(self.points, values, strict=True)
        return next((point.duration for point, value in pairs if value is not None and value <= _HALF), None)

    def at(self, duration: float) -> float | None:
        """Return the share that lasts longer than `duration`; None beyond the longest that was seen.

        Examples
        --------
        >>> kaplan_meier({1: 1, 3: 1}, {}).at(2)
        0.5
        """
        if not self.points or duration < 0 or duration > self.points[-1].duration:
            return None
        place = bisect.bisect_right([point.duration for point in self.points], duration)
        return self.points[place - 1].survival if place else 1.0

    def to_dict(self) -> dict[str, Any]:
        """Return the half-life with its interval, and the points."""
        return {
            "half_life": self.median,
            "half_life_low": self.median_low,
            "half_life_high": self.median_high,
            "confidence": self.confidence,
            "curve": [dataclasses.asdict(point) for point in self.points],
        }


def kaplan_meier(deaths: Mapping[int, float], censored: Mapping[int, float], confidence: float = 0.95) -> SurvivalCurve:
    """Return a survival function, estimated from counts.

    Parameters
    ----------
    deaths
        For each duration, how many ended after it.
    censored
        For each duration, how many were last seen alive after it. They count as at risk at that duration.
    confidence
        Of the intervals, between 0 and 1, both excluded.

    Returns
    -------
    SurvivalCurve
        One point for every duration at which something ended or was last seen, ascending.

    Raises
    ------
    StructureError
        If a duration or a count is negative or not finite, or the confidence lies outside (0, 1).

    Notes
    -----
    S(t) is the product of (1 - d / n) over the durations up to t, d of n at risk ended at each (Kaplan and
    Meier, 1958). Its variance is S² sum d / (n (n - d)) (Greenwood, 1926). The interval is symmetric in
    log(-log S), so it stays within 0 and 1 (Kalbfleisch and Prentice, 1980); that of the median is where the
    ends of the interval cross one half (Brookmeyer and Crowley, 1982).

    The estimate holds if whether something is still under watch says nothing about how long it lasts, and
    its variance if they end independently of each other.

    Examples
    --------
    >>> curve = kaplan_meier({1: 2, 2: 1}, {2: 1})
    >>> [(point.duration, point.at_risk, point.survival) for point in curve.points]
    [(1, 4, 0.5), (2, 2, 0.25)]
    >>> curve.median
    1
    """
    if not 0 < confidence < 1:
        raise StructureError(f"confidence must lie between 0 and 1, got {confidence}")
    for counts in (deaths, censored):
        for duration, count in counts.items():
            if not (0 <= duration < math.inf and 0 <= count < math.inf):
                raise StructureError(f"durations and counts cannot be negative, got {count} of duration {duration}")
    quantile = statistics.NormalDist().inv_cdf((1 + confidence) / 2)
    durations = sorted(t for t in {*deaths, *censored} if deaths.get(t, 0) or censored.get(t, 0))
    # Summed from the long end, so that the last ones at risk are exactly those that end there.
    risks: list[float] = []
    remaining: float = 0
    for duration in reversed(durations):
        remaining += deaths.get(duration, 0) + censored.get(duration, 0)
        risks.append(remaining)
    points, survival, greenwood = [], 1.0, 0.0
    for duration, risk in zip(durations, reversed(risks), strict=True):
        ended = deaths.get(duration, 0)
        survival *= (risk - ended) / risk
        greenwood = greenwood + ended / risk / (risk - ended) if risk > ended else math.inf
        low, high = _interval(survival, greenwood, quantile)
        error = survival * math.sqrt(greenwood) if math.isfinite(greenwood) else None
        points.append(SurvivalPoint(duration, risk, ended, censored.get(duration, 0), survival, error, low, high))
    return SurvivalCurve(tuple(points), confidence)


def _interval(survival: float, greenwood: float, quantile: float) -> tuple[float | None, float | None]:
    """Return the ends of the log-log interval; undefined where nothing has ended or nothing is left."""
    if not 0 < survival < 1:
        return None, None
    reach = quantile * math.sqrt(greenwood) / -math.log(survival)
    # exp overflows for a survival within rounding of 1 only; the end of the interval is then 0.
    low = 0.0 if reach > 700 else survival ** math.exp(reach)
    return low, survival ** math.exp(-min(reach, 700.0))
