"""What is left of networks when they are pruned further."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from masktools.plots.canvas import GRID, INK, PALETTE, axes_of, colour, legend, names_of, text
from masktools.statistics.intervals import Interval, mean_interval
from masktools.structure.robustness import PruneResult
from masktools.structure.robustness_groups import RobustnessGroup

if TYPE_CHECKING:
    from matplotlib.patches import Patch

__all__ = ["plot_prune"]

_Series: TypeAlias = list[tuple[float, Interval | None]]

_MARKS = (".", "s", "^", "D")
"""Once all colours are used, other marks: the style of the line says already what it is of."""


def plot_prune(
    result: PruneResult | Sequence[PruneResult] | Sequence[RobustnessGroup],
    ax: Axes | None = None,
    *,
    names: Sequence[str] | None = None,
    chances: Sequence[float] = (),
) -> Axes:
    """Draw accuracy, and the part of the active weights that is on a path, over the share of the weights kept.

    Parameters
    ----------
    result
        What `masktools_train.prune` returned, for one run or several, or `masktools.robustness_groups` of them.
    ax
        Axes to draw into; None makes a figure.
    names
        What each result is called; None takes paths of runs, and algorithm and density of groups.
    chances
        Accuracies of always naming the most frequent class, which groups do not hold; results hold their own.

    Returns
    -------
    Axes
        The axes that were drawn into. Solid curves are accuracies, with the band of the 95 % interval over random
        orders or over the runs of a group; dotted ones of the same colour the effective part of the active weights,
        with a band where a single result is drawn. The dashed line is the accuracy of always naming the most frequent
        class. A share of 0 has no place on this axis.
    """
    ax = axes_of(ax)
    results = [result] if isinstance(result, PruneResult) else list(result)
    single = [each for each in results if isinstance(each, PruneResult)]
    groups = [each for each in results if isinstance(each, RobustnessGroup)]
    own = [*names_of([each.run for each in single]), *map(_name, groups)]
    handles: list[Line2D | Patch] = []
    # Bands of many curves hide each other: those of the parts on a path are left out first.
    several = len(single) + len(groups) > 1
    effective = False
    every: list[PruneResult | RobustnessGroup] = [*single, *groups]
    called = own if names is None else [text(name) for name in names]
    for place, (name, each) in enumerate(zip(called, every, strict=True)):
        tone, mark = colour(place)[0], _MARKS[place // len(PALETTE) % len(_MARKS)]
        accuracy, paths = _series(each)
        handles += _draw(ax, accuracy, tone, "-", name, mark, 0.12 if several else 0.2)
        effective = (
            bool(_draw(ax, paths, tone, ":", f"{name}, effective part", mark, 0 if several else 0.15)) or effective
        )
    if effective:
        handles.append(Line2D([], [], color=INK, ls=":", lw=1.5, label="part on a path (dotted)"))
    levels = {*chances, *(each.chance_accuracy for each in single if math.isfinite(each.chance_accuracy))}
    lines = [ax.axhline(level, color=INK, lw=0.9, ls="--", label="guessing (chance)") for level in sorted(levels)]
    handles += lines[:1]
    ax.set_xscale("log")
    ax.invert_xaxis()
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter(lambda share, _: f"{100 * share:g} %")
    ax.xaxis.set_minor_formatter(NullFormatter())
    ylabel = "test accuracy; part on a path" if effective else "test accuracy"
    ax.set(xlabel="active weights kept (logarithmic)", ylabel=ylabel, ylim=(-0.03, 1.03))
    ax.grid(color=GRID, lw=0.6)
    legend(ax, handles)
    return ax


def _draw(ax: Axes, series: _Series, tone: str, dashes: str, name: str, mark: str, opacity: float) -> list[Line2D]:
    known = [(share, found) for share, found in series if found is not None and share > 0]
    if not known:
        return []
    shares = [share for share, _ in known]
    low = [found.mean if found.low is None else found.low for _, found in known]
    high = [found.mean if found.high is None else found.high for _, found in known]
    if opacity and not np.array_equal(low, high):
        ax.fill_between(shares, low, high, color=tone, alpha=opacity, lw=0)
    means, size = [found.mean for _, found in known], 6 if mark == "." else 3.5
    return ax.plot(
        shares, means, color=tone, ls=dashes, lw=1.6 if dashes == "-" else 1.1, marker=mark, ms=size, label=name
    )


def _series(result: PruneResult | RobustnessGroup) -> tuple[_Series, _Series]:
    if isinstance(result, RobustnessGroup):
        points = [(point.share, point.measures) for point in result.curve]
        return (
            [(share, measures["accuracy"].interval) for share, measures in points],
            [(share, measures["effective_share"].interval) for share, measures in points],
        )
    accuracy: _Series = [(point.share, mean_interval(point.accuracies)) for point in result.curve]
    paths: _Series = [
        (point.share, None if (part := point.effective_share) is None else mean_interval([part]))
        for point in result.curve
    ]
    return accuracy, paths


def _name(group: RobustnessGroup) -> str:
    name = group.algorithm or "unknown"
    shown = name if group.variant is None else f"{name} ({group.variant})"
    return text(f"{shown}, density {group.density:.2g}" + (f", {len(group.runs)} runs" if len(group.runs) > 1 else ""))
