"""What fixing the mask early costs."""

import math
from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from masktools.plots.canvas import BLUE, GRID, MUTED, ORANGE, axes_of, legend
from masktools.statistics.intervals import mean_interval
from masktools.structure.freezing import FreezeResult

if TYPE_CHECKING:
    from matplotlib.patches import Patch

__all__ = ["plot_freeze"]


def plot_freeze(result: FreezeResult, ax: Axes | None = None) -> Axes:
    """Draw the accuracy in the end by the epoch from which on the mask was fixed.

    Parameters
    ----------
    result
        What `masktools_train.freeze` returned.
    ax
        Axes to draw into; None makes a figure.

    Returns
    -------
    Axes
        The axes that were drawn into: means over runs with their 95 % intervals, every run as a mark, and the mean of
        the runs whose mask was never fixed as a line.
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
    ax.set_xticks(epochs)
    ax.set(xlabel="epoch from which on the mask is fixed", ylabel="test accuracy in the end")
    ax.grid(color=GRID, lw=0.6)
    legend(ax, handles)
    return ax
