"""Many runs at once: found below a directory, and put together by what they have in common."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from masktools.errors import RunError
from masktools.run_places import required_directories
from masktools.runs import Run, open_run

__all__ = ["group_runs", "open_runs"]


def open_runs(*paths: str | Path) -> list[Run]:
    """Open all runs at or below some paths.

    Parameters
    ----------
    paths
        Each a run directory, a snapshot file, or a directory that holds run directories, at any depth. Hidden
        directories below it, and whatever lies within a run, are not looked into. Symbolic links are followed, each
        directory once.

    Returns
    -------
    list of Run
        In the order of the paths; below one path sorted by name, numbers by their value (``dnw-s2`` before
        ``dnw-s10``). A run that is met twice is there once.

    Raises
    ------
    RunError
        If there is no path, or one does not exist, cannot be looked into, or holds no run.
    SnapshotError
        If a path is a file that is no snapshot.
    """
    if not paths:
        raise RunError("open_runs needs at least one path")
    runs: dict[Path, Run] = {}
    for path in map(Path, paths):
        for place in required_directories(path) if path.is_dir() else [path]:
            real = place.resolve()
            if real not in runs:
                runs[real] = open_run(place)
    return list(runs.values())


def group_runs(
    runs: Iterable[Run],
    by: str | Sequence[str] = ("data.name", "model.name", "algorithm.name", "algorithm.density"),
    *,
    reevaluations: bool = False,
) -> dict[tuple[Any, ...], list[Run]]:
    """Put runs together that have the same configuration in some respects, for example all seeds of an experiment.

    Parameters
    ----------
    runs
        The runs, for example from `masktools.open_runs`.
    by
        Keys of the configuration, dotted where they are nested; one or several.
    reevaluations
        Whether runs that trained the structure of another run again (their configuration has an ``origin``) are taken
        too. Their masks are no independent repetitions of the run that they come from, so they are left out by default.

    Returns
    -------
    dict
        The runs of each group, sorted by their ``seed``, by the values of the keys: None where a configuration lacks
        one, and tuples for lists and tables. Groups are in the order of their first runs.

    Raises
    ------
    RunError, SnapshotError
        If the configuration of a run cannot be read.
    """
    keys = (by,) if isinstance(by, str) else tuple(by)
    groups: dict[tuple[Any, ...], list[tuple[Any, Run]]] = {}
    for run in runs:
        config = run.config
        if config.get("origin") is not None and not reevaluations:
            continue
        values = tuple(_hashable(_value(config, key)) for key in keys)
        groups.setdefault(values, []).append((config.get("seed"), run))
    return {
        values: [run for _, run in sorted(members, key=lambda member: _seed_order(member[0]))]
        for values, members in groups.items()
    }


def _value(config: Mapping[str, Any], key: str) -> Any:
    value: Any = config
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _hashable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return tuple((key, _hashable(value[key])) for key in sorted(value))
    return tuple(map(_hashable, value)) if isinstance(value, list | tuple) else value


def _seed_order(seed: Any) -> tuple[int, float]:
    """Numbers by value; runs without one after them, in the order in which they came."""
    return (0, seed) if isinstance(seed, int | float) else (1, 0)
