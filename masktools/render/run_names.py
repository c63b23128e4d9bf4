"""Names of several runs that fit a table: what all paths begin with is said once."""

import dataclasses
from collections.abc import Mapping, Sequence

from masktools.render.document import Table

__all__ = ["beginning_of", "named", "short_names"]

_ENDS = "/\\-_"
"""Characters after which a path may be cut: never within a word, nor within a number such as 0.01."""


def short_names(paths: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """Return what all paths begin with, and the rest of each.

    Parameters
    ----------
    paths
        Paths of the runs.

    Examples
    --------
    >>> short_names(["runs/dnw-s0", "runs/dnw-s1"])
    ('runs/dnw-', ('s0', 's1'))
    >>> short_names(["runs/dnw-s0", "runs/rigl-s0"])
    ('runs/', ('dnw-s0', 'rigl-s0'))
    >>> short_names(["a", "b"])
    ('', ('a', 'b'))
    """
    cut = 0
    for place, letters in enumerate(zip(*paths, strict=False), start=1):
        # Where one path is the beginning of another, something must be left of it.
        if len(set(letters)) > 1 or any(len(path) == place for path in paths):
            break
        if letters[0] in _ENDS:
            cut = place
    return paths[0][:cut] if paths else "", tuple(path[cut:] for path in paths)


def named(table: Table, names: Mapping[str, str], columns: Sequence[str] = ("run",)) -> Table:
    """Return a table in which runs have short names, none of them split within a word.

    Parameters
    ----------
    table
        A table with paths of runs.
    names
        What each run is called, by its path.
    columns
        Names of the columns with paths; those that the table lacks do not matter.
    """
    places = {place for place, column in enumerate(table.columns) if column.name in columns}
    return dataclasses.replace(
        table,
        columns=tuple(
            dataclasses.replace(column, whole=True) if place in places else column
            for place, column in enumerate(table.columns)
        ),
        rows=tuple(
            tuple(names.get(str(cell), cell) if place in places else cell for place, cell in enumerate(row))
            for row in table.rows
        ),
    )


def beginning_of(beginning: str) -> str:
    """Return what a title says about a beginning that was left out: nothing if none was."""
    return f"; all begin with {beginning}" if beginning else ""
