"""Pictures as files."""

import os
import warnings
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from masktools.atomic import replacing
from masktools.errors import MasktoolsError

__all__ = ["ENDINGS", "figure_of", "save_plot", "write_figure"]

ENDINGS = (".svg", ".png", ".pdf")
"""Endings of files that pictures are written to."""


def save_plot(ax: Axes, path: str | os.PathLike[str]) -> Path:
    """Write the figure that axes belong to, whole or not at all.

    Parameters
    ----------
    ax
        Axes that a picture was drawn into.
    path
        The file; its ending says the format: ``.svg``, ``.png`` or ``.pdf``.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    MasktoolsError
        If the ending is another one, or the file cannot be written.
    """
    path = Path(path)
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise MasktoolsError(f"{path}: pictures are written as {', '.join(ENDINGS)}, not as {ending or 'a bare name'}")
    try:
        with replacing(path) as temporary:
            write_figure(figure_of(ax), temporary, ending[1:])
    except OSError as error:
        raise MasktoolsError(f"{path}: cannot be written: {error.strerror or error}") from error
    return path


def figure_of(ax: Axes) -> Figure:
    """Return the whole figure that axes belong to.

    Raises
    ------
    MasktoolsError
        If they were taken out of it.
    """
    figure = ax.get_figure(root=True)
    if figure is None:
        raise MasktoolsError("these axes belong to no figure any more")
    return figure


def write_figure(figure: Figure, target: Any, kind: str) -> None:
    """Write a figure.

    Parameters
    ----------
    figure
        The figure.
    target
        A path or an open file.
    kind
        ``svg``, ``png`` or ``pdf``.
    """
    # Text stays text in all formats, and the same picture is the same file: a date would make two of them differ.
    metadata: dict[str, Any] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind, {})
    with (
        rc_context({"svg.fonttype": "none", "svg.hashsalt": "masktools", "pdf.fonttype": 42}),
        warnings.catch_warnings(),
    ):
        # Names in scripts that the font lacks are measured with a box; browsers draw them with a font of their own.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        # For the layout to settle: it does not know in advance how wide the labels are that its axes will have, and
        # axes that became smaller may label other ticks.
        before = _ticks(figure)
        figure.draw_without_rendering()
        if _ticks(figure) != before:
            figure.draw_without_rendering()
        engine = figure.get_layout_engine()
        if engine is not None:
            # It stays as it is now: laid out once more with the metrics of another format, ticks may change again.
            figure.set_layout_engine("none")
        try:
            figure.savefig(target, format=kind, dpi=160, metadata=metadata)
        finally:
            if engine is not None:
                figure.set_layout_engine(engine)


def _ticks(figure: Figure) -> list[tuple[float, ...]]:
    """Return where the axes of a figure are labelled."""
    return [tuple(axis.get_majorticklocs()) for ax in figure.axes for axis in (ax.xaxis, ax.yaxis)]
