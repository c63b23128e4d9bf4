"""Values for drawn masks: the weights move along with the places that a null moves."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masktools.nulls.ladder import Null
from masktools.nulls.shuffles import Masks

__all__ = ["carried"]


def carried(
    weights: Mapping[str, NDArray[Any]], masks: Masks, drawn: Masks, null: Null, rng: np.random.Generator
) -> dict[str, NDArray[Any]]:
    """Give the active weights of drawn masks the values of those that they were drawn from, in random order.

    The values stay within what the null keeps: within the network, the layer, the output unit or the kernel.

    Parameters
    ----------
    weights
        Values by layer, of the masks' shapes; those of inactive weights are not looked at.
    masks, drawn
        The masks that the weights belong to, and those drawn from them.
    null
        What they were drawn from.
    rng
        Source of randomness.

    Returns
    -------
    dict
        New arrays, 0 where a drawn mask is inactive.
    """
    if not masks:
        return {}
    values = {name: weights[name][mask] for name, mask in masks.items()}
    if null.within == "network":
        pool = rng.permutation(np.concatenate(list(values.values())))
        counts = [int(np.count_nonzero(drawn[name])) for name in masks]
        values = dict(zip(masks, np.split(pool, np.cumsum(counts)[:-1]), strict=True))
    else:
        values = {name: values[name][_order(mask, null, rng)] for name, mask in masks.items()}
    moved = {}
    for name, mask in drawn.items():
        moved[name] = np.zeros(mask.shape, dtype=weights[name].dtype)
        moved[name][mask] = values[name]
    return moved


def _order(mask: NDArray[np.bool_], null: Null, rng: np.random.Generator) -> NDArray[np.intp]:
    """Return a random order of the active weights, listed in C order, that stays within the strata."""
    axes = {"layer": 0, "unit": 1, "kernel": 2}[null.within]
    strata = int(np.prod(mask.shape[:axes]))
    stratum = np.repeat(np.arange(strata), np.count_nonzero(mask.reshape(strata, -1), axis=1))
    return np.lexsort((rng.random(len(stratum)), stratum))
