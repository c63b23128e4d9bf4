"""Shares of many, with their confidence interval and their distance from one half."""

import dataclasses
import math
import statistics
from typing import Any

from masktools.errors import StructureError

__all__ = ["Proportion"]


@dataclasses.dataclass(frozen=True)
class Proportion:
    """A number of hits among a number of trials.

    Parameters
    ----------
    hits, trials
        Counts.

    Raises
    ------
    StructureError
        If there are more hits than trials, or a count is negative.
    """

    hits: int
    trials: int

    def __post_init__(self) -> None:
        if not 0 <= self.hits <= self.trials:
            raise StructureError(f"{self.hits} of {self.trials} is no share")

    @property
    def share(self) -> float | None:
        """Hits over trials; None without trials."""
        return self.hits / self.trials if self.trials else None

    @property
    def z(self) -> float | None:
        """Hits above one half of the trials, in standard deviations of a fair coin; None without trials."""
        return (2 * self.hits - self.trials) / math.sqrt(self.trials) if self.trials else None

    def interval(self, confidence: float = 0.95) -> tuple[float | None, float | None]:
        """Return the ends of Wilson's score interval (1927); None, None without trials.

        Parameters
        ----------
        confidence
            Between 0 and 1, both excluded.

        Raises
        ------
        StructureError
            If the confidence lies outside (0, 1).

        Examples
        --------
        >>> low, high = Proportion(0, 10).interval()
        >>> low, round(high, 4)
        (0.0, 0.2775)
        """
        if not 0 < confidence < 1:
            raise StructureError(f"confidence must lie between 0 and 1, got {confidence}")
        if not self.trials:
            return None, None
        z, n, x = statistics.NormalDist().inv_cdf((1 + confidence) / 2), self.trials, self.hits
        centre = x + z * z / 2
        half = z * math.sqrt(x * (n - x) / n + z * z / 4)
        # The ends at 0 and 1 are exact, whatever rounding says.
        return (centre - half) / (n + z * z) if x else 0.0, (centre + half) / (n + z * z) if x < n else 1.0

    def __add__(self, other: "Proportion") -> "Proportion":
        """Return the share of both together."""
        return Proportion(self.hits + other.hits, self.trials + other.trials)

    def to_dict(self) -> dict[str, Any]:
        """Return share, 95 % interval, z against one half, and the counts."""
        low, high = self.interval()
        return {"share": self.share, "low": low, "high": high, "z": self.z, "hits": self.hits, "trials": self.trials}
