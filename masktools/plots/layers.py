"""Densities of layers: of the weights that are active, and of those on a path from input to output."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from masktools.plots.canvas import BLUE, GRID, INK, MUTED, ORANGE, axes_of, colour, legend, plain_logarithm, text
from masktools.structure.connectivity_curve import ConnectivityCurve
from masktools.structure.connectivity_result import Connectivity

__all__ = ["plot_layers"]


def plot_layers(result: Connectivity | ConnectivityCurve, ax: Axes | None = None) -> Axes:
    """Draw nominal and effective density of each layer, on a logarithmic axis.

    Parameters
    ----------
    result
        Of `masktools.connectivity`: two bars a layer; where random masks were drawn, a tick at their mean
        effective density. Of `masktools.connectivity_curve`: effective density by epoch, a curve a layer.
    ax
        Axes to draw into; None makes a figure.

    Returns
    -------
    Axes
        The axes that were drawn into. A layer without effective weights has no bar, and the word ``none`` in its place.
    """
    return _bars(result, ax) if isinstance(result, Connectivity) else _curves(result, ax)


def _bars(result: Connectivity, ax: Axes | None) -> Axes:
    layers = result.layers
    ax = axes_of(ax, (4.6, max(2.4, 1.4 + 0.34 * len(layers))))
    places = np.arange(len(layers))
    nominal, effective = [layer.density for layer in layers], [layer.effective_density for layer in layers]
    positive = [value for value in (*nominal, *effective) if value > 0]
    # At least a decade, below which a logarithmic axis labels more than it has room for.
    floor = min(0.08, min(positive, default=0.1) / 3)
    ax.set_xscale("log")
    ax.barh(places - 0.19, nominal, 0.36, left=0, color=BLUE)
    ax.barh(places + 0.19, effective, 0.36, left=0, color=ORANGE)
    handles: list[Line2D | Patch] = [
        Patch(color=BLUE, label="active (nominal)"),
        Patch(color=ORANGE, label="on a path (effective)"),
    ]
    for place, layer in zip(places, layers, strict=True):
        level = result.level("effective", layer.name)
        if level is not None and level.mean is not None and level.mean > 0:
            ax.plot([level.mean / layer.size] * 2, [place + 0.01, place + 0.37], color=INK, lw=1.8)
        if not layer.effective:
            ax.text(floor * 1.1, place + 0.19, "none", va="center", fontsize=8, color=ORANGE)
    if result.trial is not None:
        handles.append(Line2D([], [], ls="none", marker="|", ms=9, mew=1.8, color=INK, label="in random masks"))
    ax.set_xlim(floor, max(1.0, *nominal) if layers else 1.0)
    plain_logarithm(ax.xaxis)
    ax.set_yticks(places, [text(layer.name) for layer in layers])
    ax.set_ylim(len(layers) - 0.45, -0.55)
    ax.set_xlabel("density (share of weights)")
    ax.grid(axis="x", color=GRID, lw=0.6)
    legend(ax, handles)
    return ax


def _curves(result: ConnectivityCurve, ax: Axes | None) -> Axes:
    ax = axes_of(ax)
    epochs = [found.epoch if found.epoch is not None else place for place, found in enumerate(result.epochs)]
    handles: list[Line2D | Patch] = []
    for place, layer in enumerate(result.epochs[0].layers):
        tone, dashes = colour(place)
        densities = [found.layers[place].effective_density or np.nan for found in result.epochs]
        handles += ax.plot(epochs, densities, color=tone, ls=dashes, lw=1.5, label=text(layer.name))
    total = [found.total.effective_density or np.nan for found in result.epochs]
    handles += ax.plot(epochs, total, color=MUTED, lw=2.5, label="all layers")
    if any(np.isfinite(line.get_ydata()).any() for line in ax.lines):
        ax.set_yscale("log")
        plain_logarithm(ax.yaxis)
    ax.set(xlabel="epoch", ylabel="effective density (share of weights)")
    ax.grid(color=GRID, lw=0.6)
    legend(ax, handles)
    return ax
