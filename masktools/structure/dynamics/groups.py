"""Several runs: each by itself, and means over those that differ only in the seed."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

from masktools.errors import StructureError
from masktools.frames import ToFrame
from masktools.runs import Run
from masktools.structure.configuration import config_differences
from masktools.structure.dynamics.emergence import emergence
from masktools.structure.dynamics.emergence_result import Emergence
from masktools.structure.dynamics.group_means import GroupMean, GroupPoint, group_point
from masktools.structure.source import as_run

__all__ = ["Emergences", "GroupMean", "GroupPoint", "SeedGroup", "emergence_many", "seed_groups"]

_SEED = "seed"
"""Key of a configuration in which the runs of a group differ."""


@dataclasses.dataclass(frozen=True)
class SeedGroup(ToFrame):
    """Runs that differ only in the seed: independent repetitions of one experiment.

    Parameters
    ----------
    runs
        Paths of the runs.
    seeds
        Seed of each.
    repeated
        Paths of runs left out, because a run of the same seed is in the group already: they are no repetitions.
    measures
        Means by name: ``emergence_epoch``, ``emergence_epoch_beyond_initial``, ``early_bird_epoch``, ``half_life`` and
        ``expected_half_life`` in epochs, ``exploration`` and ``expected_exploration`` at the end.
    curve
        One point for each epoch that all runs have.
    """

    runs: tuple[str, ...]
    seeds: tuple[Any, ...]
    repeated: tuple[str, ...]
    measures: Mapping[str, GroupMean]
    curve: tuple[GroupPoint, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON-ready values."""
        return {
            "runs": list(self.runs),
            "seeds": list(self.seeds),
            "repeated": list(self.repeated),
            **{name: mean.to_dict() for name, mean in self.measures.items()},
            "curve": [point.to_dict() for point in self.curve],
        }


@dataclasses.dataclass(frozen=True)
class Emergences(ToFrame):
    """The dynamics of several runs.

    Parameters
    ----------
    runs
        Each run by itself.
    groups
        Those that differ only in the seed, together.
    """

    runs: tuple[Emergence, ...]
    groups: tuple[SeedGroup, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return ``{"runs": [..], "groups": [..]}``."""
        return {"runs": [run.to_dict() for run in self.runs], "groups": [group.to_dict() for group in self.groups]}


def emergence_many(
    runs: Sequence[Run | str | os.PathLike[str]],
    threshold: float = 0.9,
    window: int = 5,
    *,
    null: str | None = None,
    draws: int = 199,
    seed: int = 0,
    jobs: int = 1,
) -> Emergences:
    """Return the dynamics of several runs, and means over those that differ only in the seed.

    Parameters
    ----------
    runs
        At least one run directory or opened run.
    threshold, window, null, draws, seed, jobs
        As for `masktools.emergence`.

    Returns
    -------
    Emergences
        The runs in the order given, and the groups of those that differ only in the seed.

    Raises
    ------
    StructureError
        If there is no run, or as `masktools.emergence` does.
    RunError, SnapshotError
        If a run cannot be read.
    """
    if not runs:
        raise StructureError("emergence needs at least one run")
    opened = [as_run(run) for run in runs]
    results = tuple(emergence(run, threshold, window, null=null, draws=draws, seed=seed, jobs=jobs) for run in opened)
    return Emergences(results, seed_groups(results, [run.config for run in opened]))


def seed_groups(results: Sequence[Emergence], configs: Sequence[Mapping[str, Any]]) -> tuple[SeedGroup, ...]:
    """Return the means over runs that differ only in the seed.

    Parameters
    ----------
    results
        The dynamics of each run.
    configs
        The configuration of each run. Runs belong together if ``seed`` is the only key that differs; one without that
        key belongs to no group.

    Returns
    -------
    tuple of SeedGroup
        Groups of two runs or more, in the order of their first runs.

    Notes
    -----
    The repetition is the run. An emergence epoch that is the last epoch says that the mask was still changing there,
    so a mean over such runs is bounded by how long they were trained.
    """
    gathered: list[list[int]] = []
    for place, config in enumerate(configs):
        if config.get(_SEED) is None:
            continue
        for group in gathered:
            if all(difference.key == _SEED for difference in config_differences(configs[group[0]], config)):
                group.append(place)
                break
        else:
            gathered.append([place])
    groups = (_group([(results[place], configs[place][_SEED]) for place in group]) for group in gathered)
    return tuple(group for group in groups if len(group.runs) > 1)


def _group(members: Sequence[tuple[Emergence, Any]]) -> SeedGroup:
    kept: list[tuple[Emergence, Any]] = []
    repeated = []
    for result, seed in members:
        if seed in [known for _, known in kept]:
            repeated.append(result.run)
        else:
            kept.append((result, seed))
    runs = [result for result, _ in kept]
    ends = [run.curve[-1].turnover for run in runs]
    measures: dict[str, list[float | None]] = {
        "emergence_epoch": [run.emergence_epoch for run in runs],
        "emergence_epoch_beyond_initial": [run.emergence_epoch_beyond_initial for run in runs],
        "early_bird_epoch": [run.early_bird.epoch for run in runs],
        "half_life": [run.spells.survival.median for run in runs],
        "expected_half_life": [run.spells.expected_survival.median for run in runs],
        "exploration": [end.exploration for end in ends],
        "expected_exploration": [end.expected_exploration for end in ends],
    }
    by_epoch = [{point.epoch: point for point in run.curve} for run in runs]
    common = sorted(set.intersection(*map(set, by_epoch)))
    curve = tuple(group_point(epoch, [points[epoch] for points in by_epoch]) for epoch in common)
    return SeedGroup(
        tuple(run.run for run in runs),
        tuple(seed for _, seed in kept),
        tuple(repeated),
        {name: GroupMean.of(values) for name, values in measures.items()},
        curve,
    )
