"""Documents as text for people."""

import io
import itertools
import re
from collections.abc import Collection, Mapping, Sequence

from rich.box import Box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from masktools.render.digits import column_texts
from masktools.render.document import Cell, Column, Document, Table
from masktools.render.folding import folded, least_width, widths_within
from masktools.render.numbers import printable
from masktools.render.sparkline import plain_blocks

__all__ = ["as_table"]

# Nothing but a rule below the headers, in characters that every terminal and log file has.
_RULED = Box("    \n    \n -- \n    \n    \n    \n    \n    \n", ascii=True)

_LONGEST_WORD = 32
"""Columns that a word, or a text that is to stay whole, may take; longer ones are cut all the same."""

_SHORT, _EASY = 16, 24
"""Columns up to which a text is folded last, and in which one is easy to read."""

_GAP = 2
"""Blanks between columns."""

_END = re.compile(r"(?:\x1b\[[\d;]*m| )*$")
"""Blanks and changes of style at the end of a line."""

_CURVE = "cyan"
"""Style of curves."""


def as_table(document: Document, width: int = 80, styled: bool = False, encoding: str = "utf-8") -> str:
    """Return all tables, each with its reading, and the notes.

    Parameters
    ----------
    document
        What to write.
    width
        Number of columns to fit. Headers and long texts are folded between words. Numbers are never cut: where there
        are too many of them, the columns follow in several blocks, each of which begins with the names of the rows.
    styled
        Whether to use colour, bold and dim letters; otherwise there is no escape sequence in the text.
    encoding
        What the text will be encoded in. Letters that it lacks are written as escapes, curves in ASCII.
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
        _print_table(console, table, encoding)
    for note in document.notes:
        _print(console, f"Note: {note}", encoding, "dim")
    # Rich pads every line to the width of the table, within its style.
    lines = (_END.sub(lambda end: end[0].replace(" ", ""), line) for line in buffer.getvalue().split("\n"))
    return "\n".join(lines).rstrip("\n") + "\n"


def _print_table(console: Console, table: Table, encoding: str) -> None:
    for line in table.title.split("\n"):
        _print(console, line, encoding, "bold")
    if table.rows:
        width = console.width
        for number, block in enumerate(_blocks(_columns(table, encoding), width)):
            if number:
                console.print()
            console.width = max(width, _taken([taken for _, taken in block]))
            console.print(_grid(block, len(table.rows)))
            console.width = width
    if table.reading:
        _print(console, table.reading, encoding)
    console.print()


def _print(console: Console, text: str, encoding: str, style: str = "") -> None:
    for line in folded(_within(printable(text), encoding), console.width):
        console.print(Text(line, style=style))


class _Shown:
    """A column as people see it: header and cells as text, and how narrow it can be."""

    def __init__(self, column: Column, header: str, texts: list[str]) -> None:
        self.header, self.texts, self.align, self.curve = header, texts, column.align, column.kind == "curve"
        self.names, self.joined = column.kind == "text", column.joined or bool(column.like)
        self.longest = max(map(cell_len, texts), default=0)
        self.natural = max(cell_len(header), self.longest)
        of_cells = self.longest
        if column.kind == "text":
            most = _LONGEST_WORD
            of_cells = min(self.longest, most) if column.whole else max(least_width(text, most) for text in texts)
        self.least = max(max(map(cell_len, header.split()), default=0), of_cells)


def _columns(table: Table, encoding: str) -> list[_Shown]:
    places = {column.name: place for place, column in enumerate(table.columns)}
    upper = {column.until for column in table.columns if column.until}
    alike = _alike(table, places)
    shown = []
    for place, column in enumerate(table.columns):
        if not column.shown or column.name in upper:
            continue
        cells = [row[place] for row in table.rows]
        like, rest = alike[column.like or column.name]
        if column.until:
            ends = [row[places[column.until]] for row in table.rows]
            texts = _intervals(
                column_texts(cells, column.kind, like, rest), column_texts(ends, column.kind, like, rest)
            )
        else:
            texts = column_texts(cells, column.kind, like, rest)
        header = _within(printable(column.header), encoding)
        shown.append(_Shown(column, header, [_within(text, encoding) for text in texts]))
    return shown


def _alike(table: Table, places: Mapping[str, int]) -> dict[str, tuple[list[Cell], list[Cell]]]:
    """Return by which cells decimals are chosen: by the name of the column that others are like, its own and theirs."""
    found: dict[str, tuple[list[Cell], list[Cell]]] = {}
    for column in table.columns:
        if column.shown:
            own, others = found.setdefault(column.like or column.name, ([], []))
            for name in (column.name, column.until):
                (others if column.like else own).extend(row[places[name]] for row in table.rows if name)
    return found


def _intervals(lows: Sequence[str], highs: Sequence[str]) -> list[str]:
    pairs = [(low.strip(), high.strip()) for low, high in zip(lows, highs, strict=True)]
    texts = ["-" if low == high == "-" else f"[{low}, {high}]" for low, high in pairs]
    longest = max(map(len, texts), default=0)
    return [text.rjust(longest) for text in texts]


def _blocks(columns: Sequence[_Shown], width: int) -> list[list[tuple[_Shown, int]]]:
    """Return the columns in blocks that fit, with their widths; each begins with the columns that name the rows."""
    least = {column: max(column.least, min(column.longest, _SHORT)) for column in columns}
    if _taken(least.values()) > width:
        least = {column: column.least for column in columns}
    if _taken(least.values()) > width:
        # Where there is to be more than one block anyway, names are not folded as narrowly as they could be.
        least = {column: max(column.least, min(column.longest, _EASY)) for column in columns}
    keys = list(itertools.takewhile(lambda column: column.names, columns))
    if not keys or len(keys) == len(columns):
        keys = list(columns[:1])
    blocks = [keys]
    for group in _groups(columns[len(keys) :]):
        # What does not fit beside the names alone has a block that is wider than asked, but is not cut.
        if len(blocks[-1]) > len(keys) and _taken([least[column] for column in (*blocks[-1], *group)]) > width:
            blocks.append(keys)
        blocks[-1] = [*blocks[-1], *group]
    return [_with_widths(block, [least[column] for column in block], width) for block in blocks]


def _groups(columns: Sequence[_Shown]) -> list[list[_Shown]]:
    """Return columns together with those that belong to them."""
    groups: list[list[_Shown]] = []
    for column in columns:
        if column.joined and groups:
            groups[-1].append(column)
        else:
            groups.append([column])
    return groups


def _with_widths(block: list[_Shown], least: list[int], width: int) -> list[tuple[_Shown, int]]:
    natural = [column.natural for column in block]
    fitting = widths_within(natural, least, width - _GAP * (len(block) - 1))
    fitting = fitting or widths_within(natural, [column.least for column in block], width - _GAP * (len(block) - 1))
    return list(zip(block, fitting or [column.least for column in block], strict=True))


def _taken(widths: Collection[int]) -> int:
    return sum(widths) + _GAP * (len(widths) - 1)


def _grid(block: Sequence[tuple[_Shown, int]], rows: int) -> RichTable:
    grid = RichTable(box=_RULED, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for column, width in block:
        header = "\n".join(_justified(line, width, column.align) for line in folded(column.header, width))
        style = _CURVE if column.curve else ""
        grid.add_column(Text(header), no_wrap=True, min_width=width, max_width=width, style=style)
    for row in range(rows):
        grid.add_row(*(Text(_cell(column, row, width)) for column, width in block))
    return grid


def _cell(column: _Shown, row: int, width: int) -> str:
    text = column.texts[row]
    lines = folded(text, width) if cell_len(text) > width else [text]
    return "\n".join(_justified(line, width, column.align) for line in lines)


def _justified(line: str, width: int, align: str) -> str:
    blanks = " " * (width - cell_len(line))
    return line + blanks if align == "left" else blanks + line


def _within(text: str, encoding: str) -> str:
    """Return a text in letters that an encoding has, before it is laid out: an escape is longer than its letter."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        plain = plain_blocks(text).replace("±", "+-")
        return plain.encode(encoding, "backslashreplace").decode(encoding)
    return text
