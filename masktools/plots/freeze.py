"""What fixing the mask early costs."""

import math
from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from masktools.plots.canvas import BLUE, GRID, MUTED, ORANGE, axes_behind, axes_of, legend
from masktools.statistics.intervals import mean_interval
from masktools.structure.freezing import FreezeResult

if TYPE_CHECKING:
    from matplotlib.patches import Patch

__all__ = ["plot_freeze"]


def plot_freeze(result: FreezeResult, ax: Axes | None = None, *, work: bool = True) -> Axes:
    """Draw the accuracy in the end by the epoch from which on the mask was fixed.

    Parameters
    ----------
    result
        What `masktools_train.freeze` returned.
    ax
        Axes to draw into; None makes a figure.
    work
        Whether to draw on a second axis what the training costs, as a share of that of the run itself.

    Returns
    -------
    Axes
        The axes that were drawn into: means over runs with their 95 % intervals, every run as a mark, and the mean of
        the runs whose mask was never fixed as a line; the second axis is another one of their figure.
    """
    ax = axes_of(ax)
    epochs = [point.epoch for point in result.points]
    for point in result.points:
        ax.plot([point.epoch] * len(point.accuracies), point.accuracies, ls="none", marker="_", ms=7, color=MUTED)
        found = mean_interval(point.accuracies)
        if found.low is not None and found.high is not None:
            ax.plot([point.epoch] * 2, [found.low, found.high], color=BLUE, lw=1.8)
    means = [mean_interval(point.accuracies).mean for point in result.points]
    handles: list[Line2D | Patch] = list(ax.plot(epochs, means, marker="o", color=BLUE, lw=1.0))
    handles[0].set_label("mean, 95 % interval")
    handles.append(Line2D([], [], ls="none", marker="_", ms=7, color=MUTED, label="each run"))
    own = math.fsum(result.accuracies) / len(result.accuracies)
    handles.append(ax.axhline(own, color=ORANGE, lw=1.2, label="never fixed"))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    # The ends of an interval over few runs may lie where no accuracy can.
    low, high = ax.get_ylim()
    ax.set(xlabel="epoch from which on the mask is fixed", ylabel="test accuracy in the end")
    ax.set_ylim(max(-0.02, low), min(1.02, high))
    ax.grid(color=GRID, lw=0.6)
    if work:
        handles.append(_draw_work(ax, result))
    legend(ax, handles)
    return ax


def _draw_work(ax: Axes, result: FreezeResult) -> Line2D:
    """Draw what training costs: FLOPs as a share of the run's, or where they are unknown the share of dense steps."""
    second = axes_behind(ax)
    flops = [point.training_flops_ratio for point in result.points]
    counted = all(value is not None for value in flops)
    shares = [point.dense_gradient_share for point in result.points]
    values = [share if ratio is None or not counted else ratio for ratio, share in zip(flops, shares, strict=True)]
    name = "training FLOPs" if counted else "steps with dense gradients"
    second.plot([point.epoch for point in result.points], values, color=MUTED, ls=":", lw=1.3, marker=".", ms=4)
    second.set_ylabel(f"{name} (share{' of the run' if counted else ''})", color=MUTED, fontsize=9)
    second.set_ylim(0, 1.05)
    return Line2D([], [], color=MUTED, ls=":", lw=1.3, marker=".", ms=4, label=name)
