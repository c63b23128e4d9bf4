"""Accuracy and density by epoch, from the logs of runs."""

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from masktools.plots.canvas import GRID, INK, MUTED, axes_of, colour, epoch_axis, legend, plain_logarithm, said
from masktools.plots.groups import group_names, seeds_together
from masktools.runs import Run
from masktools.statistics.intervals import Interval, mean_interval
from masktools.structure.source import as_run

if TYPE_CHECKING:
    from matplotlib.patches import Patch

__all__ = ["log_curve", "plot_accuracy"]


_CROWDED = 3
"""Groups from which on bands are paler."""


def plot_accuracy(
    runs: Run | str | os.PathLike[str] | Sequence[Run | str | os.PathLike[str]],
    ax: Axes | None = None,
    *,
    density: bool = True,
) -> Axes:
    """Draw test accuracy by epoch, and density on a second, logarithmic axis.

    Runs that differ only in the seed are one curve, their mean, with the band of its 95 % interval over runs.

    Parameters
    ----------
    runs
        One run or several, opened or as paths. Numbers are ``test_accuracy`` and ``density`` of ``metrics.jsonl``; the
        dashed line is ``chance_accuracy`` of ``run.json``, the accuracy of always naming the most frequent class.
    ax
        Axes to draw into; None makes a figure.
    density
        Whether to draw the density.

    Returns
    -------
    Axes
        The axes that were drawn into; the second axis is another one of their figure.

    Raises
    ------
    RunError, SnapshotError
        If a run cannot be read.
    """
    ax = axes_of(ax)
    given = [runs] if isinstance(runs, Run | str | os.PathLike) else runs
    groups = seeds_together([as_run(run) for run in given])
    names = group_names([[str(run.path) for run in group] for group in groups])
    handles: list[Line2D | Patch] = []
    second = ax.twinx() if density else None
    for place, (name, group) in enumerate(zip(names, groups, strict=True)):
        tone, dashes = colour(place)
        label = f"{name} ({len(group)} seeds)" if len(group) > 1 else name
        # Bands of many groups hide each other's curves.
        opacity = 0.25 if len(groups) < _CROWDED else 0.14
        handles += _draw(ax, [log_curve(run, "test_accuracy") for run in group], tone, dashes, label, opacity)
        if second is not None:
            _draw(second, [log_curve(run, "density") for run in group], tone, ":", label)
    if not handles:
        said(ax, "no log holds a test accuracy")
    elif chances := _chances(run for group in groups for run in group):
        lines = [ax.axhline(chance, color=INK, lw=0.9, ls="--", label="guessing (chance)") for chance in chances]
        handles += lines[:1]
    epoch_axis(ax, [group[0].epochs[-1] for group in groups])
    # The ends of an interval over few runs may lie where no accuracy can.
    ax.set(ylabel="test accuracy", ylim=(max(-0.02, ax.get_ylim()[0]), min(1.02, ax.get_ylim()[1])))
    ax.grid(color=GRID, lw=0.6)
    if second is not None:
        _finish(second)
        if second.lines:
            handles.append(Line2D([], [], color=MUTED, ls=":", lw=1.1, label="density"))
    legend(ax, handles)
    return ax


def log_curve(run: Run, key: str) -> dict[int, float]:
    """Return a number of the log by epoch, where it is one.

    Parameters
    ----------
    run
        The run.
    key
        Name of the number.
    """
    found = {}
    for record in run.metrics:
        epoch, value = record.get("epoch"), record.get(key)
        known = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if isinstance(epoch, int) and known and value is not None:
            found[epoch] = float(value)
    return found


def _chances(runs: Iterable[Run]) -> list[float]:
    """Return the accuracies of always naming the most frequent class, each once, where runs record it."""
    known = (run.info.get("chance_accuracy") for run in runs)
    return sorted({float(value) for value in known if isinstance(value, int | float) and math.isfinite(value)})


def _draw(
    ax: Axes, curves: Sequence[Mapping[int, float]], tone: str, dashes: str, label: str, opacity: float = 0.0
) -> list[Line2D]:
    """Draw the mean over runs at the epochs that all of them have; without a band it is thin."""
    common = sorted(set.intersection(*map(set, curves)))
    if not common:
        return []
    found: list[Interval] = [mean_interval([curve[epoch] for curve in curves]) for epoch in common]
    if len(curves) > 1 and opacity:
        low = [each.mean if each.low is None else each.low for each in found]
        high = [each.mean if each.high is None else each.high for each in found]
        ax.fill_between(common, low, high, color=tone, alpha=opacity, lw=0)
    means = [each.mean for each in found]
    width, mark = (1.6, "." if len(common) <= 30 else None) if opacity else (1.1, None)
    return ax.plot(common, means, color=tone, ls=dashes, lw=width, label=label, marker=mark)


def _finish(second: Axes) -> None:
    values = [np.asarray(line.get_ydata(), dtype=float) for line in second.lines]
    drawn = [float(value) for line in values for value in line if value > 0]
    if not drawn:
        second.set_visible(False)
        return
    second.set_yscale("log")
    plain_logarithm(second.yaxis)
    second.set_ylim(min(drawn) / 2, max(1.0, *drawn) * 1.1)
    second.spines[["top", "left"]].set_visible(False)
    second.set_ylabel("density (share of weights active)", color=MUTED, fontsize=9)
    second.tick_params(labelsize=8, colors=MUTED, which="both")
