"""Runs that differ only in the seed, as one series."""

import itertools
import re
from collections.abc import Sequence

from masktools.plots.canvas import names_of
from masktools.runs import Run
from masktools.structure.configuration import config_differences

__all__ = ["group_names", "seeds_together"]


def seeds_together(runs: Sequence[Run]) -> list[list[Run]]:
    """Return the runs in groups that differ only in the seed, in the order of their first runs.

    Parameters
    ----------
    runs
        The runs; one whose configuration has no ``seed`` is a group of its own.
    """
    configs = [run.config for run in runs]
    groups: list[list[int]] = []
    for place, config in enumerate(configs):
        fitting = (
            group
            for group in groups
            if config.get("seed") is not None
            and configs[group[0]].get("seed") is not None
            and all(difference.key == "seed" for difference in config_differences(configs[group[0]], config))
        )
        found = next(fitting, None)
        if found is None:
            groups.append([place])
        else:
            found.append(place)
    return [[runs[place] for place in group] for group in groups]


def group_names(groups: Sequence[Sequence[str]]) -> list[str]:
    """Return what groups of runs are called: what the names of their runs begin with.

    Parameters
    ----------
    groups
        Paths of the runs of each group.

    Examples
    --------
    >>> group_names([["runs/dnw-s0", "runs/dnw-s1"], ["runs/rigl-s0", "runs/rigl-s1"]])
    ['dnw', 'rigl']
    """
    paths = [path for group in groups for path in group]
    short = dict(zip(paths, names_of(paths), strict=True))
    if len(paths) > 1 and len(groups) == 1:
        short = {path: names_of([path])[0] for path in paths}
    found = [_stem([short[path] for path in group]) for group in groups]
    # Two groups may begin alike, as `dnw-s0, dnw-s1` and `dnw-sparse-s0, …`; then the first run tells them apart.
    return [
        name if name and found.count(name) == 1 else f"{short[group[0]]}, …" if len(group) > 1 else short[group[0]]
        for name, group in zip(found, groups, strict=True)
    ]


def _stem(names: Sequence[str]) -> str:
    if len(names) == 1:
        return names[0]
    letters = itertools.takewhile(lambda place: len(set(place)) == 1, zip(*names, strict=False))
    common = "".join(place[0] for place in letters)
    return re.sub(r"([-_/ ]+(s|seed)?)?[0-9]*$", "", common).rstrip("-_/ ")
