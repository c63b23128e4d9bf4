"""How long weights stay active."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from masktools.plots.canvas import GRID, INK, axes_of, colour, epoch_axis, legend, names_of, said
from masktools.plots.groups import group_names
from masktools.statistics.survival import SurvivalCurve
from masktools.structure.dynamics.emergence_result import Emergence
from masktools.structure.dynamics.groups import Emergences, SeedGroup

if TYPE_CHECKING:
    from matplotlib.patches import Patch

__all__ = ["plot_survival"]


def plot_survival(result: Emergence | Emergences | Sequence[Emergence], ax: Axes | None = None) -> Axes:
    """Draw the share of spells (stretches in which a weight is active) that last longer than so many epochs.

    Runs that differ only in the seed have one colour, and a curve each.

    Parameters
    ----------
    result
        What `masktools.emergence` or `masktools.emergence_many` returned, or several results of the former.
    ax
        Axes to draw into; None makes a figure.

    Returns
    -------
    Axes
        The axes that were drawn into: steps are the Kaplan-Meier estimates, with the band of the 95 % interval where a
        single run is drawn; the thin dotted steps in the same colour are deaths at random.
    """
    ax = axes_of(ax)
    runs = result.runs if isinstance(result, Emergences) else [result] if isinstance(result, Emergence) else result
    handles: list[Line2D | Patch] = []
    series = _series(runs, result.groups if isinstance(result, Emergences) else ())
    for name, run in ((name, run) for name, members in series for run in members):
        found, chance = run.spells.survival, run.spells.expected_survival
        if not found.points:
            continue
        first = name not in [handle.get_label() for handle in handles]
        tone, dashes = colour(len(handles) - (not first))
        ax.step(*_steps(chance), where="post", color=tone, lw=0.9, ls=":", label=f"{name}, chance")
        (line,) = ax.step(*_steps(found), where="post", color=tone, ls=dashes, lw=1.6 if first else 1.1, label=name)
        handles += [line] if first else []
        if len(runs) == 1:
            known = [p for p in found.points if p.low is not None and p.high is not None]
            low, high = [p.low or 0.0 for p in known], [p.high or 0.0 for p in known]
            ax.fill_between([p.duration for p in known], low, high, step="post", color=tone, alpha=0.25, lw=0)
    if not handles:
        said(ax, "no spell has a known beginning")
    epoch_axis(ax, [run.epochs[-1] for run in runs], "epochs active")
    ax.set(ylabel="share of spells that last longer", ylim=(-0.02, 1.03))
    ax.grid(color=GRID, lw=0.6)
    legend(ax, [*handles, Line2D([], [], color=INK, lw=0.9, ls=":", label="deaths at random")])
    return ax


def _series(runs: Sequence[Emergence], groups: Sequence[SeedGroup]) -> list[tuple[str, list[Emergence]]]:
    """Return the runs by what they are called in the legend."""
    together = [[run for run in runs if run.run in group.runs] for group in groups]
    paths = {path for group in groups for path in (*group.runs, *group.repeated)}
    named = dict(zip((run.run for run in runs), names_of([run.run for run in runs]), strict=True))
    titles = group_names([group.runs for group in groups])
    return [
        *((f"{title} ({len(members)} seeds)", members) for title, members in zip(titles, together, strict=True)),
        *((named[run.run], [run]) for run in runs if run.run not in paths),
    ]


def _steps(curve: SurvivalCurve) -> tuple[list[float], list[float]]:
    """Return where the curve steps; all spells last longer than no time."""
    points = [(point.duration, point.survival) for point in curve.points if point.duration > 0]
    return [0.0, *(float(duration) for duration, _ in points)], [1.0, *(survival for _, survival in points)]
