"""The output formats: one function each, one line each here."""

from collections.abc import Mapping
from typing import Protocol

from masktools.render.as_csv import as_csv
from masktools.render.as_json import as_json
from masktools.render.as_table import as_table
from masktools.render.document import Document

__all__ = ["FORMATS", "Format"]


class Format(Protocol):
    """A function from a document to text."""

    def __call__(self, document: Document, width: int = 80, styled: bool = False, encoding: str = "utf-8") -> str:
        """Return the document as text, at most `width` columns wide, with terminal styles if `styled`.

        Tables are in letters that `encoding` has; what is for programs is encoded as it may.
        """


FORMATS: Mapping[str, Format] = {
    "table": as_table,
    "json": as_json,
    "csv": as_csv,
}
"""Every format by the name that the command line knows it by."""
