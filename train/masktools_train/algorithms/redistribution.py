"""How many of all new weights each layer gets."""

import math
from collections.abc import Sequence

__all__ = ["redistributed"]

_LARGEST_SHARE = 0.99
_ROUNDS = 1000
_NOTHING = 1e-9


def redistributed(total: int, worth: Sequence[float], free: Sequence[int]) -> list[int]:
    """Share `total` new weights out in proportion to `worth`.

    A layer takes at most .99 of its free places; what is beyond is spread evenly over all layers, again
    and again until nothing is. Shares are then rounded so that they add up to the total exactly: down first,
    and what is missing goes one by one to the layers of largest remainder (the earlier one where these tie).
    Where .99 of all free places are too few, the rest goes round in the same order.

    Parameters
    ----------
    total
        Number of new weights, at most the sum of `free`.
    worth
        For each layer a number of at least 0; all equal where all are 0.
    free
        Number of weights of each layer that can be grown.

    Returns
    -------
    list of int
        One number a layer.

    Examples
    --------
    >>> redistributed(100, [3.0, 1.0], [200, 200])
    [75, 25]
    >>> redistributed(100, [3.0, 1.0], [50, 200])
    [49, 51]
    """
    whole = math.fsum(worth)
    usable = whole > 0 and math.isfinite(whole)
    caps = [_LARGEST_SHARE * places for places in free]
    shares = [total * (value / whole if usable else 1 / len(worth)) for value in worth]
    for _ in range(_ROUNDS):
        beyond = math.fsum(max(0.0, share - cap) for share, cap in zip(shares, caps, strict=True))
        if beyond < _NOTHING:
            break
        shares = [min(share, cap) + beyond / len(shares) for share, cap in zip(shares, caps, strict=True)]
    shares = [min(share, cap) for share, cap in zip(shares, caps, strict=True)]
    # A share within rounding error of a whole number is that number.
    counts = [math.floor(share + _NOTHING) for share in shares]
    order = sorted(range(len(counts)), key=lambda place: (counts[place] - shares[place], place))
    for limit in ([math.floor(cap) for cap in caps], list(free)):
        while sum(counts) < total and any(count < most for count, most in zip(counts, limit, strict=True)):
            for place in order:
                if sum(counts) < total and counts[place] < limit[place]:
                    counts[place] += 1
    return counts
