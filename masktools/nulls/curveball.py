"""Masks that keep the fan-in of every output unit and the fan-out of every input unit."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from masktools.nulls.choice import choose
from masktools.nulls.shuffles import Masks, tap_shuffle

__all__ = ["ROUNDS", "degree_shuffle", "trade"]

ROUNDS = 20
"""Rounds of trades of a draw; in each, every row trades with another one."""


def degree_shuffle(
    masks: Masks, rng: np.random.Generator, groups: Mapping[str, int], rounds: int = ROUNDS
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
    rounds
        Number of rounds.

    Notes
    -----
    A round of the global curveball algorithm (Strona et al., 2014; Carstens et al., 2018): the rows are paired at
    random, and each pair shuffles among the two what only one of them has. Of a convolution a row is an output
    channel's (input channel, tap) places; that alone would keep the counts of every tap, so the taps of each
    kernel are shuffled between the rounds. Each step has the uniform law on all masks with these
    degrees as its stationary law and is its own reverse, and together the steps reach all of them.
    """
    drawn = {}
    for name, mask in masks.items():
        current = mask
        for _ in range(rounds):
            if current.ndim > 2:
                current = tap_shuffle({name: current}, rng)[name]
            rows = current.reshape(len(mask), mask.size // max(1, len(mask)))
            current = trade(rows, rng, groups.get(name, 1)).reshape(mask.shape)
        if current.ndim > 2:  # also last: read backwards a walk must be as likely as forwards
            current = tap_shuffle({name: current}, rng)[name]
        drawn[name] = current
    return drawn


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
