"""How the numbers of one column are written, so that their points stand below each other."""

import math
import statistics
from collections.abc import Sequence

from rich.cells import cell_len

from masktools.render.document import Cell, Kind
from masktools.render.numbers import rate, show

__all__ = ["aligned", "column_texts", "common_decimals", "decimals_of"]

_MOST_DECIMALS = 5
"""More would be noise in whatever is a share."""

_SIGNIFICANT, _LONGEST = 3, 5
"""Significant digits of the typical number of a column, and at most of its largest."""

_VANISHING = 0.25
"""Part of the numbers from which on a column is not written with a fixed number of decimals, which would hide them."""


def decimals_of(values: Sequence[float]) -> int | None:
    """Return how many decimals a column has; None if its numbers are too different in size for a common one.

    Parameters
    ----------
    values
        The numbers of the column.

    Notes
    -----
    The median of the magnitudes has three significant digits, the largest not more than five, and no number more than
    five decimals. A column of shares, where none is above 1, has at least three, as if 1 were 0.999. Where more than a
    quarter of the numbers would be written as 0 though they are not, each number keeps significant digits of its own.

    Examples
    --------
    >>> decimals_of([0.0192, 0.00209, -0.0102]), decimals_of([26.2, 1.45, 3.94]), decimals_of([1e-9, 0.5, 1e-12])
    (4, 2, None)
    """
    sizes = [abs(value) for value in values if value and math.isfinite(value)]
    if not sizes:
        return 0
    typical, largest = (_exponent(size) for size in (statistics.median(sizes), max(sizes)))
    decimals = max(0, min(_SIGNIFICANT - 1 - typical, _LONGEST - 1 - largest, _MOST_DECIMALS))
    if max(sizes) <= 1:
        decimals = max(decimals, _SIGNIFICANT)
    lost = sum(_vanishes(size, decimals) for size in sizes)
    return None if lost > _VANISHING * len(sizes) else decimals


def common_decimals(own: Sequence[float], alike: Sequence[float]) -> int | None:
    """Return how many decimals a column and those that are like it have: as many as it needs, or as all need together.

    Parameters
    ----------
    own
        The numbers of the column.
    alike
        The numbers of the others, such as its chance level.

    Notes
    -----
    A column that is 0 throughout has no decimals to give to its chance level, and one that is all but 0 none too many.

    Examples
    --------
    >>> common_decimals([0.0, 0.0], [0.8387, 0.9557]), common_decimals([0.2, 0.05, 0.02], [0.2, 0.1, 0.3])
    (3, 4)
    """
    alone, together = decimals_of(own), decimals_of([*own, *alike])
    return alone if alone is None or together is None else max(alone, together)


def column_texts(cells: Sequence[Cell], kind: Kind, like: Sequence[Cell] = (), alike: Sequence[Cell] = ()) -> list[str]:
    """Return the texts of the cells of a column, those of numbers aligned at the point.

    Parameters
    ----------
    cells
        The cells.
    kind
        Kind of the column. Only ``rate`` has a number of decimals in common; a number that they would hide keeps
        significant digits of its own, and a true zero has no decimals.
    like
        Cells of another column, by whose numbers the decimals are chosen.
    alike
        Cells of further columns of the same sort of numbers, which have a say in that (`common_decimals`).
    """
    if kind in ("text", "curve"):
        return [show(cell, kind) for cell in cells]
    if kind == "count":
        return _to_the_right([show(cell, kind) for cell in cells])
    if kind != "rate" or any(_is_number(cell) and isinstance(cell, int) for cell in (*cells, *like, *alike)):
        return aligned([show(cell, kind) for cell in cells])
    decimals = common_decimals(_numbers(like or cells), _numbers(alike))
    return aligned([show(cell, kind) if decimals is None else _fixed(cell, decimals) for cell in cells])


def aligned(texts: Sequence[str]) -> list[str]:
    """Return texts of one width, with their first points below each other; a text without one ends before it.

    >>> aligned(["0.5", "12", "-", "3.25"])
    [' 0.5 ', '12   ', ' -   ', ' 3.25']
    """
    if not any("." in text for text in texts):
        return _to_the_right(texts)
    parts = [text.partition(".") for text in texts]
    before = max(cell_len(whole) for whole, _, _ in parts)
    after = max(cell_len(point + rest) for _, point, rest in parts)
    return [
        " " * (before - cell_len(whole)) + whole + point + rest + " " * (after - cell_len(point + rest))
        for whole, point, rest in parts
    ]


def _to_the_right(texts: Sequence[str]) -> list[str]:
    width = max(map(cell_len, texts), default=0)
    return [" " * (width - cell_len(text)) + text for text in texts]


def _numbers(cells: Sequence[Cell]) -> list[float]:
    return [float(cell) for cell in cells if _is_number(cell) and isinstance(cell, float)]


def _is_number(cell: Cell) -> bool:
    return isinstance(cell, int | float) and not isinstance(cell, bool)


def _fixed(cell: Cell, decimals: int) -> str:
    if not isinstance(cell, float) or not cell or not math.isfinite(cell):
        return show(cell, "rate")
    # Below one unit of the last decimal a number would be written as 0, or as up to twice what it is.
    return rate(cell) if abs(cell) < 10**-decimals else f"{cell:,.{decimals}f}"


def _vanishes(size: float, decimals: int) -> bool:
    return float(f"{size:.{decimals}f}") == 0


def _exponent(value: float) -> int:
    """Return the decimal exponent of a number as it is written with three significant digits."""
    return int(f"{value:.2e}".partition("e")[2])
