"""What a mask leaves of a network as a whole: effective weights, ghost and dead units, paths and components."""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

import numpy as np

from masktools.errors import StructureError
from masktools.nulls.shuffles import Masks
from masktools.nulls.trial import TOTAL, DrawPlan, Numbers, Trial, Weights, drawn_numbers, trial_of
from masktools.structure.connectivity_layers import COUNTED, layer_connectivity, layer_counts
from masktools.structure.connectivity_result import Connectivity, LayerConnectivity, TotalConnectivity
from masktools.structure.measures.family import Family
from masktools.structure.measures.network import Network
from masktools.structure.source import Recorded, Source, recorded
from masktools.topology.ghosts import foldable_ghosts
from masktools.topology.graph import Topology
from masktools.topology.paths import log10_paths
from masktools.topology.units import weak_components

__all__ = [
    "Connectivity",
    "LayerConnectivity",
    "TotalConnectivity",
    "connectivity",
    "connectivity_at",
    "connectivity_of",
]


def connectivity(
    source: Source,
    epoch: int | None = None,
    *,
    measures: Sequence[str] = (),
    of: str = "mask",
    null: str = "layer",
    draws: int = 20,
    seed: int = 0,
    jobs: int = 1,
) -> Connectivity:
    """Return the connectivity of a recorded network.

    Parameters
    ----------
    source
        A run, a snapshot, or the path of either.
    epoch
        Which snapshot of a run: negative numbers count from the end, None is the last.
    measures
        Further families of measures (`masktools.structure.measures.registry.FAMILIES`), ``all`` for all of them.
    of
        What these are measured on: the ``mask``, or its ``effective`` weights only.
    null
        Which random masks to compare with: a rung of the null ladder (`masktools.nulls.ladder.LADDER`).
    draws
        How many; 0 for none, 199 for a p-value of use. With another null than ``layer`` as many of that are drawn
        too: what they give is explained by the density of the layers alone.
    seed, jobs
        What they follow from, and the number of processes.

    Returns
    -------
    Connectivity
        Each layer in network order, and the whole network.

    Raises
    ------
    RunError
        If there is no such run or epoch.
    SnapshotError
        If the snapshot cannot be read, or holds no weights and a measure needs them.
    StructureError
        If the snapshot holds no operator graph, or one that does not fit its layers; the message names the file. If a
        measure or the null is unknown.
    """
    plan = DrawPlan(null, draws, seed, jobs) if draws else None
    return connectivity_at(recorded(source, epoch), plan, measures, of)


def connectivity_at(
    moment: Recorded, plan: DrawPlan | None = None, measures: Sequence[str] = (), of: str = "mask"
) -> Connectivity:
    """Measure the connectivity of a network at a moment; parameters and errors as for `connectivity`."""
    weighted = any(family.weighted for family in _families(measures))
    topology, masks = moment.topology, moment.masks
    weights = moment.weights if weighted else None
    try:
        result = connectivity_of(topology, masks, plan, moment.fixed, measures=measures, of=of, weights=weights)
    except StructureError as error:
        raise StructureError(f"{moment.snapshot.path}: {error}") from None
    return dataclasses.replace(result, run=str(moment.path), epoch=moment.epoch)


def connectivity_of(
    topology: Topology,
    masks: Masks,
    plan: DrawPlan | None = None,
    fixed: Iterable[str] = (),
    *,
    measures: Sequence[str] = (),
    of: str = "mask",
    weights: Weights | None = None,
) -> Connectivity:
    """Return the connectivity of a network under masks.

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
    measures, of
        As for `connectivity`.
    weights
        Values by layer name; neural persistence is not defined without.

    Returns
    -------
    Connectivity
        Each layer in network order, and the whole network.

    Raises
    ------
    StructureError
        If graph and masks do not fit; the message names the layer. If a measure is unknown.
    """
    if of not in ("mask", "effective"):
        raise StructureError(f"measures are taken of the 'mask' or of its 'effective' weights, not of {of!r}")
    families = _families(measures)
    network = Network(topology, masks, weights)
    numbers = {
        (term.name, layer): value
        for family in families
        for (name, layer), value in family.measure(network if of == "mask" else _effective(network)).items()
        for term in family.terms
        if term.name == name
    }
    fold = foldable_ghosts(topology, masks, network.reached, network.reaching)
    layers = tuple(layer_connectivity(network, name, fold[name]) for name in topology.layers)
    pieces = weak_components(topology, masks, network.edges)
    inputs = [field for node, field in zip(topology.nodes, network.reaching, strict=True) if node.op == "input"]
    total = TotalConnectivity(
        size=sum(layer.size for layer in layers),
        active=sum(layer.active for layer in layers),
        effective=sum(layer.effective for layer in layers),
        live_out=sum(layer.live_out for layer in layers),
        ghost_out=sum(layer.ghost_out for layer in layers),
        foldable_out=sum(layer.foldable_out for layer in layers),
        dead_out=sum(layer.dead_out for layer in layers),
        inputs=sum(math.prod(field.shape) for field in inputs),
        inputs_used=sum(field.count for field in inputs),
        log10_paths=log10_paths(topology, network.effective, taps=False, edges=network.effective_edges),
        log10_tap_paths=log10_paths(topology, network.effective, edges=network.effective_edges),
        units=pieces.units,
        components=pieces.components,
        isolated=pieces.isolated,
        giant_share=pieces.giant_share,
    )
    trial = by_density = None
    if plan is not None:
        base = {
            **layer_counts(layers),
            ("log10_paths", TOTAL): total.log10_paths,
            ("components", TOTAL): float(total.components),
        }
        measure = functools.partial(_measure, topology, tuple(family.name for family in families), of)
        wide = {term.name for family in families for term in family.terms if family.wide or of == "effective"}
        draw = _Drawing(masks, weights, topology.groups, frozenset(fixed), frozenset({*COUNTED, *wide}))
        trial, by_density = _trials(measure, {**base, **numbers}, draw, plan)
    names = tuple(family.name for family in families)
    return Connectivity(layers, total, trial=trial, by_density=by_density, families=names, of=of, numbers=numbers)


@dataclasses.dataclass(frozen=True, eq=False)
class _Drawing:
    """What random masks are drawn from, and which numbers of a layer they change through other layers."""

    masks: Masks
    weights: Weights | None
    groups: Mapping[str, int]
    fixed: frozenset[str]
    wide: frozenset[str]


def _trials(
    measure: Callable[[Masks, Weights | None], Numbers], observed: Numbers, draw: _Drawing, plan: DrawPlan
) -> tuple[Trial, Trial]:
    """Place what was observed among random masks of the plan, and among ones of the same densities."""
    tails: dict[str, Literal["two-sided"]] = {name: "two-sided" for name, _ in observed}
    plans = (plan, dataclasses.replace(plan, null=DENSITY_ALONE))
    trials: list[Trial] = []
    for each in dict.fromkeys(plans):
        drawn = drawn_numbers(measure, draw.masks, each, weights=draw.weights, groups=draw.groups, fixed=draw.fixed)
        free = each.free(draw.masks, draw.groups, draw.fixed)
        trials.append(trial_of(observed, drawn, each, tails, free=free, wide=draw.wide))
    return trials[0], trials[-1]


DENSITY_ALONE = "layer"
"""The null that keeps nothing but the density of every layer."""


def _measure(topology: Topology, names: Sequence[str], of: str, masks: Masks, weights: Weights | None) -> Numbers:
    """Return what is compared with random masks."""
    network = Network(topology, masks, weights)
    measured = network if of == "mask" else _effective(network)
    numbers: dict[tuple[str, str], float | None] = {
        **layer_counts([layer_connectivity(network, name, _NONE) for name in topology.layers]),
        ("log10_paths", TOTAL): log10_paths(topology, network.effective, taps=False, edges=network.effective_edges),
        ("components", TOTAL): float(weak_components(topology, masks, network.edges).components),
    }
    for family in _families(names):
        numbers |= family.measure(measured)
    return numbers


_NONE = np.zeros(1, dtype=np.bool_)


def _families(names: Sequence[str]) -> tuple[Family, ...]:
    if not names:
        return ()
    # What the families need takes long to load and is often not asked for.
    from masktools.structure.measures.registry import find_families

    return find_families(names)


def _effective(network: Network) -> Network:
    return Network(network.topology, network.effective, network.weights)
