"""What masks have in common: of two runs at every pair of epochs, of several runs, and layer by layer."""

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from matplotlib.ticker import FixedLocator
from numpy.typing import NDArray

from masktools.errors import StructureError
from masktools.plots.canvas import BLUE, GRID, INK, MUTED, axes_of, names_of, text
from masktools.structure.comparison import Comparison
from masktools.structure.comparisons import Comparisons
from masktools.structure.epochs import EpochMatrix

__all__ = ["plot_overlap"]

_COLOURS = "cividis"
"""Rises evenly in lightness for people with any colour vision (Nuñez, Anderton and Renslow, 2018)."""

_LETTER = 0.085
"""Inches that a letter of a tick's label takes in a line, on average and no less."""

_LINE = 40
"""Letters of a line below an axis, or upright beside one."""

_WRITTEN = 12
"""Runs up to which the numbers are written into the cells."""


def plot_overlap(
    result: EpochMatrix | Comparisons | Comparison, ax: Axes | None = None, *, layer: str | None = None
) -> Axes:
    """Draw the agreement (kappa, chance 0) of masks.

    Parameters
    ----------
    result
        Of `masktools.compare_epochs`: a heat map, epochs of A downwards, epochs of B to the right. Of
        `masktools.compare_many`: a matrix of the runs. Of `masktools.compare`: a dot a layer, with the central 95 % of
        the random masks where they were drawn.
    ax
        Axes to draw into; None makes a figure.
    layer
        Which layer of the epoch matrix; None is all layers together.

    Returns
    -------
    Axes
        The axes that were drawn into. Colours begin at chance: what is below has the colour of 0.

    Raises
    ------
    StructureError
        If there is no such layer.
    """
    if isinstance(result, EpochMatrix):
        return _epochs(result, ax, layer)
    return _runs(result, ax) if isinstance(result, Comparisons) else _layers(result, ax)


def _image(ax: Axes, values: NDArray[np.float64]) -> AxesImage:
    # Without interpolation an SVG holds the cells themselves, one pixel each.
    colours = colormaps[_COLOURS].with_extremes(bad="#999999")
    image = ax.imshow(values, cmap=colours, vmin=0, vmax=1, interpolation="none", aspect="auto")
    figure = ax.get_figure(root=True)
    if figure is not None:
        bar = figure.colorbar(image, ax=ax, fraction=0.05, pad=0.02, extend="min" if (values < 0).any() else "neither")
        bar.set_label("kappa (0 = chance)", fontsize=9)
        bar.ax.tick_params(labelsize=8)
        bar.outline.set_linewidth(0)
    ax.spines[:].set_visible(False)
    return image


def _epochs(result: EpochMatrix, ax: Axes | None, layer: str | None) -> Axes:
    found = next((each for each in (result.total, *result.layers) if each.name == (layer or "total")), None)
    if found is None:
        raise StructureError(f"{result.runs[0]}: there is no layer {layer!r}")
    ax = axes_of(ax, (4.6, 3.8))
    _image(ax, found.kappa)
    a, b = names_of(result.runs) if result.runs[0] != result.runs[1] else 2 * names_of(result.runs[:1])
    # A long name goes on in another line rather than beyond the picture.
    ax.set(ylabel=textwrap.fill(f"epoch of {a}", _LINE), xlabel=textwrap.fill(f"epoch of {b}", _LINE))
    _ticks(ax.xaxis, result.epochs_b)
    _ticks(ax.yaxis, result.epochs_a)
    return ax


def _ticks(axis: Any, epochs: Sequence[int]) -> None:
    """Label some of the epochs, the first and the last among them."""
    places = np.unique(np.linspace(0, len(epochs) - 1, min(6, len(epochs))).round().astype(int))
    axis.set_major_locator(FixedLocator(places.tolist()))
    axis.set_ticklabels([str(epochs[place]) for place in places])


def _runs(result: Comparisons, ax: Axes | None) -> Axes:
    count = len(result.runs)
    values = np.array([[np.nan if v is None else v for v in row] for row in result.matrix()], dtype=float)
    names = names_of(result.runs)
    side = max(3.4, min(8.0, 1.6 + 0.42 * count))
    longest = max(map(len, names)) * _LETTER
    ax = axes_of(ax, (side + 0.9 + max(0.0, longest - 0.6), side))
    _image(ax, values)
    if longest < 0.9 * (side - 1) / count:
        ax.set_xticks(range(count), names)
        ax.set_yticks(range(count), names)
    else:  # names below their columns would run together: columns have the numbers of the rows, as in tables
        ax.set_xticks(range(count), [str(place + 1) for place in range(count)])
        ax.set_yticks(range(count), [f"{place + 1}  {name}" for place, name in enumerate(names)])
    for i, j in np.ndindex(count, count) if count <= _WRITTEN else ():
        if not np.isnan(values[i, j]):
            dark = values[i, j] < 0.6
            shown = f"{values[i, j]:z.2f}"
            ax.text(j, i, shown, ha="center", va="center", fontsize=8, color="#FFFFFF" if dark else "#020202")
    return ax


def _layers(result: Comparison, ax: Axes | None) -> Axes:
    rows = [*result.layers, result.total]
    ax = axes_of(ax, (4.6, max(2.4, 1.3 + 0.26 * len(rows))))
    places = np.arange(len(rows))
    for place, row in zip(places, rows, strict=True):
        level = result.level("kappa", row.name)
        if level is not None:
            ax.plot([level.low, level.high], [place, place], color=MUTED, lw=5, alpha=0.5, solid_capstyle="butt")
    kappas = [np.nan if row.kappa is None else row.kappa for row in rows]
    ax.plot(kappas, places, ls="none", marker="o", color=BLUE, label="kappa")
    ax.axvline(0, color=INK, lw=0.9, ls="--")
    ax.set_yticks(places, [text(row.name) for row in rows])
    ax.invert_yaxis()
    ax.set_xlabel("kappa (dashed: chance" + ("; grey: random masks)" if result.trial else ")"))
    ax.grid(axis="x", color=GRID, lw=0.6)
    return ax
