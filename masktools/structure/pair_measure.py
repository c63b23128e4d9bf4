"""Everything that is measured on two sets of masks, in the form in which random masks are measured too."""

import dataclasses
import functools
from collections.abc import Mapping

import numpy as np

from masktools.nulls.shuffles import Masks
from masktools.nulls.trial import TOTAL, Numbers, Weights
from masktools.statistics.chance import Chance, stratified_kappa
from masktools.statistics.monte_carlo import Tail
from masktools.structure.alignment.aligned import AlignedOverlap, AlignOn, aligned_overlap
from masktools.structure.alignment.nnstd import Nnstd, nnstd
from masktools.structure.degrees import DegreeDifference, degree_difference
from masktools.topology.graph import Topology

__all__ = ["TAILS", "WIDE", "PairMeasure"]

TAILS: Mapping[str, Tail] = {"fan_in_distance": "less", "fan_out_distance": "less", "nnstd": "less"}
"""Distances speak against a null where they are small, everything else where it is large."""

WIDE = frozenset({"nnstd", "aligned_intersection", "aligned_kappa"})
"""What is found by matching units: a layer's number depends on how the units of other layers were matched."""


@dataclasses.dataclass(frozen=True, eq=False)
class PairMeasure:
    """What is measured of masks beside a fixed first set of masks.

    Parameters
    ----------
    masks, weights
        The first set of masks, and its weights where those are aligned.
    topology
        The operator graph; needed by `nnstd` and `align`.
    degrees, nnstd
        Whether to compare degrees, and to measure NNSTD.
    align
        What to align, if anything.
    """

    masks: Masks
    weights: Weights | None = None
    topology: Topology | None = None
    degrees: bool = True
    nnstd: bool = False
    align: AlignOn | None = None

    def __call__(self, masks: Masks, weights: Weights | None) -> Numbers:
        """Return every number by metric and layer."""
        numbers = _overlap(self.masks, masks)
        for difference in self.degree_differences(masks):
            values = difference.to_dict()
            name = values.pop("name")
            numbers |= {(metric, name): value for metric, value in values.items()}
        distance = self.nnstd_of(masks)
        if distance is not None:
            numbers |= {("nnstd", layer.name): layer.distance for layer in distance.layers}
            numbers["nnstd", TOTAL] = distance.total.distance
        aligned = self.aligned(masks, weights)
        if aligned is not None:
            for row in (*aligned.overlap.layers, aligned.overlap.total):
                numbers["aligned_intersection", row.name] = float(row.intersection)
                numbers["aligned_kappa", row.name] = row.kappa
        return numbers

    def degree_differences(self, masks: Masks) -> tuple[DegreeDifference, ...]:
        """Return the differences of degrees, for layers with inputs and outputs."""
        if not self.degrees:
            return ()
        groups = self.topology.groups if self.topology else {}
        return tuple(
            degree_difference(name, mask, masks[name], groups.get(name, 1))
            for name, mask in self.masks.items()
            if mask.ndim > 1
        )

    def nnstd_of(self, masks: Masks) -> Nnstd | None:
        """Return NNSTD, if it is to be measured."""
        return nnstd(self.masks, masks, self._graph) if self.nnstd else None

    def aligned(self, masks: Masks, weights: Weights | None) -> AlignedOverlap | None:
        """Return the overlap after alignment, if that is to be measured."""
        if self.align is None:
            return None
        return aligned_overlap(self.masks, masks, self._graph, self.weights, weights)

    @functools.cached_property
    def _graph(self) -> Topology:
        if self.topology is None:
            raise AssertionError("NNSTD and alignment need an operator graph")
        return self.topology


def _overlap(masks_a: Masks, masks_b: Masks) -> dict[tuple[str, str], float | None]:
    pairs = {
        name: (
            Chance(mask.size, int(np.count_nonzero(mask)), int(np.count_nonzero(masks_b[name]))),
            int(np.count_nonzero(mask & masks_b[name])),
        )
        for name, mask in masks_a.items()
    }
    numbers: dict[tuple[str, str], float | None] = {}
    for name, (chance, shared) in pairs.items():
        numbers["intersection", name] = float(shared)
        numbers["kappa", name] = chance.kappa(shared)
    numbers["intersection", TOTAL] = float(sum(shared for _, shared in pairs.values()))
    numbers["kappa", TOTAL] = stratified_kappa(pairs.values())
    return numbers
