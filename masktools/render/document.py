"""What a command has to say, before anyone decides how it looks."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

__all__ = ["Cell", "Column", "Document", "Kind", "Table", "defined"]

Cell: TypeAlias = str | int | float | bool | None
"""One value; None is a value that is not defined."""

Kind: TypeAlias = Literal["text", "count", "rate", "figure", "curve"]
"""How a column is written: as it is; as a whole number with separators; as numbers of one sort, with decimals that suit
all of them; as numbers of different sorts, each with three significant digits; as a curve (`render.sparkline`), which
programs do not get."""


@dataclasses.dataclass(frozen=True)
class Column:
    """One column of a table.

    Parameters
    ----------
    name
        Name for programs: the header in CSV.
    title
        Header for people; the name when empty.
    kind
        Format of the values.
    shown
        Whether people see the column. What is hidden is still in CSV, which has no width to mind.
    whole
        Whether a text keeps to one line if it can.
    like
        Name of a column of the same sort of numbers, such as the one that this is the chance level of: people see
        as many decimals in both (`render.digits.common_decimals`).
    until
        Name of the column that holds the upper end of the interval of which this column holds the lower one: people
        see both in one, ``[0.598, 0.641]``, in the place of this column.
    joined
        Whether the column says something of the one before it, and stays beside it in a table of several blocks; one
        that is `like` another does.
    """

    name: str
    title: str = ""
    kind: Kind = "text"
    shown: bool = True
    whole: bool = False
    like: str = ""
    until: str = ""
    joined: bool = False

    @property
    def header(self) -> str:
        """Header for people."""
        return self.title or self.name

    @property
    def align(self) -> Literal["left", "right"]:
        """Text to the left, numbers to the right."""
        return "left" if self.kind in ("text", "curve") else "right"


@dataclasses.dataclass(frozen=True)
class Table:
    """A table that says in the end what it shows.

    Parameters
    ----------
    title
        Line or lines above the table.
    columns
        The columns.
    rows
        Rows of as many cells as there are columns.
    reading
        One sentence in plain words below the table: the number that matters, beside its chance level.

    Raises
    ------
    ValueError
        If a row has not one cell a column.
    """

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    reading: str

    def __post_init__(self) -> None:
        wrong = [row for row in self.rows if len(row) != len(self.columns)]
        if wrong:
            raise ValueError(f"table {self.title!r}: row {wrong[0]} does not fit {len(self.columns)} columns")

    @classmethod
    def of_records(
        cls, title: str, columns: Sequence[Column], records: Sequence[Mapping[str, Any]], reading: str
    ) -> "Table":
        """Make a table of mappings that hold a value for each column's name."""
        rows = tuple(tuple(record[column.name] for column in columns) for record in records)
        return cls(title, tuple(columns), rows, reading)

    def headed(self, titles: Mapping[str, str]) -> "Table":
        """Return the table with other headers for people, by the names of its columns."""
        columns = (dataclasses.replace(column, title=titles.get(column.name, column.title)) for column in self.columns)
        return dataclasses.replace(self, columns=tuple(columns))


@dataclasses.dataclass(frozen=True)
class Document:
    """The result of a command.

    Parameters
    ----------
    command
        Name of the command.
    data
        What programs get as JSON: nested mappings and sequences of plain values or numpy arrays. The keys
        ``schema_version``, ``command``, ``readings`` and ``notes`` are added when it is written.
    tables
        What people get. The first table is the main one, and what CSV holds unless there is `records`.
    notes
        Further sentences for people: caveats, what was left out and why.
    records
        What CSV holds instead, where programs get more rows than people can read.
    """

    command: str
    data: Mapping[str, Any]
    tables: tuple[Table, ...]
    notes: tuple[str, ...] = ()
    records: Table | None = None

    @property
    def rows_for_programs(self) -> Table:
        """What CSV and data frames hold: the records where there are any, else the main table; curves are left out."""
        table = self.records or self.tables[0]
        places = [place for place, column in enumerate(table.columns) if column.kind != "curve"]
        if len(places) == len(table.columns):
            return table
        rows = tuple(tuple(row[place] for place in places) for row in table.rows)
        return dataclasses.replace(table, columns=tuple(table.columns[place] for place in places), rows=rows)


def defined(cell: Cell) -> Cell:
    """Return a cell as programs get it: None where a number is not finite."""
    if isinstance(cell, float):
        return float(cell) if math.isfinite(cell) else None  # NumPy's are floats too, and would write their type
    return cell
