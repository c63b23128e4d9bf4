"""What all pictures share: axes of their own or given ones, colours that everyone can tell apart, and names."""

from collections.abc import Iterable, Sequence

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, NullFormatter, ScalarFormatter

from masktools.render.numbers import printable
from masktools.render.run_names import short_names

__all__ = [
    "BLUE",
    "GRID",
    "INK",
    "MUTED",
    "ORANGE",
    "PALETTE",
    "axes_behind",
    "axes_of",
    "colour",
    "epoch_axis",
    "legend",
    "names_of",
    "plain_logarithm",
    "said",
    "text",
]

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9")
"""Colours that people with any colour vision tell apart (Okabe and Ito, Color Universal Design, 2008).

Their black is kept for text and their yellow, which has no contrast with white, is left out.
"""

BLUE, ORANGE = PALETTE[0], PALETTE[1]

INK, MUTED, GRID = "#010101", "#707070", "#DDDDDD"
"""Text and axes; what is chance, or beside the point; lines behind all.

Not quite black: an SVG leaves out a black that fills, and a page could then not give it another colour.
"""

_DASHES: tuple[str, ...] = ("-", "--", ":", "-.")

_OWN = "masktools"
"""Marks a figure that was made here, whose size may be changed."""

SIZE = (4.6, 2.9)
"""Inches of a picture, unless it needs more."""


def axes_of(ax: Axes | None, size: tuple[float, float] = SIZE) -> Axes:
    """Return the axes to draw into: the given ones as they are, else the only ones of a new figure.

    Parameters
    ----------
    ax
        Axes, or None.
    size
        Width and height of a new figure in inches.
    """
    if ax is None:
        # Without pyplot, which would keep the figure until it is closed, and ask for a screen.
        ax = Figure(figsize=size, layout="constrained", label=_OWN).add_subplot()
        ax.spines[["top", "right"]].set_visible(False)
        ax.tick_params(labelsize=9.5)
        for label in (ax.xaxis.label, ax.yaxis.label):
            label.set_fontsize(10)
    ax.set_axisbelow(True)
    return ax


def colour(place: int) -> tuple[str, str]:
    """Return colour and line style of the series with this number: colours first, then other dashes."""
    rounds, index = divmod(place, len(PALETTE))
    return PALETTE[index], _DASHES[rounds % len(_DASHES)]


def text(name: str) -> str:
    """Return a name as it is, where matplotlib would take a dollar for mathematics and hide what begins with ``_``."""
    shown = printable(name).replace("$", r"\$")
    return f" {shown}" if shown.startswith("_") else shown


def names_of(paths: Sequence[str]) -> list[str]:
    """Return short names of runs for a legend: without the directory that they all lie in."""
    folder = short_names(paths)[0]
    cut = max(folder.rfind("/"), folder.rfind("\\")) + 1
    return [text(path[cut:].rstrip("/").rpartition("/")[2] if len(paths) == 1 else path[cut:]) for path in paths]


def epoch_axis(ax: Axes, ends: Iterable[float], title: str = "epoch") -> None:
    """Label the axis of epochs; where runs differ in length more than eightfold, it is logarithmic from 10 on.

    Parameters
    ----------
    ax
        The axes.
    ends
        Last epoch of each run.
    title
        What is counted.
    """
    known = [end for end in ends if end > 0]
    if known and max(known) > 8 * min(known):
        ax.set_xscale("symlog", linthresh=10)
        ax.xaxis.set_major_formatter(ScalarFormatter())
        # Margins of a logarithm would reach far below 0, where there are no epochs.
        ax.set_xlim(-0.5, 1.15 * max(known))
        title += " (logarithmic from 10 on)"
    else:
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel(title)


def plain_logarithm(axis: Axis) -> None:
    """Label powers of ten as they are written in tables: 0.01."""
    axis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.set_minor_formatter(NullFormatter())


def axes_behind(ax: Axes) -> Axes:
    """Return axes with another scale at the right, behind the given ones, which are what the picture is about."""
    second = ax.twinx()
    second.set_zorder(ax.get_zorder() - 1)
    second.patch.set(visible=ax.patch.get_visible(), facecolor=ax.get_facecolor())
    ax.patch.set_visible(False)
    second.spines[["top", "left"]].set_visible(False)
    second.tick_params(labelsize=8, colors=MUTED, which="both")
    return second


def legend(ax: Axes, handles: Sequence[Line2D | Patch]) -> None:
    """Explain the series below the figure, where no curve can be hidden; within axes that share theirs with others."""
    if not handles:
        return
    longest = max(len(str(handle.get_label())) for handle in handles)
    columns = max(1, min(3, len(handles), 58 // (longest + 6)))
    figure = ax.get_figure(root=True)
    if isinstance(figure, Figure) and figure.get_label() == _OWN:
        figure.set_figheight(figure.get_figheight() + 0.19 * -(-len(handles) // columns) + 0.1)
        # Outside of the axes, so that the layout keeps the place free.
        figure.legend(handles=list(handles), loc="outside lower center", ncols=columns, fontsize=9, frameon=False)
    else:
        ax.legend(handles=list(handles), ncols=1, fontsize=8, frameon=False)


def said(ax: Axes, sentence: str) -> None:
    """Write within the axes why there is nothing to see."""
    ax.text(0.5, 0.5, text(sentence), transform=ax.transAxes, ha="center", va="center", fontsize=9, wrap=True)
