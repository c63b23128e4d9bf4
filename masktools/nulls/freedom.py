"""What of a mask each null can change: decided by the mask alone, never by what was drawn."""

import math
from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from masktools.nulls.shuffles import Masks

__all__ = ["Moves", "across", "degree_moves", "each", "layer_moves", "neuron_moves", "tap_moves"]

Moves: TypeAlias = Callable[[Masks, Mapping[str, int]], frozenset[str]]
"""Which layers a null can change: from masks and the number of groups by layer, names of layers."""

# A layer that a null cannot change is no test. Whether it can must not be read off the draws: a layer of which most
# draws give the observed number has a large p because of how they fell, and to leave such layers out of a correction
# for many tests makes the p-values of those that remain too small.


def across(masks: Masks, _: Mapping[str, int]) -> frozenset[str]:
    """Return the layers that a shuffle of the whole network can change: all of them, or none.

    Parameters
    ----------
    masks
        Boolean masks, axes (out, in, kernel ...).
    """
    active = sum(int(np.count_nonzero(mask)) for mask in masks.values())
    if not 0 < active < sum(mask.size for mask in masks.values()):
        return frozenset()
    return frozenset(name for name, mask in masks.items() if mask.size)


def each(moves: Callable[[NDArray[np.bool_], int], bool]) -> Moves:
    """Return what tells the layers that a null can change, of a null that draws every layer by itself.

    Parameters
    ----------
    moves
        Whether it can change a mask of at least one weight; it is given the mask and its number of groups.
    """
    return lambda masks, groups: frozenset(
        name for name, mask in masks.items() if mask.size and moves(mask, groups.get(name, 1))
    )


def layer_moves(mask: NDArray[np.bool_], _: int = 1) -> bool:
    """Return whether there is another mask with as many active weights: not if all are active, or none."""
    return 0 < int(np.count_nonzero(mask)) < mask.size


def neuron_moves(mask: NDArray[np.bool_], _: int = 1) -> bool:
    """Return whether there is another mask with the same fan-ins: not if all of them are 0 or all there is."""
    return _partial(mask.reshape(len(mask), -1))


def tap_moves(mask: NDArray[np.bool_], _: int = 1) -> bool:
    """Return whether there is another mask with the same number of taps in every kernel."""
    return mask.ndim > 2 and _partial(mask.reshape(math.prod(mask.shape[:2]), -1))


def degree_moves(mask: NDArray[np.bool_], groups: int = 1) -> bool:
    """Return whether there is another mask with the same fan-ins and fan-outs.

    Parameters
    ----------
    mask
        Boolean mask, axes (out, in, kernel ...).
    groups
        Number of groups of a grouped convolution.

    Notes
    -----
    Another one exists if a kernel is neither empty nor full. Where all kernels are, it exists exactly if two outputs
    of a group each have an input that the other one has not: these two can be exchanged. If there is no such pair the
    sets of inputs contain one another, and nothing else has their counts (Ryser, 1957).
    """
    fed = mask.shape[1] if mask.ndim > 1 else 1
    kernels = mask.reshape(groups, len(mask) // groups, fed, -1)
    if _partial(kernels):
        return True
    joined = kernels[..., 0]
    largest_first = np.argsort(-joined.sum(axis=2), axis=1, kind="stable")
    nested = np.take_along_axis(joined, largest_first[:, :, None], axis=1)
    return bool((nested[:, 1:] & ~nested[:, :-1]).any())


def _partial(strata: NDArray[np.bool_]) -> bool:
    """Return whether any stratum along the last axis is neither empty nor full."""
    return bool((strata.any(axis=-1) & ~strata.all(axis=-1)).any())
