"""How single values are written for people."""

import math

from masktools.render.document import Cell, Kind

__all__ = [
    "count",
    "interval_texts",
    "magnitude",
    "p_cell",
    "p_words",
    "percent",
    "printable",
    "rate",
    "show",
    "with_half_width",
    "with_interval",
]

UNDEFINED = "-"


def show(value: Cell, kind: Kind) -> str:
    """Return a cell's text: ``-`` where a value is not defined, ``yes`` or ``no`` for a flag."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return UNDEFINED
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return printable(value)
    if kind in ("text", "curve"):
        return str(value)
    return count(value) if kind == "count" or isinstance(value, int) else rate(value)


def count(value: float | None) -> str:
    """Return a whole number with separators for thousands; a mean of counts is rounded, but never to 0.

    >>> count(2359296), count(12.3), count(0.25)
    ('2,359,296', '12', '0.250')
    """
    if value is None:
        return UNDEFINED
    return rate(value) if 0 < abs(value) <= 0.5 else f"{value:,.0f}"


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


def with_interval(mean: float | None, low: float | None, high: float | None) -> str:
    """Return a mean and the ends of its interval, with two significant digits of half its width.

    Without an interval, and where it has no width worth telling, numbers have three significant digits.

    >>> with_interval(0.88213, 0.87985, 0.88441), with_interval(14.2, 11.8, 16.6), with_interval(0.88213, None, None)
    ('0.8821 [0.8799, 0.8844]', '14.2 [11.8, 16.6]', '0.882')
    """
    if mean is None or low is None or high is None:
        return rate(mean)
    number, *ends = interval_texts(mean, low, high)
    return f"{number} [{', '.join(ends)}]"


def interval_texts(mean: float | None, low: float, high: float) -> tuple[str, str, str]:
    """Return a mean and the ends of its interval with the same decimals: two significant digits of half its width.

    An end that they would make 0, of an interval that leaves 0 out, has digits of its own.

    >>> interval_texts(0.00092, -0.00896, 0.0087), interval_texts(0.01, 0.00004, 0.02)
    (('0.0009', '-0.0090', '0.0087'), ('0.010', '4.0e-05', '0.020'))
    """
    decimals = _decimals((high - low) / 2)
    if mean is None or decimals is None:
        return rate(mean), rate(low), rate(high)
    ends = [rate(end) if low * high > 0 and round(end, decimals) == 0 else _fixed(end, decimals) for end in (low, high)]
    return _fixed(mean, decimals), ends[0], ends[1]


def _fixed(value: float, decimals: int) -> str:
    return f"{value:z,.{decimals}f}"


def with_half_width(mean: float | None, high: float | None) -> str:
    """Return a mean and half the width of its interval, with two significant digits of that.

    >>> with_half_width(0.88213, 0.88441), with_half_width(0.88213, None)
    ('0.8821 ±0.0023', '0.882')
    """
    if mean is None or high is None:
        return rate(mean)
    decimals = _decimals(high - mean)
    return (
        f"{rate(mean)} ±{rate(high - mean)}"
        if decimals is None
        else (f"{mean:z,.{decimals}f} ±{high - mean:z,.{decimals}f}")
    )


def _decimals(half: float) -> int | None:
    """Return decimals that show two significant digits of half a width; None where it has no width worth telling."""
    if not math.isfinite(half) or half <= 0:
        return None
    # Half the width is rounded before its size is taken, or .0996 would have three digits.
    decimals = max(0, 1 - int(f"{half:.1e}".partition("e")[2]))
    return None if decimals > _MOST_DECIMALS else decimals


_MOST_DECIMALS = 12
"""A narrower interval is rounding."""


def p_cell(value: float | None) -> Cell:
    """Return a p-value for a table: a bound in the place of what is too small for a float, and never 0.

    >>> p_cell(0.25), p_cell(0.0), p_cell(2.3e-308)
    (0.25, '<1e-300', '<1e-300')
    """
    return f"<{_LEAST_P:.0e}" if value is not None and value < _LEAST_P else value


def p_words(value: float | None) -> str:
    """Return what a sentence says of a p-value.

    >>> p_words(0.0169), p_words(2.3e-308), p_words(None)
    ('p = 0.0169', 'p < 1e-300', 'p = -')
    """
    cell = p_cell(value)
    return f"p {cell[0]} {cell[1:]}" if isinstance(cell, str) else f"p = {rate(value)}"


_LEAST_P = 1e-300
"""A smaller p-value is a matter of what floats can hold."""


def magnitude(value: float | None, unit: str) -> str:
    """Return a number that may be very large with three significant digits, and its unit with a prefix.

    >>> [magnitude(x, "FLOPs") for x in (0, 640, 999_600, 8_178_368_512, 3.2e18)]
    ['0 FLOPs', '640 FLOPs', '1.00 MFLOPs', '8.18 GFLOPs', '3.20 EFLOPs']
    """
    if value is None or math.isnan(value):
        return UNDEFINED
    # Rounded before a prefix is chosen, or .9996 of the next one would have four digits.
    power = min(max(int(f"{value:.2e}".partition("e")[2]) // 3, 0), len(_PREFIXES) - 1)
    return f"{rate(value / 1000**power)} {_PREFIXES[power]}{unit}"


_PREFIXES = ("", "k", "M", "G", "T", "P", "E", "Z", "Y")


def percent(value: float | None) -> str:
    """Return a share in per cent.

    >>> [percent(x) for x in (0.5, -0.012, 1.0, 0.9996, 0.0004, None)]
    ['50 %', '-1.2 %', '100 %', '99.96 %', '0.04 %', '-']
    """
    if value is None or math.isnan(value):
        return UNDEFINED
    if 0.995 <= abs(value) < 1:
        # All but something is not all.
        nearly = next((text for digits in range(1, 7) if abs(float(text := f"{100 * value:.{digits}f}")) < 100), "100")
        return f"{nearly} %"
    return f"{100 * value:.0f} %" if abs(value) >= 0.095 or value == 0 else f"{100 * value:.2g} %"


def printable(text: str) -> str:
    r"""Return `text` with everything a terminal could obey, or that breaks a line, written as an escape.

    Names come from files, and files from anywhere.

    >>> printable("fc\x1b[2J")
    'fc\\x1b[2J'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)
