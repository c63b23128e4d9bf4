"""Means over runs that differ only in the seed: of one number, and of one epoch."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from masktools.statistics.intervals import Interval, mean_interval
from masktools.structure.dynamics.curve import CurvePoint

__all__ = ["GroupMean", "GroupPoint", "group_point"]


@dataclasses.dataclass(frozen=True)
class GroupMean:
    """One number over the runs of a group.

    Parameters
    ----------
    runs
        Number of runs.
    defined
        Number of those that have the number.
    interval
        Mean and Student t interval over runs; None unless every run has the number, because a mean over those that
        have one would leave out runs by their outcome.
    """

    runs: int
    defined: int
    interval: Interval | None

    @classmethod
    def of(cls, values: Sequence[float | None]) -> "GroupMean":
        """Summarise one value a run."""
        found = [value for value in values if value is not None]
        complete = len(found) == len(values)
        return cls(len(values), len(found), mean_interval(found) if complete else None)

    def to_dict(self) -> dict[str, Any]:
        """Return mean, ends, confidence and counts; None where there is no mean."""
        keys = ("mean", "low", "high", "confidence")
        told = {key: getattr(self.interval, key) if self.interval else None for key in keys}
        return {**told, "runs": self.runs, "defined": self.defined}


@dataclasses.dataclass(frozen=True)
class GroupPoint:
    """An epoch that every run of a group has.

    Parameters
    ----------
    epoch
        Number of finished epochs.
    kappa, kappa_beyond_initial
        Agreement with each run's own final mask, as it is and given its first mask.
    lr_low, lr_high
        Smallest and largest learning rate of the runs at this epoch; None unless all of them recorded one.
    """

    epoch: int
    kappa: GroupMean
    kappa_beyond_initial: GroupMean
    lr_low: float | None = None
    lr_high: float | None = None

    @property
    def lr(self) -> float | None:
        """The learning rate that all runs share; None if they do not."""
        return self.lr_low if self.lr_low == self.lr_high else None

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON-ready values."""
        return {
            "epoch": self.epoch,
            "lr": self.lr,
            "lr_low": self.lr_low,
            "lr_high": self.lr_high,
            "kappa": self.kappa.to_dict(),
            "kappa_beyond_initial": self.kappa_beyond_initial.to_dict(),
        }


def group_point(epoch: int, points: Sequence[CurvePoint]) -> GroupPoint:
    """Summarise what the runs of a group have at an epoch.

    Parameters
    ----------
    epoch
        The epoch.
    points
        One point a run.
    """
    rates = [point.lr for point in points if point.lr is not None]
    known = len(rates) == len(points)
    return GroupPoint(
        epoch,
        GroupMean.of([point.kappa for point in points]),
        GroupMean.of([point.kappa_beyond_initial for point in points]),
        min(rates) if known else None,
        max(rates) if known else None,
    )
