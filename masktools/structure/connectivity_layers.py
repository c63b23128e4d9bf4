"""What a mask leaves of every layer of a network: effective weights, and live, ghost and dead units."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from masktools.nulls.trial import TOTAL
from masktools.structure.connectivity_result import LayerConnectivity
from masktools.structure.measures.network import Network

__all__ = ["COUNTED", "layer_connectivity", "layer_counts"]

COUNTED = ("effective", "live_out", "ghost_out", "dead_out")
"""What is counted in each layer, of random masks too."""


def layer_connectivity(network: Network, name: str, foldable: NDArray[np.bool_]) -> LayerConnectivity:
    """Return what is left of a layer.

    Parameters
    ----------
    network
        The masks, and what they let through.
    name
        The layer.
    foldable
        Whether the constant of each output unit can be folded into biases, shape ``(units,)``.

    Returns
    -------
    LayerConnectivity
        Its counts.
    """
    topology, mask, effective = network.topology, network.masks[name], network.effective[name]
    nodes = [index for index, node in enumerate(topology.nodes) if node.weight == name]
    edges = [network.effective_edges(index) for index in nodes]
    # A unit that is reached where it reaches an output has an active weight that reads a reached unit there, and that
    # weight is effective; so live units are read off the effective weights.
    live = np.any([np.diff(part.indptr) > 0 for part in edges], axis=0)
    useful = np.any([network.reaching[index].anywhere for index in nodes], axis=0)
    used = np.any([np.bincount(part.indices, minlength=part.shape[1]) > 0 for part in edges], axis=0)
    ghost = useful & ~live
    return LayerConnectivity(
        name=name,
        size=mask.size,
        active=(active := int(np.count_nonzero(mask))),
        effective=active if effective is mask else int(np.count_nonzero(effective)),
        units_in=used.size,
        used_in=int(np.count_nonzero(used)),
        units_out=live.size,
        live_out=int(np.count_nonzero(live)),
        ghost_out=int(np.count_nonzero(ghost)),
        foldable_out=int(np.count_nonzero(ghost & foldable)),
        dead_out=int(np.count_nonzero(~useful)),
    )


def layer_counts(layers: Sequence[LayerConnectivity]) -> dict[tuple[str, str], float]:
    """Return what is counted by layer, and in all of them."""
    counts = {(metric, layer.name): float(getattr(layer, metric)) for layer in layers for metric in COUNTED}
    return counts | {(metric, TOTAL): sum(counts[metric, layer.name] for layer in layers) for metric in COUNTED}
