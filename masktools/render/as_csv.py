"""The main table of a document as CSV, for spreadsheets and data frames."""

import csv
import io

from masktools.render.document import Cell, Document, defined

__all__ = ["as_csv"]


def as_csv(document: Document, width: int = 80, styled: bool = False, encoding: str = "utf-8") -> str:  # noqa: ARG001
    """Return the records, or the first table: a header row, numbers in full, an empty field where one is not defined.

    Parameters
    ----------
    document
        What to write.
    width, styled, encoding
        Without effect; every format takes them.
    """
    table = document.rows_for_programs
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([column.name for column in table.columns])
    writer.writerows([_field(cell) for cell in row] for row in table.rows)
    return buffer.getvalue()


def _field(cell: Cell) -> str:
    cell = defined(cell)
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    return cell if isinstance(cell, str) else repr(cell)
