"""HTML of tables and sections; whatever comes from a file is escaped here."""

import dataclasses
import html

from masktools.render.document import Cell, Column, Table
from masktools.render.numbers import printable, show

__all__ = ["Section", "beside_table", "clean", "details", "html_table", "missing", "paragraph", "part", "section_html"]


@dataclasses.dataclass(frozen=True)
class Section:
    """A section of the page.

    Parameters
    ----------
    key
        Its id, by which the page can be pointed to.
    title
        Its heading, as text.
    body
        Its content, as HTML.
    """

    key: str
    title: str
    body: str


def clean(text: str) -> str:
    """Return text for HTML, with escapes for what would be markup, and for what cannot be printed.

    No line ends between a number and its per cent sign.

    Examples
    --------
    >>> clean("<b>")
    '&lt;b&gt;'
    """
    return html.escape(printable(text)).replace(" %", "\N{NO-BREAK SPACE}%")


def paragraph(*sentences: str) -> str:
    """Return sentences as a paragraph; they are text."""
    return f"<p>{clean(' '.join(sentence for sentence in sentences if sentence))}</p>"


def missing(sentence: str) -> str:
    """Return why something is not shown."""
    return f'<p class="missing"><strong>Not shown:</strong> {clean(sentence.rstrip("."))}.</p>'


def part(title: str, *content: str) -> str:
    """Return a part of a section below a heading of its own."""
    return f"<h3>{clean(title)}</h3>{''.join(content)}"


def details(summary: str, content: str) -> str:
    """Return content that is folded away until it is asked for; it is printed all the same."""
    return f"<details><summary>{clean(summary)}</summary>{content}</details>"


def html_table(table: Table) -> str:
    """Return a table with its title as caption and its reading below; the first column names the rows.

    Parameters
    ----------
    table
        The table; columns that are not shown to people are left out.
    """
    places = [place for place, column in enumerate(table.columns) if column.shown]
    head = "".join(
        f'<th scope="col"{_kind(table.columns[place])}>{clean(table.columns[place].header)}</th>' for place in places
    )
    rows = "".join(
        f"<tr>{''.join(_cell(row[p], table.columns[p], p == places[0]) for p in places)}</tr>" for row in table.rows
    )
    # A wide table scrolls by itself, which takes a keyboard only if it can be focused.
    return (
        f'<div class="table"><div class="scroll" tabindex="0" role="group" aria-label="{clean(table.title)}">'
        f"<table><caption><span>{clean(table.title)}</span></caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
        f"{paragraph(table.reading) if table.reading else ''}</div>"
    )


def beside_table(drawn: str, table: str) -> str:
    """Return a picture and its table, side by side where there is room for both."""
    return f'<div class="pair">{drawn}{table}</div>'


def section_html(section: Section) -> str:
    """Return a section with its heading, as a landmark."""
    heading = f"{section.key}-title"
    return (
        f'<section id="{section.key}" aria-labelledby="{heading}"><h2 id="{heading}">{clean(section.title)}</h2>'
        f"{section.body}</section>"
    )


def _kind(column: Column) -> str:
    return ' class="n"' if column.align == "right" else ""


def _cell(cell: Cell, column: Column, first: bool) -> str:
    text = html.escape(show(cell, column.kind))
    return f'<th scope="row">{text}</th>' if first else f"<td{_kind(column)}>{text}</td>"
