"""Topological distance of two masks (NNSTD): how different the inputs of units are once the units are matched."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masktools.errors import StructureError
from masktools.frames import ToFrame
from masktools.stacks import rows_in_common
from masktools.structure.alignment.assignment import best_assignment
from masktools.structure.alignment.colours import unit_colours
from masktools.structure.alignment.problem import Problem
from masktools.structure.alignment.units import Permutations, permute
from masktools.topology.graph import Topology

__all__ = ["LayerDistance", "Nnstd", "nnstd"]

_TIE = 1e-12
"""What colours are worth beside a distance of 1: they decide between equal sums of distances, and no others."""


@dataclasses.dataclass(frozen=True)
class LayerDistance:
    """Distance of two masks in one layer, or in all layers together.

    Parameters
    ----------
    name
        Name of the layer; ``total`` for all layers together.
    units
        Number of output units: features or channels.
    empty
        Pairs of units without active weights in either mask: they are left out of the mean.
    half_empty
        Pairs in which one unit has active weights and the other none: they count, with distance 1.
    distance
        Mean over the other pairs of the share of their inputs that only one of the two has; 0 for equal inputs, 1 for
        none in common. None if all pairs are empty.
    """

    name: str
    units: int
    empty: int
    half_empty: int
    distance: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class Nnstd(ToFrame):
    """Distance of two sets of masks.

    Parameters
    ----------
    layers
        One entry a layer, in network order.
    total
        All layers together: the mean over all their units that count.
    """

    layers: tuple[LayerDistance, ...]
    total: LayerDistance

    def to_dict(self) -> dict[str, Any]:
        """Return ``{"layers": [..], "total": {..}}``."""
        return {"layers": [layer.to_dict() for layer in self.layers], "total": self.total.to_dict()}


def nnstd(
    masks_a: Mapping[str, NDArray[np.bool_]], masks_b: Mapping[str, NDArray[np.bool_]], topology: Topology
) -> Nnstd:
    """Return the neural network sparse topology distance (NNSTD) of two sets of masks.

    From the inputs on, the units of a layer are matched so that the sum of their distances is smallest; two units are
    as far apart as the share |A xor B| / |A or B| of their inputs, counted tap by tap, where B's inputs have been
    matched with A's before. What the network is fed and what it returns keeps its order. The matching is greedy: later
    layers do not count in it, and in `masktools.structure.alignment.matching.align` they do.

    Units that must be permuted alike (by a sum, for example) are matched once, when the first of their layers is
    reached, by the inputs from all layers whose own inputs are matched by then.

    Parameters
    ----------
    masks_a, masks_b
        Boolean mask by layer name, axes in PyTorch's order; exactly the layers of the graph.
    topology
        The operator graph.

    Returns
    -------
    Nnstd
        Each layer in network order, and all together.

    Raises
    ------
    StructureError
        If masks and graph do not fit; the message names the layer.

    Notes
    -----
    Liu et al., Topological Insights into Sparse Neural Networks, arXiv 2006.14085. Here units that are empty in both
    masks are not taken for equal.

    Independent masks are nearer than 1, the more so the denser they are: compare with the distance to a shuffled mask.

    Units with the same inputs can be matched in several ways at no cost, and a wrong choice costs in the next layer.
    Of matchings with equal sums the one is taken that pairs units of most alike places in the network
    (`masktools.structure.alignment.colours`). The distance of a network to itself, its units in whatever order, is
    therefore 0 whenever any two units of a group with the same inputs and the same colour can change places without
    changing the masks. Very sparse networks, with many units without inputs, can break this rule, and then have a
    distance above 0.
    """
    for name, mask in (*masks_a.items(), *masks_b.items()):
        if mask.dtype != np.bool_:
            raise StructureError(f"layer {name}: a mask is boolean, got {mask.dtype}")
    problem = Problem(masks_a, masks_b, topology)
    matched = permute(masks_b, problem.groups, _match(problem))
    layers = [_layer(name, masks_a[name], matched[name]) for name in topology.layers]
    return Nnstd(tuple(layer for layer, _ in layers), _total(layers))


def _match(problem: Problem) -> Permutations:
    """Match the units group by group, in the order in which the network makes them."""
    colours = [unit_colours([pair[side] for pair in problem.layers], problem.groups) for side in (0, 1)]
    permutations: list[NDArray[np.intp]] = []
    for number, (one, two) in enumerate(zip(*colours, strict=True)):
        common = np.zeros((one.shape[1], two.shape[1]))
        active = common.copy()
        for a, b in problem.layers:
            # The first layer of a group has inputs that are matched already: its units are made from earlier ones.
            if a.out == number and (a.fed is None or a.fed < number):
                values = b.values if b.fed is None else b.values[:, :, permutations[b.fed]]
                rows, columns = (array.reshape(len(array), -1) for array in (a.values, values))
                common += rows_in_common(rows, columns)
                active += np.count_nonzero(rows, axis=1)[:, None] + np.count_nonzero(columns, axis=1)
        # Two units without inputs are no reason for anything; they end up together, because it costs least.
        distance = 1 - np.divide(common, active - common, out=np.ones_like(common), where=active > 0)
        alike = np.mean([first[:, None] == second for first, second in zip(one, two, strict=False)], axis=0)
        permutations.append(best_assignment(_TIE * alike - distance))
    return permutations


def _layer(name: str, a: NDArray[np.bool_], b: NDArray[np.bool_]) -> tuple[LayerDistance, float]:
    """Return the distance of a layer whose units are matched, and the sum over its units."""
    a, b = a.reshape(len(a), -1), b.reshape(len(b), -1)
    either, one = (a | b).sum(axis=1), (a ^ b).sum(axis=1)
    counts = either > 0
    total = math.fsum((one[counts] / either[counts]).tolist())
    half = int(np.count_nonzero(a.any(axis=1) != b.any(axis=1)))
    return _distance(name, len(a), len(a) - int(counts.sum()), half, total), total


def _total(layers: Sequence[tuple[LayerDistance, float]]) -> LayerDistance:
    units, empty, half = (sum(getattr(layer, key) for layer, _ in layers) for key in ("units", "empty", "half_empty"))
    return _distance("total", units, empty, half, math.fsum(total for _, total in layers))


def _distance(name: str, units: int, empty: int, half_empty: int, total: float) -> LayerDistance:
    counted = units - empty
    return LayerDistance(name, units, empty, half_empty, total / counted if counted else None)
