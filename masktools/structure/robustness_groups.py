"""Structural robustness of several runs: means over those that were trained by the same algorithm."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from masktools.frames import ToFrame
from masktools.structure.dynamics.group_means import GroupMean
from masktools.structure.robustness import PrunePoint, PruneResult

__all__ = ["RobustnessGroup", "RobustnessPoint", "robustness_groups"]

_SAME_DENSITY = 1e-3
"""Densities are the same up to this part of them: layers round their counts differently under another seed."""


@dataclasses.dataclass(frozen=True)
class RobustnessPoint:
    """One share kept that every run of a group has.

    Parameters
    ----------
    share
        Share of the active weights that was to be kept.
    measures
        Means over runs by name: ``accuracy``, ``recalibrated``, ``finetuned``, ``effective_density`` and
        ``effective_share``, each as in `PrunePoint`.
    """

    share: float
    measures: Mapping[str, GroupMean]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON-ready values."""
        return {"share": self.share, **{name: mean.to_dict() for name, mean in self.measures.items()}}


@dataclasses.dataclass(frozen=True)
class RobustnessGroup(ToFrame):
    """Runs of one algorithm at one density, pruned in the same way.

    Parameters
    ----------
    algorithm, variant, density, size
        What the runs have in common; the density is that of the first.
    criterion, scope
        How they were pruned.
    runs
        Paths of the runs.
    repeated
        Paths of results left out, because the same run is there already: it is no repetition.
    measures
        Means over runs by name: ``area``, ``half_share``, ``collapse_share``, ``effective_area`` and, where they were
        asked for, ``recalibrated_area`` and ``finetuned_area``, each as in `PruneResult`.
    curve
        One point for each share that all runs have.
    """

    algorithm: str | None
    variant: str | None
    density: float
    size: int
    criterion: str
    scope: str
    runs: tuple[str, ...]
    repeated: tuple[str, ...]
    measures: Mapping[str, GroupMean]
    curve: tuple[RobustnessPoint, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON-ready values."""
        told = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name not in ("measures", "curve")
        }
        return {
            **told,
            **{name: mean.to_dict() for name, mean in self.measures.items()},
            "curve": [point.to_dict() for point in self.curve],
        }


def robustness_groups(results: Sequence[PruneResult]) -> tuple[RobustnessGroup, ...]:
    """Return means over runs of the same algorithm, with intervals over runs.

    Parameters
    ----------
    results
        What `masktools_train.prune` returned for each run.

    Returns
    -------
    tuple of RobustnessGroup
        In the order of their first runs; a run without another of its kind is a group of its own, without an interval.

    Notes
    -----
    The repetition is the run: of several random orders of one run the mean counts. Runs belong together if algorithm,
    variant, size of the network, density, criterion and scope are the same. A mean is None unless every run has the
    number, because a mean over the others would leave out runs by their outcome.
    """
    gathered: list[list[PruneResult]] = []
    for result in results:
        group = next((group for group in gathered if _together(group[0], result)), None)
        if group is None:
            gathered.append([result])
        else:
            group.append(result)
    return tuple(_group(members) for members in gathered)


def _together(a: PruneResult, b: PruneResult) -> bool:
    keys = "algorithm variant size criterion scope".split()
    same = all(getattr(a, key) == getattr(b, key) for key in keys)
    return same and math.isclose(a.density, b.density, rel_tol=_SAME_DENSITY)


def _group(members: Sequence[PruneResult]) -> RobustnessGroup:
    kept: list[PruneResult] = []
    repeated = []
    for result in members:
        if result.run in [known.run for known in kept]:
            repeated.append(result.run)
        else:
            kept.append(result)
    first = kept[0]
    by_share = [{point.share: point for point in result.curve} for result in kept]
    shares = sorted(set.intersection(*map(set, by_share)), reverse=True)
    measures: dict[str, list[float | None]] = {
        "area": [result.area for result in kept],
        "half_share": [result.half_share for result in kept],
        "collapse_share": [result.collapse_share for result in kept],
        "effective_area": [result.effective_area for result in kept],
        "recalibrated_area": [found.area if (found := result.summary("recalibrated")) else None for result in kept],
        "finetuned_area": [found.area if (found := result.summary("finetuned")) else None for result in kept],
    }
    return RobustnessGroup(
        algorithm=first.algorithm,
        variant=first.variant,
        density=first.density,
        size=first.size,
        criterion=first.criterion,
        scope=first.scope,
        runs=tuple(result.run for result in kept),
        repeated=tuple(repeated),
        measures={name: GroupMean.of(values) for name, values in measures.items()},
        curve=tuple(_point(share, [points[share] for points in by_share]) for share in shares),
    )


def _point(share: float, points: Sequence[PrunePoint]) -> RobustnessPoint:
    measures: dict[str, list[float | None]] = {
        "accuracy": [point.mean() for point in points],
        "recalibrated": [point.mean("recalibrated") for point in points],
        "finetuned": [point.mean("finetuned") for point in points],
        "effective_density": [point.effective_density for point in points],
        "effective_share": [point.effective_share for point in points],
    }
    return RobustnessPoint(share, {name: GroupMean.of(values) for name, values in measures.items()})
