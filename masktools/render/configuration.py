"""Configurations as tables: a row a part of it, or a row a key."""

from collections.abc import Mapping
from typing import Any

from masktools.render.document import Column, Table

__all__ = ["parts_table", "values_table"]

_EMPTY = ("None", "[]", "{}", "")
"""Values of what is not in use."""


def parts_table(title: str, facts: Mapping[str, Any], reading: str, empty: bool = True) -> Table:
    """Return a row a part of a configuration, with its keys and values one after another.

    Parameters
    ----------
    title
        Line above the table.
    facts
        Values by dotted key (`masktools.structure.configuration.flatten`).
    reading
        Sentence below it; how many keys were left out is added.
    empty
        Whether to show keys whose value is none, or an empty list or table.
    """
    parts: dict[str, list[str]] = {}
    left_out = 0
    for key, value in facts.items():
        if not empty and str(value) in _EMPTY:
            left_out += 1
            continue
        head, _, tail = key.partition(".")
        if head == _RUN and "." in tail:  # versions and the like are parts of their own
            head, tail = f"{head}.{tail.rpartition('.')[0]}", tail.rpartition(".")[2]
        parts.setdefault(head if tail else "", []).append(f"{tail or head}={value}")
    rest = f" {left_out} keys without a value are left out." if left_out else ""
    columns = (Column("part", "", whole=True), Column("settings"))
    rows = tuple(
        (part, ", ".join(settings)) for part, settings in sorted(parts.items(), key=lambda entry: entry[0] != "")
    )
    return Table(title, columns, rows, reading + rest)


def values_table(title: str, facts: Mapping[str, Any], reading: str) -> Table:
    """Return a row a key; parameters as of `parts_table`."""
    rows = tuple((key, str(value)) for key, value in facts.items())
    return Table(title, (Column("key"), Column("value")), rows, reading)


_RUN = "run"
