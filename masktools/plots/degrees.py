"""Degrees of the units of a layer beside what density alone gives."""

import math
from typing import Literal

import numpy as np
import scipy.special
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from masktools.plots.canvas import BLUE, GRID, INK, axes_of, legend
from masktools.structure.degrees import degrees

__all__ = ["plot_degrees"]

_BINS = 50
"""Bars at most; wider ranges have several degrees a bar."""

_WORDS = {"fan_in": "active weights into an output unit", "fan_out": "active weights out of an input unit"}


def plot_degrees(
    mask: NDArray[np.bool_], ax: Axes | None = None, *, side: Literal["fan_in", "fan_out"] = "fan_in", groups: int = 1
) -> Axes:
    """Draw how many units of a layer have which degree, beside the binomial of the same density.

    Parameters
    ----------
    mask
        Boolean, axes (out, in per group, kernel ...), for example ``run.final.mask("fc1.weight")``.
    ax
        Axes to draw into; None makes a figure.
    side
        ``fan_in`` for the output units, ``fan_out`` for the input units. Every active tap of a kernel counts.
    groups
        Number of groups of a convolution.

    Returns
    -------
    Axes
        The axes that were drawn into: bars are shares of the units, the line is the binomial with as many trials as a
        unit has weights, and the density of the layer.

    Raises
    ------
    StructureError
        If there are fewer than two axes, or the outputs do not split into the groups.
    """
    fan_out, fan_in = degrees(mask, groups)
    found = fan_in if side == "fan_in" else fan_out
    each, density = (mask.size // len(found) if len(found) else 0), float(mask.mean()) if mask.size else 0.0
    spread = math.sqrt(each * density * (1 - density))
    low = max(0, min(int(found.min(initial=each)), math.floor(each * density - 4 * spread)))
    high = min(each, max(int(found.max(initial=0)), math.ceil(each * density + 4 * spread)))
    step = -(-(high - low + 1) // _BINS)
    edges = np.arange(low, high + step + 1, step)
    shares = np.histogram(found, edges)[0] / max(1, len(found))
    # Of degrees up to and including the last one before each edge; none lies below 0.
    below = np.where(edges > 0, scipy.special.bdtr(np.clip(edges - 1, 0, each), each, density), 0.0)
    ax = axes_of(ax, (4.6, 3.0))
    ax.bar(edges[:-1] - 0.5, shares, step, align="edge", color=BLUE, alpha=0.75, lw=0)
    centres = (edges[:-1] + edges[1:] - 1) / 2
    ax.plot(centres, np.diff(below), color=INK, lw=1.3, marker="." if len(centres) <= 25 else None)
    ax.set(xlabel=_WORDS[side], ylabel="share of the units", xlim=(low - 0.5, edges[-1] - 0.5))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.grid(axis="y", color=GRID, lw=0.6)
    mark = "." if len(centres) <= 25 else None
    binomial = Line2D([], [], color=INK, lw=1.3, marker=mark, label="binomial of this density")
    legend(ax, [Patch(color=BLUE, alpha=0.75, label=f"the {len(found):,} units"), binomial])
    return ax
