"""How single values are written for people."""

import math

from masktools.render.document import Cell, Kind

__all__ = ["count", "percent", "printable", "rate", "show"]

UNDEFINED = "-"


def show(value: Cell, kind: Kind) -> str:
    """Return a cell's text: ``-`` where a value is not defined, ``yes`` or ``no`` for a flag."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return UNDEFINED
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return printable(value)
    if kind == "text":
        return str(value)
    return count(value) if kind == "count" or isinstance(value, int) else rate(value)


def count(value: float | None) -> str:
    """Return a whole number with separators for thousands.

    >>> count(2359296)
    '2,359,296'
    """
    return UNDEFINED if value is None else f"{value:,.0f}"


def rate(value: float | None) -> str:
    """Return a number with three significant digits.

    >>> [rate(x) for x in (0, 1.0, 0.05263, 41.26, 12345.6, 0.0000123)]
    ['0', '1.00', '0.0526', '41.3', '12,346', '1.2e-05']
    """
    if value is None or math.isnan(value):
        return UNDEFINED
    if value == 0:
        return "0"
    if math.isinf(value) or abs(value) < 1e-4:
        return f"{value:.1e}"
    return f"{value:,.0f}" if abs(value) >= 999.5 else f"{value:#.3g}".rstrip(".")


def percent(value: float | None) -> str:
    """Return a share in per cent.

    >>> [percent(x) for x in (0.5, -0.012, 1.0, 0.0004, None)]
    ['50 %', '-1.2 %', '100 %', '0.04 %', '-']
    """
    if value is None or math.isnan(value):
        return UNDEFINED
    return f"{100 * value:.0f} %" if abs(value) >= 0.095 or value == 0 else f"{100 * value:.2g} %"


def printable(text: str) -> str:
    r"""Return `text` with everything a terminal could obey, or that breaks a line, written as an escape.

    Names come from files, and files from anywhere.

    >>> printable("fc\x1b[2J")
    'fc\\x1b[2J'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)
