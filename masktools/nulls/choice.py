"""Uniform choice of places within strata, all strata at once."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["choose"]


def choose(counts: NDArray[np.integer], sizes: NDArray[np.integer], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Choose a given number of places in each of many strata, every such choice equally likely.

    Parameters
    ----------
    counts
        How many places to choose in each stratum, at most its size; shape (strata,).
    sizes
        Number of places of each stratum; shape (strata,).
    rng
        Source of randomness.

    Returns
    -------
    ndarray
        Boolean, one stratum after the other, shape (sum of sizes,).

    Notes
    -----
    All choices that are still to be made draw a place at once; who finds it taken draws again. Nothing in this depends
    on where a place lies within its stratum, so the law of the result is the same for every order of the places, and a
    law on sets of a given size that is the same for every order is uniform. It costs time in proportion to the places
    that are chosen, or left out where those are fewer.
    """
    out = 2 * counts > sizes
    wanted = np.where(out, sizes - counts, counts)
    total = int(sizes.sum())
    kind = np.int32 if max(total, int(wanted.sum()) + 1) < 2**31 else np.int64
    starts = np.repeat((np.cumsum(sizes) - sizes).astype(kind), wanted)
    extents = np.repeat(sizes.astype(kind), wanted)
    mine = np.arange(1, starts.size + 1, dtype=kind)
    owner = np.zeros(total, dtype=kind)
    # The same bound for all is drawn three times as fast as a bound for each.
    equal = sizes.size > 0 and int(sizes.min()) == int(sizes.max())
    while starts.size:
        place = starts + rng.integers(0, int(sizes[0]) if equal else extents, starts.size, dtype=kind)
        free = np.flatnonzero(owner[place] == 0)
        owner[place[free]] = mine[free]  # of several that meet here, the last one stays
        without = np.flatnonzero(owner[place] != mine)
        starts, extents, mine = starts[without], extents[without], mine[without]
    chosen = np.asarray(owner, dtype=np.bool_)
    return chosen ^ np.repeat(out, sizes) if out.any() else chosen
