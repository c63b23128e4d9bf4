"""Long curves in few rows."""

from collections.abc import Collection, Sequence
from typing import TypeVar

__all__ = ["MOST_ROWS", "thinned", "thinning_words"]

MOST_ROWS = 15
"""Rows of a curve that people are shown."""

T = TypeVar("T")


def thinned(rows: Sequence[T], keep: Collection[int] = (), most: int = MOST_ROWS) -> list[T]:
    """Return at most `most` rows, evenly spread, with the first, the last and those to be kept among them.

    Parameters
    ----------
    rows
        Rows in their order.
    keep
        Places of further rows to be kept.
    most
        Number of rows.

    Examples
    --------
    >>> thinned(range(41), keep=[14], most=6)
    [0, 10, 14, 20, 30, 40]
    """
    if len(rows) <= most:
        return list(rows)
    last = len(rows) - 1
    kept = {place for place in keep if 0 < place < last}
    spread = max(2, most - len(kept))
    places = {round(place * last / (spread - 1)) for place in range(spread)}
    return [rows[place] for place in sorted(places | kept)]


def thinning_words(shown: int, total: int, what: str = "epochs") -> str:
    """Return what a title says about rows that were left out: nothing if none were.

    >>> thinning_words(15, 41)
    ' (15 of 41 epochs; --format csv has all)'
    """
    return f" ({shown} of {total} {what}; --format csv has all)" if shown < total else ""
