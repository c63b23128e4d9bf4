"""What a mask leaves of a network as a whole: effective weights, ghost and dead units, paths and components."""

import dataclasses
import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from masktools.errors import StructureError
from masktools.structure.connectivity_result import Connectivity, LayerConnectivity, TotalConnectivity
from masktools.structure.effective_null import EffectiveNull, effective_null
from masktools.structure.source import Source, recorded
from masktools.topology.fields import Field
from masktools.topology.graph import Topology
from masktools.topology.paths import log10_paths
from masktools.topology.reach import backward, effective_of, forward
from masktools.topology.units import weak_components

__all__ = [
    "Connectivity",
    "EffectiveNull",
    "LayerConnectivity",
    "TotalConnectivity",
    "connectivity",
    "connectivity_of",
    "effective_null",
]


def connectivity(source: Source, epoch: int | None = None, *, draws: int = 20, seed: int = 0) -> Connectivity:
    """Measure the connectivity of a recorded network.

    Parameters
    ----------
    source
        A run, a snapshot, or the path of either.
    epoch
        Which snapshot of a run: negative numbers count from the end, None is the last.
    draws
        Number of random masks to compare with; 0 for none.
    seed
        Seed of the random masks.

    Raises
    ------
    RunError
        If there is no such run or epoch.
    SnapshotError
        If the snapshot cannot be read.
    StructureError
        If the snapshot holds no operator graph, or one that does not fit its layers; the message names the file.
    """
    moment = recorded(source, epoch)
    topology, masks = moment.topology, moment.masks
    try:
        result = connectivity_of(topology, masks, draws=draws, seed=seed)
    except StructureError as error:
        raise StructureError(f"{moment.snapshot.path}: {error}") from None
    return dataclasses.replace(result, run=str(moment.path), epoch=moment.epoch)


def connectivity_of(
    topology: Topology, masks: Mapping[str, NDArray[np.bool_]], *, draws: int = 0, seed: int = 0
) -> Connectivity:
    """Measure the connectivity of a network under masks.

    Parameters
    ----------
    topology
        The operator graph.
    masks
        Boolean mask by layer name, each of its weight's shape; exactly the layers of the graph.
    draws, seed
        As for `effective_null`; no random masks by default.

    Raises
    ------
    StructureError
        If graph and masks do not fit; the message names the layer.
    """
    reached, reaching = forward(topology, masks), backward(topology, masks)
    effective = effective_of(topology, masks, reached, reaching)
    layers = tuple(_layer(topology, name, masks[name], effective[name], reaching) for name in topology.layers)
    pieces = weak_components(topology, masks)
    inputs = [field for node, field in zip(topology.nodes, reaching, strict=True) if node.op == "input"]
    total = TotalConnectivity(
        size=sum(layer.size for layer in layers),
        active=sum(layer.active for layer in layers),
        effective=sum(layer.effective for layer in layers),
        live_out=sum(layer.live_out for layer in layers),
        ghost_out=sum(layer.ghost_out for layer in layers),
        dead_out=sum(layer.dead_out for layer in layers),
        inputs=sum(math.prod(field.shape) for field in inputs),
        inputs_used=sum(field.count for field in inputs),
        log10_paths=log10_paths(topology, effective, taps=False),
        log10_tap_paths=log10_paths(topology, effective),
        units=pieces.units,
        components=pieces.components,
        isolated=pieces.isolated,
        giant_share=pieces.giant_share,
        null=effective_null(topology, masks, draws=draws, seed=seed) if draws else None,
    )
    return Connectivity(layers, total)


def _layer(
    topology: Topology,
    name: str,
    mask: NDArray[np.bool_],
    effective: NDArray[np.bool_],
    reaching: tuple[Field, ...],
) -> LayerConnectivity:
    nodes = [index for index, node in enumerate(topology.nodes) if node.weight == name]
    window = topology.nodes[nodes[0]].window
    groups = window.groups if window else 1
    # A unit that is reached where it reaches an output has an active weight that reads a reached unit there, and that
    # weight is effective; so live units are read off the effective weights.
    live = effective.reshape(mask.shape[0], -1).any(axis=1)
    useful = np.any([reaching[index].anywhere for index in nodes], axis=0)
    used = effective.reshape(groups, mask.shape[0] // groups, mask.shape[1], -1).any(axis=(1, 3))
    return LayerConnectivity(
        name=name,
        size=mask.size,
        active=int(np.count_nonzero(mask)),
        effective=int(np.count_nonzero(effective)),
        units_in=used.size,
        used_in=int(np.count_nonzero(used)),
        units_out=live.size,
        live_out=int(np.count_nonzero(live)),
        ghost_out=int(np.count_nonzero(useful & ~live)),
        dead_out=int(np.count_nonzero(~useful)),
    )
