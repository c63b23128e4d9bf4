"""Documents as text for people."""

import io

from rich.box import Box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from masktools.render.document import Document, Table
from masktools.render.numbers import printable, show

__all__ = ["as_table"]

# Nothing but a rule below the headers, in characters that every terminal and log file has.
_RULED = Box("    \n    \n -- \n    \n    \n    \n    \n    \n", ascii=True)

_NARROWEST = 8
"""Columns that a text keeps when a table is too wide; the rest is folded below."""

_WIDEST = 32
"""Columns that a text may take that is to stay whole; longer ones are folded all the same."""

_GAP = 2
"""Blanks between columns."""


def as_table(document: Document, width: int = 80, styled: bool = False) -> str:
    """Return all tables, each with its reading, and the notes.

    Parameters
    ----------
    document
        What to write.
    width
        Number of columns to fit. Long texts are folded. Numbers are never cut: where there are too many of them, the
        table is wider.
    styled
        Whether to use bold and dim letters; otherwise there is no escape sequence in the text.
    """
    buffer = io.StringIO()
    console = Console(
        file=buffer,
        width=width,
        force_terminal=styled,
        color_system="standard" if styled else None,
        no_color=not styled,
        legacy_windows=False,
        highlight=False,
        emoji=False,
        markup=False,
    )
    for table in document.tables:
        _print_table(console, table, width)
    for note in document.notes:
        console.print(Text(f"Note: {printable(note)}", style="dim"))
    # Rich pads every line to the width of the table.
    return "\n".join(line.rstrip() for line in buffer.getvalue().split("\n")).rstrip("\n") + "\n"


def _print_table(console: Console, table: Table, width: int) -> None:
    grid = RichTable(box=_RULED, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    shown = [(place, column) for place, column in enumerate(table.columns) if column.shown]
    cells = [[show(row[place], column.kind) for place, column in shown] for row in table.rows]
    least = []
    for index, (_, column) in enumerate(shown):
        text = column.align == "left"
        longest = max(len(column.header), *(len(row[index]) for row in cells), 0)
        least.append(min(longest, _WIDEST if column.whole else _NARROWEST) if text else longest)
        grid.add_column(
            Text(column.header), justify=column.align, no_wrap=not text, overflow="fold", min_width=least[-1]
        )
    for row in cells:
        grid.add_row(*(Text(cell) for cell in row))
    for line in table.title.split("\n"):
        console.print(Text(printable(line), style="bold"))
    if table.rows:
        console.width = max(width, sum(least) + _GAP * (len(least) - 1))
        console.print(grid)
        console.width = width
    console.print(Text(printable(table.reading)))
    console.print()
