"""Neural persistence of a layer: at which weights its units join when edges come in from the largest weight down."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray
from scipy.sparse.csgraph import minimum_spanning_tree

from masktools.errors import StructureError
from masktools.frames import ToFrame
from masktools.structure.wiring.channels import channel_blocks

__all__ = ["NetworkPersistence", "Persistence", "largest_weight", "network_persistence", "neural_persistence"]


@dataclasses.dataclass(frozen=True)
class Persistence:
    """Persistence of connected components while the edges of a layer come in from the largest weight down.

    All units are there from 1 on. The edge of weight w at which a component joins another ends it, and gives it the
    persistence 1 - w.

    Parameters
    ----------
    units
        Number of input and output units n.
    components
        Number of components that are left when all active weights are in, single units included.
    persistence
        Norm of the n - 1 persistences of the paper. Components that no active weight joins count as joined at 0, as
        they are where the pruned weights are edges of weight 0; the last component is left out.
    normalised
        `persistence` over its upper bound (n - 1)^(1/p), between 0 and 1; None for fewer than two units.
    joined
        Norm of the n - `components` persistences that active weights end, and only of those.
    joined_normalised
        `joined` over (n - components)^(1/p); None for a layer without active weights. In contrast to `normalised`,
        units without weights do not raise it.
    """

    units: int
    components: int
    persistence: float
    normalised: float | None
    joined: float
    joined_normalised: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class NetworkPersistence(ToFrame):
    """Neural persistence of all layers of a network.

    Parameters
    ----------
    layers
        By layer name, in the order of the masks.
    largest
        The largest active weight of the network by absolute value, which all weights were divided by.
    mean
        Mean of `normalised` over the layers, each of which counts the same; None where it is not defined for any.
    """

    layers: dict[str, Persistence]
    largest: float
    mean: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return ``{"layers": {name: {..}}, "largest": .., "mean": ..}``."""
        return dataclasses.asdict(self)


def network_persistence(
    weights: Mapping[str, NDArray[np.floating]],
    masks: Mapping[str, NDArray[np.bool_]],
    groups: Mapping[str, int] | None = None,
    p: float = 2.0,
) -> NetworkPersistence:
    """Return the neural persistence of a network, as in the paper: weights over the largest one of the network.

    Parameters
    ----------
    weights
        By layer name, each of the shape of its mask.
    masks
        Boolean, axes (out, in per group, kernel ...), by layer name.
    groups
        Number of groups of the layers that have more than one.
    p
        Order of the norm.

    Returns
    -------
    NetworkPersistence
        Of each layer in the order of the masks, and the mean over them.

    Raises
    ------
    StructureError
        If a mask has no weights or they do not fit it; the message names the layer. Also as for `neural_persistence`.
    """
    for name, mask in masks.items():
        if name not in weights or weights[name].shape != mask.shape:
            raise StructureError(f"layer {name!r} has no weights of shape {mask.shape}")
    largest = max((largest_weight(weights[name], mask) for name, mask in masks.items()), default=0.0)
    layers = {
        name: neural_persistence(weights[name], mask, largest, (groups or {}).get(name, 1), p)
        for name, mask in masks.items()
    }
    defined = [layer.normalised for layer in layers.values() if layer.normalised is not None]
    return NetworkPersistence(layers, largest, math.fsum(defined) / len(defined) if defined else None)


def neural_persistence(
    weights: NDArray[np.floating],
    mask: NDArray[np.bool_],
    largest: float | None = None,
    groups: int = 1,
    p: float = 2.0,
) -> Persistence:
    """Return the neural persistence of a layer.

    Parameters
    ----------
    weights
        Of the shape of the mask; pruned ones are not looked at.
    mask
        Boolean, axes (out, in per group, kernel ...).
    largest
        What weights are divided by: the largest active weight of the network by absolute value. None takes that of the
        layer, which hides that weights of a layer are small beside those of others.
    groups
        Number of groups of a convolution.
    p
        Order of the norm, at least 1.

    Raises
    ------
    StructureError
        If weights and mask have different shapes, an active weight is not finite or above `largest`, or `p` is below 1;
        also as for `channel_blocks`.

    Notes
    -----
    Rieck et al., Neural Persistence (2019), define it for dense layers of fully connected networks. Here an edge
    joins an input and an output channel with an active tap, and has the largest absolute value of its active taps.
    The ends of components are the edges of a maximum spanning forest.

    Examples
    --------
    >>> found = neural_persistence(np.array([[1.0, 0.5], [0.0, 0.25]]), np.array([[True, True], [False, True]]))
    >>> found.persistence == (0.5**2 + 0.75**2) ** 0.5, found.components
    (True, 1)
    """
    if weights.shape != mask.shape:
        raise StructureError(f"weights of shape {weights.shape} do not fit a mask of shape {mask.shape}")
    if not p >= 1:
        raise StructureError(f"the order of a norm is at least 1, got {p}")
    blocks = channel_blocks(mask, groups)
    own = largest_weight(weights, mask)
    scale = own if largest is None else largest
    if own > scale:
        raise StructureError(f"the largest weight is given as {scale:g}, but the layer has one of {own:g}")
    group, out, into = np.nonzero(blocks)
    _, outputs, inputs = blocks.shape
    units = groups * (outputs + inputs)
    strongest = np.abs(np.where(mask, weights, 0)).reshape(*blocks.shape, -1 if blocks.size else 1)[group, out, into]
    # Where all active weights of a network are 0, they join units at 0 whatever they are divided by.
    gaps = 1 - strongest.max(axis=1, initial=0).astype(np.float64) / (scale or 1.0)
    source, target = group * inputs + into, groups * inputs + group * outputs + out
    ended = _ends(gaps, source, target, units)
    components = units - len(ended)
    joined = math.fsum(ended**p)
    return Persistence(
        units=units,
        components=components,
        persistence=(joined + max(0, components - 1)) ** (1 / p),
        normalised=((joined + components - 1) / (units - 1)) ** (1 / p) if units > 1 else None,
        joined=joined ** (1 / p),
        joined_normalised=(joined / len(ended)) ** (1 / p) if len(ended) else None,
    )


def largest_weight(weights: NDArray[np.floating], mask: NDArray[np.bool_]) -> float:
    """Return the largest absolute value of an active weight, 0 where none is active.

    Parameters
    ----------
    weights, mask
        Of the same shape.

    Raises
    ------
    StructureError
        If an active weight is not finite.
    """
    largest = float(np.abs(weights).max(where=mask, initial=0.0))
    if not math.isfinite(largest):
        raise StructureError("an active weight is not finite")
    return largest


def _ends(
    gaps: NDArray[np.float64], source: NDArray[np.intp], target: NDArray[np.intp], units: int
) -> NDArray[np.float64]:
    """Return the persistences at the edges of a spanning forest with the largest weights, ascending."""
    # SciPy takes an entry of 0 for no edge: ranks from 1 on keep the order, and no edge is lost.
    values, ranks = np.unique(gaps, return_inverse=True)
    graph = scipy.sparse.csr_array((ranks + 1.0, (source, target)), shape=(units, units))
    return np.asarray(values[np.sort(minimum_spanning_tree(graph).data).astype(np.intp) - 1], dtype=np.float64)
