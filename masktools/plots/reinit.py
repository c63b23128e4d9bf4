"""What a structure is worth with other weights."""

import math
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from masktools.plots.canvas import BLUE, GRID, INK, MUTED, ORANGE, axes_of, legend, text
from masktools.structure.reevaluation import ReinitResult

if TYPE_CHECKING:
    from matplotlib.patches import Patch

__all__ = ["plot_reinit"]


def plot_reinit(result: ReinitResult, ax: Axes | None = None) -> Axes:
    """Draw the accuracy of each way of starting again: a dot with its 95 % interval, and every seed.

    Parameters
    ----------
    result
        What `masktools_train.reinit` returned.
    ax
        Axes to draw into; None makes a figure.

    Returns
    -------
    Axes
        The axes that were drawn into. The dashed line is the accuracy of always naming the most frequent class, where
        it is known; the other one is the network as it was trained.
    """
    variants = result.variants
    ax = axes_of(ax, (4.6, max(2.2, 1.4 + 0.3 * len(variants))))
    places = np.arange(len(variants))
    for place, variant in zip(places, variants, strict=True):
        ax.plot(variant.accuracies, [place + 0.22] * len(variant.accuracies), ls="none", marker="|", ms=5, color=MUTED)
        found = variant.interval
        if found.low is not None and found.high is not None:
            ax.plot([found.low, found.high], [place, place], color=BLUE, lw=1.8)
    means = [variant.interval.mean for variant in variants]
    handles: list[Line2D | Patch] = list(ax.plot(means, places, ls="none", marker="o", ms=5.5, color=BLUE))
    handles[0].set_label("mean, 95 % interval")
    handles.append(Line2D([], [], ls="none", marker="|", ms=5, color=MUTED, label="each repetition"))
    if math.isfinite(result.reference_accuracy):
        handles.append(ax.axvline(result.reference_accuracy, color=ORANGE, lw=1.2, label="as trained"))
    if math.isfinite(result.chance_accuracy):
        handles.append(ax.axvline(result.chance_accuracy, color=INK, lw=0.9, ls="--", label="guessing (chance)"))
    ax.set_yticks(places, [text(variant.variant) for variant in variants])
    ax.set_ylim(len(variants) - 0.4, -0.6)
    # The ends of an interval over few repetitions may lie where no accuracy can.
    ax.set_xlim(max(-0.02, ax.get_xlim()[0]), min(1.02, ax.get_xlim()[1]))
    ax.set_xlabel("test accuracy")
    ax.grid(axis="x", color=GRID, lw=0.6)
    legend(ax, handles)
    return ax
