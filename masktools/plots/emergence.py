"""How runs approach their final masks."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from masktools.plots.canvas import GRID, INK, MUTED, axes_behind, axes_of, colour, epoch_axis, legend, names_of, said
from masktools.plots.groups import group_names
from masktools.structure.dynamics.emergence_result import Emergence
from masktools.structure.dynamics.groups import Emergences, SeedGroup

__all__ = ["plot_emergence"]


def plot_emergence(
    result: Emergence | Emergences | Sequence[Emergence], ax: Axes | None = None, *, rate: bool = True
) -> Axes:
    """Draw the agreement (kappa) of each epoch's mask with the final one.

    Runs that differ only in the seed are one curve, their mean, with the band of its 95 % interval over runs. The
    dashed line at 0 is chance; where random masks were drawn, a grey band holds the central 95 % of them.

    Parameters
    ----------
    result
        What `masktools.emergence` or `masktools.emergence_many` returned, or several results of the former.
    ax
        Axes to draw into; None makes a figure.
    rate
        Whether to draw the learning rate on a second axis, where the log holds it.

    Returns
    -------
    Axes
        The axes that were drawn into; the second axis is another one of their figure.
    """
    ax = axes_of(ax)
    runs = result.runs if isinstance(result, Emergences) else [result] if isinstance(result, Emergence) else result
    groups = result.groups if isinstance(result, Emergences) else ()
    lines: list[Line2D] = []
    together = {run for group in groups for run in (*group.runs, *group.repeated)}
    single = [run for run in runs if run.run not in together]
    drawn = _draw_nulls(ax, runs)
    for name, group in zip(group_names([group.runs for group in groups]), groups, strict=True):
        lines += _draw_group(ax, name, group, len(lines))
    for name, run in zip(names_of([run.run for run in runs]), runs, strict=True):
        if run in single and any(point.kappa is not None for point in run.curve):
            tone, dashes = colour(len(lines))
            kappas = [np.nan if point.kappa is None else point.kappa for point in run.curve]
            lines += ax.plot(run.epochs, kappas, color=tone, ls=dashes, lw=1.6, label=name, marker=_dot(run.epochs))
    ax.axhline(0, color=INK, lw=0.9, ls="--")
    if not lines:
        said(ax, "kappa is not defined: every final layer is dense or empty")
    handles: list[Line2D | Patch] = [*lines, Line2D([], [], color=INK, lw=0.9, ls="--", label="chance")]
    if drawn:
        handles.append(Patch(color=MUTED, alpha=0.3, lw=0, label="random masks (95 %)"))
    epoch_axis(ax, [run.epochs[-1] for run in runs])
    ax.set(ylabel="kappa with the final mask", ylim=(min(-0.05, ax.get_ylim()[0]), 1.05))
    ax.grid(color=GRID, lw=0.6)
    if rate and (line := _draw_rates(ax, runs)) is not None:
        handles.append(line)
    legend(ax, handles)
    return ax


def _dot(epochs: Sequence[int]) -> str | None:
    """Show each snapshot where there are few; many would be a caterpillar."""
    return "." if len(epochs) <= 30 else None


def _draw_group(ax: Axes, name: str, group: SeedGroup, place: int) -> list[Line2D]:
    known = [(p.epoch, p.kappa.interval) for p in group.curve if p.kappa.interval is not None]
    if not known:
        return []
    tone, dashes = colour(place)
    epochs = [epoch for epoch, _ in known]
    low = [found.mean if found.low is None else found.low for _, found in known]
    high = [found.mean if found.high is None else found.high for _, found in known]
    ax.fill_between(epochs, low, high, color=tone, alpha=0.25, lw=0)
    label = f"{name} ({len(group.runs)} seeds)"
    means = [found.mean for _, found in known]
    return ax.plot(epochs, means, color=tone, ls=dashes, lw=1.6, label=label, marker=_dot(epochs))


def _draw_nulls(ax: Axes, runs: Sequence[Emergence]) -> bool:
    drawn = False
    for run in runs:
        levels = [trial.level("kappa") for trial in run.trials]
        known = [(epoch, level) for epoch, level in zip(run.epochs, levels, strict=False) if level is not None]
        if known:
            low, high = [level.low for _, level in known], [level.high for _, level in known]
            ax.fill_between([epoch for epoch, _ in known], low, high, color=MUTED, alpha=0.3, lw=0)
            drawn = True
    return drawn


def _draw_rates(ax: Axes, runs: Sequence[Emergence]) -> Line2D | None:
    """Draw each schedule once: seeds share it."""
    schedules = {tuple((point.epoch, point.lr) for point in run.curve if point.lr is not None): None for run in runs}
    found = [schedule for schedule in schedules if schedule]
    if not found:
        return None
    second = axes_behind(ax)
    for schedule in found:
        second.plot(*zip(*schedule, strict=True), color=MUTED, lw=0.6, alpha=0.6)
    second.set_ylabel("learning rate", color=MUTED, fontsize=9)
    second.set_ylim(bottom=0)
    return Line2D([], [], color=MUTED, lw=0.8, alpha=0.6, label="learning rate")
