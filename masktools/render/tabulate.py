"""Tables of results of your own: for people, for programs, and for pages of results."""

import dataclasses
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, get_args, runtime_checkable

from masktools.atomic import write_text
from masktools.errors import MasktoolsError
from masktools.render.as_csv import as_csv
from masktools.render.as_table import as_table
from masktools.render.document import Cell, Column, Document, Kind, Table
from masktools.render.numbers import printable, show, with_interval

__all__ = ["Estimate", "Tabulated", "tabulate"]

_PLAIN_WIDTH = 80
"""Columns of a table that does not go to a terminal."""

_MISSING = ""


@runtime_checkable
class Estimate(Protocol):
    """A number with an interval, such as `Interval`, `PairMean` and `PairedDifference`."""

    @property
    def mean(self) -> float | None:
        """The number."""

    @property
    def low(self) -> float | None:
        """Lower end of the interval; None where there is none."""

    @property
    def high(self) -> float | None:
        """Upper end of the interval; None where there is none."""


@dataclasses.dataclass(frozen=True)
class Tabulated:
    """A table in every form in which it is wanted.

    Parameters
    ----------
    document
        The table as cells of text, and the same with numbers in full as its records.
    """

    document: Document

    def __str__(self) -> str:
        return self.text()

    def text(self, width: int | None = None) -> str:
        """Return the table for people, as the commands print it, with title and reading.

        Parameters
        ----------
        width
            Number of columns to fit; None is the width of the terminal, and 80 where the output goes elsewhere.
        """
        if width is None:
            width = max(40, shutil.get_terminal_size().columns) if sys.stdout.isatty() else _PLAIN_WIDTH
        return as_table(self.document, width)

    def csv(self) -> str:
        """Return the rows for programs: numbers in full, and the ends of an interval in columns of their own."""
        return as_csv(self.document)

    def write_csv(self, path: str | Path) -> None:
        """Write what `csv` returns into a file, whole or not at all.

        Raises
        ------
        MasktoolsError
            If the file cannot be written.
        """
        try:
            write_text(Path(path), self.csv())
        except OSError as error:
            raise MasktoolsError(f"{path}: cannot be written: {error.strerror or error}") from error

    def markdown(self) -> str:
        """Return the rows as a table of GitHub flavoured Markdown, numbers to the right, without title and reading."""
        table = self.document.tables[0]
        lines = [
            [column.header for column in table.columns],
            *([show(cell, column.kind) for cell, column in zip(row, table.columns, strict=True)] for row in table.rows),
        ]
        rows = ["| " + " | ".join(printable(cell).replace("|", "\\|") for cell in line) + " |" for line in lines]
        rule = "|" + "|".join("---:" if column.align == "right" else "---" for column in table.columns) + "|"
        return "\n".join([rows[0], rule, *rows[1:]]) + "\n"


def tabulate(
    title: str, records: Sequence[Mapping[str, Any]], reading: str = "", formats: Mapping[str, Kind] | None = None
) -> Tabulated:
    """Return records as a table, for people, for programs and for pages.

    Parameters
    ----------
    title
        Line above the table.
    records
        One mapping a row, from names of columns to values. Columns come in the order in which names first appear. A
        value is a text, a number, a flag, a path, None, or something with ``mean``, ``low`` and ``high``, such as an
        interval: people get those in one cell, ``0.8821 [0.8799, 0.8844]``, with two significant digits of half the
        width, and programs in three columns, ``NAME``, ``NAME_low`` and ``NAME_high``. A name that a record lacks
        leaves its cell empty; None, a number that is not defined, is ``-`` for people.
    reading
        A sentence below the table that says what it shows.
    formats
        How columns are written: ``text`` (as it is, to the left), ``count`` (whole, with separators for thousands) or
        ``rate`` (three significant digits; people see decimals that suit the whole column). By default what the values
        are: give ``text`` for seeds and years.

    Returns
    -------
    Tabulated
        Text, JSON, CSV and HTML are made of it as they are asked for.

    Raises
    ------
    MasktoolsError
        If no record has a value, a value has no place in a table, a format is unknown, or two columns would have the
        same name.

    Examples
    --------
    >>> from masktools import mean_interval
    >>> rows = [{"algorithm": "dnw", "accuracy": mean_interval([0.968, 0.971, 0.972])}, {"algorithm": "ltr"}]
    >>> print(tabulate("Digits", rows).markdown(), end="")
    | algorithm | accuracy |
    |---|---:|
    | dnw | 0.9703 [0.9652, 0.9755] |
    | ltr |  |
    """
    names = list(dict.fromkeys(name for record in records for name in record))
    if not names:
        raise MasktoolsError(f"table {title!r}: no record has a value")
    values = [[_plain(record[name], name) if name in record else _MISSING for name in names] for record in records]
    kinds = [_kind(name, [row[place] for row in values], formats or {}) for place, name in enumerate(names)]
    shown = Table(
        title,
        tuple(Column(name, printable(name), kind, whole=True) for name, kind in zip(names, kinds, strict=True)),
        tuple(tuple(map(_shown, row)) for row in values),
        reading,
    )
    return Tabulated(Document("table", {}, (shown,), records=_in_full(title, names, values)))


def _plain(value: Any, name: str) -> Cell | Estimate:
    plain = value.tolist() if hasattr(value, "tolist") else value  # numpy's scalars, without loading numpy
    if plain is None or isinstance(plain, str | int | float | Estimate):
        return plain
    if isinstance(plain, os.PathLike):
        return str(os.fspath(plain))
    raise MasktoolsError(f"column {name!r}: a value of type {type(value).__name__} has no place in a table")


def _kind(name: str, values: Sequence[Cell | Estimate], formats: Mapping[str, Kind]) -> Kind:
    if name in formats:
        if formats[name] not in get_args(Kind):
            raise MasktoolsError(f"column {name!r}: format {formats[name]!r} is none of {', '.join(get_args(Kind))}")
        return formats[name]
    numbers = [value for value in values if not isinstance(value, str | bool | None)]
    if not numbers:
        return "text"
    return "count" if all(isinstance(number, int) for number in numbers) else "rate"


def _shown(value: Cell | Estimate) -> Cell:
    return with_interval(value.mean, value.low, value.high) if isinstance(value, Estimate) else value


def _in_full(title: str, names: Sequence[str], values: Sequence[Sequence[Cell | Estimate]]) -> Table:
    """Return the table for programs, with three columns for each that has an interval in any row."""
    wide = [any(isinstance(row[place], Estimate) for row in values) for place in range(len(names))]
    columns = [
        name + end
        for name, three in zip(names, wide, strict=True)
        for end in (("", "_low", "_high") if three else ("",))
    ]
    twice = next((name for name in columns if columns.count(name) > 1), None)
    if twice is not None:
        raise MasktoolsError(f"table {title!r}: two columns would have the name {twice!r}")
    rows: list[tuple[Cell, ...]] = []
    for row in values:
        cells: list[Cell] = []
        for value, three in zip(row, wide, strict=True):
            if isinstance(value, Estimate):
                cells += (None if end is None else float(end) for end in (value.mean, value.low, value.high))
            else:
                cells += (value, None, None) if three else (value,)
        rows.append(tuple(cells))
    return Table(title, tuple(Column(name) for name in columns), tuple(rows), "")
