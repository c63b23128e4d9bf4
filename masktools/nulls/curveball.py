"""Masks that keep the fan-in of every output unit and the fan-out of every input unit."""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from masktools.nulls.choice import choose
from masktools.nulls.shuffles import Masks, tap_shuffle

__all__ = ["STEPS", "degree_shuffle", "trade"]

STEPS = 41
"""Steps of a walk: trades between outputs and trades between inputs by turns, outputs first and last."""


def degree_shuffle(
    masks: Masks, rng: np.random.Generator, groups: Mapping[str, int], steps: int = STEPS
) -> dict[str, NDArray[np.bool_]]:
    """Walk away from masks without changing any unit's number of active weights, on either side.

    Parameters
    ----------
    masks
        Boolean masks, axes (out, in, kernel ...); they are not changed.
    rng
        Source of randomness.
    groups
        Number of groups of grouped convolutions, by layer; 1 where nothing is said.
    steps
        Number of steps, odd.

    Notes
    -----
    A step of the global curveball algorithm (Strona et al., 2014; Carstens et al., 2018): the rows are paired at
    random, and each pair shuffles among the two what only one of them has. Rows are output units by turns, and input
    units: a hub has little to trade with a unit of few weights, but the units at its other side have much to trade
    about it, so that skewed degrees mix several times faster. Of a convolution a row is a channel's (channel at the
    other side, tap) places; that alone would keep the counts of every tap, so the taps of each kernel are shuffled
    before, between and after the steps. Each step has the uniform law on all masks with these degrees as its stationary
    law and is its own reverse, together the steps reach all of them, and the walk reads the same backwards.
    """
    return {name: _walk(mask, rng, groups.get(name, 1), steps) for name, mask in masks.items()}


def _walk(mask: NDArray[np.bool_], rng: np.random.Generator, groups: int, steps: int) -> NDArray[np.bool_]:
    out, fed = mask.shape[0], mask.shape[1] if mask.ndim > 1 else 1
    taps = math.prod(mask.shape[2:])
    current = mask.reshape(groups, out // groups, fed, taps).copy()
    for step in range(steps if mask.size else 0):
        current = _shuffled_taps(current, rng)
        if step % 2:
            current = current.transpose(0, 2, 1, 3)
        rows = current.reshape(groups * current.shape[1], -1)
        current = trade(rows, rng, groups).reshape(current.shape)
        if step % 2:
            current = current.transpose(0, 2, 1, 3)
    return _shuffled_taps(current, rng).reshape(mask.shape)


def _shuffled_taps(mask: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.bool_]:
    if mask.shape[3] == 1:
        return mask
    return tap_shuffle({"": mask.reshape(-1, 1, mask.shape[3])}, rng)[""].reshape(mask.shape)


def trade(rows: NDArray[np.bool_], rng: np.random.Generator, groups: int = 1) -> NDArray[np.bool_]:
    """Let each row trade with another one what only one of the two has.

    Parameters
    ----------
    rows
        Boolean, shape (rows, places); it is not changed.
    rng
        Source of randomness.
    groups
        Number of equal groups of rows; the places of different groups have nothing to do with each other.

    Returns
    -------
    ndarray
        Same sums of all rows, and within a group of all columns.
    """
    order = rng.permuted(np.arange(len(rows)).reshape(groups, -1), axis=1)
    couples = order.shape[1] // 2
    first, second = order[:, :couples].reshape(-1), order[:, couples : 2 * couples].reshape(-1)
    a, b = rows[first], rows[second]
    apart = a ^ b
    taken = choose(np.count_nonzero(apart & a, axis=1), np.count_nonzero(apart, axis=1), rng)
    common = a & b
    a, b = common.copy(), common
    a[apart], b[apart] = taken, ~taken
    result = rows.copy()
    result[first], result[second] = a, b
    return result
