"""Curves in one line of text, for tables with a row a curve."""

import itertools
import math
from collections.abc import Sequence

__all__ = ["BLOCKS", "UNDEFINED_MARK", "plain_blocks", "sparkline"]

BLOCKS = "▁▂▃▄▅▆▇█"
"""Characters by height, each an eighth of the scale."""

UNDEFINED_MARK = "·"
"""Where a curve has no value."""

_PLAIN = str.maketrans(BLOCKS + UNDEFINED_MARK, "_.-:=+*# ")
"""What takes their place where an encoding lacks them, by the ink of the characters."""

_WIDTH = 24
"""Characters that leave room for numbers within 80 columns."""


def sparkline(values: Sequence[float | None], low: float = 0.0, high: float = 1.0, width: int = _WIDTH) -> str:
    """Return a curve in one line.

    Parameters
    ----------
    values
        Values in order; None and NaN are not defined.
    low, high
        Ends of the scale: every eighth of it has a character. Values beyond are drawn at its ends. It is fixed, not
        taken from the values, so that curves below each other can be compared.
    width
        Largest number of characters. A longer curve is cut into as many pieces of equal length (up to one value), and
        each is drawn at the mean of what is defined in it.

    Raises
    ------
    ValueError
        If the scale is empty or the width not positive.

    Examples
    --------
    >>> sparkline([0, 0.2, 0.5, 0.9, None, 1])
    '▁▂▅█·█'
    >>> sparkline([3, 4, 5], low=3, high=5)
    '▁▅█'
    """
    if not low < high or width < 1:
        raise ValueError(f"no scale from {low} to {high} in {width} characters")
    count = min(width, len(values))
    ends = [len(values) * place // count for place in range(count + 1)] if count else []
    return "".join(_character(_mean(values[a:b]), low, high) for a, b in itertools.pairwise(ends))


def plain_blocks(text: str) -> str:
    """Return a text in which the characters of curves are ASCII, one for one.

    >>> plain_blocks("▁▅█")
    '_=#'
    """
    return text.translate(_PLAIN)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None and not math.isnan(value)]
    if not known:
        return None
    # Rounding may not carry a mean beyond what it is the mean of, or a constant would change its height.
    mean = math.fsum(value / len(known) for value in known)
    return min(max(mean, min(known)), max(known))


def _character(value: float | None, low: float, high: float) -> str:
    if value is None:
        return UNDEFINED_MARK
    place = math.floor(len(BLOCKS) * (min(max(value, low), high) - low) / (high - low))
    return BLOCKS[min(place, len(BLOCKS) - 1)]
