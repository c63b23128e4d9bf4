"""Colours of hidden units: equal for units whose place in the network is the same, whatever order they are in."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from masktools.structure.alignment.units import UnitLayer
from masktools.topology.permutation_groups import PermutationGroup

__all__ = ["unit_colours"]

_STEP = 0x9E3779B97F4A7C15
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def unit_colours(layers: Sequence[UnitLayer], groups: Sequence[PermutationGroup]) -> list[NDArray[np.uint64]]:
    """Colour the hidden units by what is joined to them, by what is joined to that in turn, and so on.

    Parameters
    ----------
    layers
        Masks unit by unit (`masktools.structure.alignment.units.unfold`).
    groups
        The permutation groups.

    Returns
    -------
    list of ndarray
        For each group the colours of its units after each round, shape (rounds, size). If the hidden units are put in
        another order the colours are the same, in that order. If a mask differs somewhere, colours differ after the
        first round only where it does, after the second also one layer further, and so on.

    Notes
    -----
    Colour refinement (Weisfeiler and Leman, 1968). At first the units of a group are all alike, and those whose order
    is fixed all different. A round gives each unit a hash of its colour and of the colours that it is joined to, with
    layer, direction and tap; a sum of hashes modulo 2**64 does not depend on their order. The last round is the one
    that tells no more units apart. Different places can have equal colours, equal places never have different ones.
    """
    colours = [_scrambled(np.full(group.size, number, dtype=np.uint64)) for number, group in enumerate(groups)]
    ends = []
    for number, layer in enumerate(layers):
        target, part, source = np.nonzero(layer.values)
        rows, parts, columns = layer.values.shape
        for direction, (near, group, far, other, extent) in enumerate(
            ((target, layer.out, source, layer.fed, columns), (source, layer.fed, target, layer.out, rows))
        ):
            if group is not None:
                kinds = _scrambled(np.arange(parts, dtype=np.uint64) + _nth(2 * number + direction))
                ends.append((group, near, other, far, kinds[part], _scrambled(np.arange(extent, dtype=np.uint64))))
    told_apart = -1
    rounds: list[list[NDArray[np.uint64]]] = []
    while True:
        sums = [_scrambled(colour) for colour in colours]
        for group, near, other, far, kinds, places in ends:
            seen = places if other is None else colours[other]
            np.add.at(sums[group], near, _scrambled(seen[far] ^ kinds))
        colours = [_scrambled(total) for total in sums]
        found = sum(len(np.unique(colour)) for colour in colours)
        if found == told_apart:
            return [np.stack(history) for history in zip(*rounds, strict=True)]
        told_apart = found
        rounds.append(colours)


def _nth(number: int) -> NDArray[np.uint64]:
    # An array, since numpy warns of scalars that wrap around.
    return np.array([number * _STEP % 2**64], dtype=np.uint64)


def _scrambled(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Map numbers one to one to numbers without order (the finaliser of SplitMix64; Steele, Lea and Flood, 2014)."""
    values = values + np.uint64(_STEP)
    values = (values ^ (values >> np.uint64(30))) * _FIRST
    values = (values ^ (values >> np.uint64(27))) * _SECOND
    return values ^ (values >> np.uint64(31))
