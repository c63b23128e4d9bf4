"""Documents as JSON, for programs."""

import json
import math
import os
from collections.abc import Mapping
from typing import Any

from masktools.render.document import Document

__all__ = ["SCHEMA_VERSION", "as_json", "plain"]

SCHEMA_VERSION = 1
"""Grows when a key changes its meaning or goes away; new keys do not count."""


def as_json(document: Document, width: int = 80, styled: bool = False, encoding: str = "utf-8") -> str:  # noqa: ARG001
    """Return a document as one JSON object.

    ``schema_version`` and ``command`` come first, then the data, then what the tables say in words. What
    is not a finite number becomes null, because JSON knows no other.

    Parameters
    ----------
    document
        What to write.
    width, styled, encoding
        Without effect; every format takes them.
    """
    body = {
        "schema_version": SCHEMA_VERSION,
        "command": document.command,
        **document.data,
        "readings": [table.reading for table in document.tables],
        "notes": list(document.notes),
    }
    return json.dumps(plain(body), indent=2, allow_nan=False) + "\n"


def plain(value: Any) -> Any:
    """Return `value` made of what JSON knows; arrays become lists, NaN and infinity None.

    Raises
    ------
    TypeError
        If it holds anything else.
    """
    if isinstance(value, bool | str | int) or value is None:
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "tolist"):  # numpy's scalars and arrays, without loading numpy
        return plain(value.tolist())
    raise TypeError(f"{type(value).__name__} has no place in JSON")
