"""What a mask leaves of a network as a whole: effective weights, ghost and dead units, paths and components."""

import dataclasses
import functools
import math
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from masktools.errors import StructureError
from masktools.nulls.shuffles import Masks
from masktools.nulls.trial import TOTAL, DrawPlan, Numbers, Weights, run_trial
from masktools.statistics.monte_carlo import Tail
from masktools.structure.connectivity_result import Connectivity, LayerConnectivity, TotalConnectivity
from masktools.structure.source import Source, recorded
from masktools.structure.symmetries import log10_symmetries
from masktools.topology.fields import Field
from masktools.topology.graph import Topology
from masktools.topology.paths import log10_paths
from masktools.topology.reach import backward, effective_masks, effective_of, forward
from masktools.topology.units import weak_components

__all__ = [
    "Connectivity",
    "LayerConnectivity",
    "TotalConnectivity",
    "connectivity",
    "connectivity_of",
]


def connectivity(
    source: Source, epoch: int | None = None, *, null: str = "layer", draws: int = 20, seed: int = 0, jobs: int = 1
) -> Connectivity:
    """Measure the connectivity of a recorded network.

    Parameters
    ----------
    source
        A run, a snapshot, or the path of either.
    epoch
        Which snapshot of a run: negative numbers count from the end, None is the last.
    null
        Which random masks to compare with: a rung of the null ladder (`masktools.nulls.ladder.LADDER`).
    draws
        How many; 0 for none, 199 for a p-value of use.
    seed, jobs
        What they follow from, and the number of processes.

    Raises
    ------
    RunError
        If there is no such run or epoch.
    SnapshotError
        If the snapshot cannot be read.
    StructureError
        If the snapshot holds no operator graph, or one that does not fit its layers; the message names the file.
    """
    plan = DrawPlan(null, draws, seed, jobs) if draws else None
    moment = recorded(source, epoch)
    topology, masks = moment.topology, moment.masks
    try:
        result = connectivity_of(topology, masks, plan, moment.fixed)
    except StructureError as error:
        raise StructureError(f"{moment.snapshot.path}: {error}") from None
    return dataclasses.replace(result, run=str(moment.path), epoch=moment.epoch)


def connectivity_of(
    topology: Topology, masks: Masks, plan: DrawPlan | None = None, fixed: Iterable[str] = ()
) -> Connectivity:
    """Measure the connectivity of a network under masks.

    Parameters
    ----------
    topology
        The operator graph.
    masks
        Boolean mask by layer name, each of its weight's shape; exactly the layers of the graph.
    plan
        Which random masks to compare with, if any.
    fixed
        Layers that were kept dense by choice and stay so in random masks.

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
    )
    symmetries = log10_symmetries(topology, masks)
    if plan is None:
        return Connectivity(layers, total, symmetries=symmetries)
    measure = functools.partial(_measure, topology)
    return Connectivity(
        layers,
        total,
        symmetries=symmetries,
        trial=run_trial(measure, masks, plan, groups=topology.groups, fixed=fixed, tails=_TAILS),
    )


_TAILS: Mapping[str, Tail] = {
    "effective": "two-sided",
    "log10_paths": "two-sided",
    "components": "two-sided",
    "log10_symmetries": "two-sided",
}


def _measure(topology: Topology, masks: Masks, _: Weights | None) -> Numbers:
    """Return what is compared with random masks."""
    effective = effective_masks(topology, masks)
    counts = {("effective", name): float(np.count_nonzero(mask)) for name, mask in effective.items()}
    return {
        **counts,
        ("effective", TOTAL): sum(counts.values()),
        ("log10_paths", TOTAL): log10_paths(topology, effective, taps=False),
        ("components", TOTAL): float(weak_components(topology, masks).components),
        ("log10_symmetries", TOTAL): log10_symmetries(topology, masks).total.log10_symmetries,
    }


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
