"""Texts in columns of a given width: lines that end where a name has a joint, never within a word if that can be."""

import re
from collections.abc import Iterator, Sequence

from rich.cells import cell_len, chop_cells

__all__ = ["folded", "least_width", "widths_within"]

# Not before a per cent sign, around an equals sign, or within an interval in brackets.
_PHRASES = re.compile(r"(?<=\s)(?<!=\s)(?=[^\s%=])(?!-?[\d.,e+-]+\])")
_BLANKS = re.compile(r"(?<=\s)(?=\S)")
_JOINTS = re.compile(r"(?<=[/\\_\-,])(?=[^/\\_\-,])|(?<=\.)(?=[^\d.])|(?<=[^\d.]\.)(?=\d)")
"""Between the words of a name: after what joins them, but not within a number such as 0.01."""


def folded(text: str, width: int) -> list[str]:
    """Return the lines of a text that is folded at blanks, and within what is longer than a line at its joints.

    Parameters
    ----------
    text
        One line. A word without joints that is wider than a line is cut.
    width
        Columns of a line.

    Examples
    --------
    >>> folded("features.denseblock3.denselayer12.conv2.weight", 24)
    ['features.denseblock3.', 'denselayer12.conv2.', 'weight']
    >>> folded("weight_decay=0.0001, lr=0.1", 20)
    ['weight_decay=0.0001,', 'lr=0.1']
    """
    lines = [""]
    for part in _parts(text, width):
        if cell_len((lines[-1] + part).rstrip()) <= width:
            lines[-1] += part
        else:
            lines += [part] if cell_len(part.rstrip()) <= width else chop_cells(part, width)
    return [line.rstrip() for line in lines if line] or [""]


def least_width(text: str, most: int) -> int:
    """Return the width of the longest part of a text that has no blank or joint, but not more than `most`."""
    return min(most, max(cell_len(part.rstrip()) for word in _BLANKS.split(text) for part in _JOINTS.split(word)))


def _parts(text: str, width: int) -> Iterator[str]:
    """Return a text in parts that fit a line, split no further than that takes."""
    for phrase in _PHRASES.split(text):
        if cell_len(phrase.rstrip()) <= width:
            yield phrase
            continue
        for word in _BLANKS.split(phrase):
            yield from [word] if cell_len(word.rstrip()) <= width else _JOINTS.split(word)


def widths_within(natural: Sequence[int], least: Sequence[int], room: int) -> list[int] | None:
    """Return widths that fit together: the widest columns give way first; None if the least ones do not fit.

    Parameters
    ----------
    natural, least
        The width that each column takes, and to which it can be folded.
    room
        Columns there are.

    Examples
    --------
    >>> widths_within([40, 20, 8], [10, 6, 8], 50)
    [22, 20, 8]
    """
    if sum(least) > room:
        return None
    widths = list(natural)
    while (over := sum(widths) - room) > 0:
        wide = max(width for width, small in zip(widths, least, strict=True) if width > small)
        place = next(i for i, (width, small) in enumerate(zip(widths, least, strict=True)) if width == wide > small)
        second = max((w for i, w in enumerate(widths) if i != place and w > least[i]), default=0)
        widths[place] = max(least[place], wide - over, min(second, wide - 1))
    return widths
