"""Degrees: how many active weights each unit of a layer has, and how far two masks differ in that."""

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masktools.errors import StructureError

__all__ = ["DegreeDifference", "degree_difference", "degrees"]

_ROWS = 255
"""Rows of bits that can be added up in a byte."""


@dataclasses.dataclass(frozen=True)
class DegreeDifference:
    """How far the degrees of two masks of a layer differ.

    Two masks may have the same distribution of degrees with hubs at different units: distances compare the
    distributions, whatever unit has which degree; correlations compare unit by unit.

    Parameters
    ----------
    name
        Name of the layer.
    fan_in_distance, fan_out_distance
        Mean difference in active weights between the units of either mask when both are sorted by degree: the
        Wasserstein-1 distance of the two distributions. None for a layer without units.
    fan_in_correlation, fan_out_correlation
        Pearson correlation over units; None where all units of a mask have the same degree.
    """

    name: str
    fan_in_distance: float | None
    fan_out_distance: float | None
    fan_in_correlation: float | None
    fan_out_correlation: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name."""
        return dataclasses.asdict(self)


def degrees(mask: NDArray[np.bool_], groups: int = 1) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the fan-out of each input unit and the fan-in of each output unit.

    Parameters
    ----------
    mask
        Boolean, axes (out, in per group, kernel ...). Every kernel tap counts.
    groups
        Number of groups of a convolution: input unit c of group g is column c of the rows of that group.

    Returns
    -------
    tuple of ndarray
        Active weights of each input unit, shape (inputs,), and of each output unit, shape (outputs,).

    Raises
    ------
    StructureError
        If there are fewer than two axes, or the outputs do not split into the groups.

    Examples
    --------
    >>> fan_out, fan_in = degrees(np.array([[True, True, False], [True, False, False]]))
    >>> fan_out.tolist(), fan_in.tolist()
    ([2, 1, 0], [2, 1])
    """
    if len(mask.shape) < 2:
        raise StructureError(f"a mask of shape {mask.shape} has no input and output units")
    outputs, inputs, *taps = mask.shape
    if groups < 1 or outputs % groups:
        raise StructureError(f"{outputs} outputs do not split into {groups} groups")
    bits = mask.reshape(groups, outputs // groups, inputs * math.prod(taps)).view(np.uint8)
    columns = np.zeros((groups, bits.shape[2]), dtype=np.int64)
    # A byte holds the sum of 255 bits, and adding bytes is many times faster than adding long integers.
    for start in range(0, bits.shape[1], _ROWS):
        columns += np.add.reduce(bits[:, start : start + _ROWS], axis=1, dtype=np.uint8)
    fan_in = np.asarray(np.count_nonzero(bits.view(np.bool_), axis=2)).reshape(outputs)
    return columns.reshape(groups * inputs, math.prod(taps)).sum(axis=1), fan_in


def degree_difference(
    name: str, mask_a: NDArray[np.bool_], mask_b: NDArray[np.bool_], groups: int = 1
) -> DegreeDifference:
    """Return how far the degrees of two masks of the same shape differ.

    Parameters
    ----------
    name
        Name of the layer.
    mask_a, mask_b
        Boolean, axes (out, in per group, kernel ...), at least two axes.
    groups
        Number of groups of a grouped convolution.

    Raises
    ------
    StructureError
        If the shapes differ.
    """
    if mask_a.shape != mask_b.shape:
        raise StructureError(f"layer {name!r} has shape {mask_a.shape} in A but {mask_b.shape} in B")
    outward, inward = zip(degrees(mask_a, groups), degrees(mask_b, groups), strict=True)
    return DegreeDifference(
        name, _distance(*inward), _distance(*outward), _correlation(*inward), _correlation(*outward)
    )


def _distance(a: NDArray[np.int64], b: NDArray[np.int64]) -> float | None:
    return float(np.abs(np.sort(a) - np.sort(b)).mean()) if a.size else None


def _correlation(a: NDArray[np.int64], b: NDArray[np.int64]) -> float | None:
    if not a.size or a.min() == a.max() or b.min() == b.max():
        return None
    x, y = a - a.mean(), b - b.mean()
    return float(np.clip((x @ y) / math.sqrt((x @ x) * (y @ y)), -1, 1))
