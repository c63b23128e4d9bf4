"""How many weights would be effective by chance: the null of effective density."""

import dataclasses
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from masktools.errors import StructureError
from masktools.structure.shuffle import layer_shuffle
from masktools.topology.graph import Topology
from masktools.topology.reach import effective_masks

__all__ = ["EffectiveNull", "effective_null"]


@dataclasses.dataclass(frozen=True)
class EffectiveNull:
    """Effective weights of random masks with as many active weights in each layer.

    Parameters
    ----------
    name
        Kind of random mask: ``layer-shuffle``.
    draws, seed
        Number of random masks, and the seed they follow from.
    effective_mean
        Mean number of effective weights.
    effective_low, effective_high
        Ends of the central 95 % of the draws (quantiles .025 and .975, linear between draws).
    """

    name: str
    draws: int
    seed: int
    effective_mean: float
    effective_low: float
    effective_high: float


def effective_null(
    topology: Topology, masks: Mapping[str, NDArray[np.bool_]], *, draws: int = 20, seed: int = 0
) -> EffectiveNull:
    """Count the effective weights of random masks with as many active weights in each layer.

    Parameters
    ----------
    topology, masks
        As for `connectivity_of`.
    draws
        Number of random masks, at least 1.
    seed
        Seed; the same seed gives the same masks.

    Raises
    ------
    StructureError
        If `draws` is not positive, or graph and masks do not fit.
    """
    if draws < 1:
        raise StructureError(f"a null needs at least one draw, not {draws}")
    rng = np.random.default_rng(seed)
    counts = []
    for _ in range(draws):
        shuffled = {name: layer_shuffle(masks[name], rng) for name in topology.layers}
        counts.append(sum(int(np.count_nonzero(mask)) for mask in effective_masks(topology, shuffled).values()))
    low, high = np.quantile(counts, [0.025, 0.975])
    return EffectiveNull("layer-shuffle", draws, seed, float(np.mean(counts)), float(low), float(high))
