"""Overlap after the hidden units of one network were permuted to fit those of the other."""

import dataclasses
from typing import Any, Literal, TypeAlias

from masktools.masks import PackedMask
from masktools.nulls.shuffles import Masks
from masktools.nulls.trial import Weights
from masktools.structure.alignment.matching import align
from masktools.structure.overlap import Overlap, overlap_of
from masktools.topology.graph import Topology

__all__ = ["AlignOn", "AlignedOverlap", "aligned_overlap"]

AlignOn: TypeAlias = Literal["masks", "weights"]
"""What is brought to agree: masks, or weights that are 0 where a mask is inactive."""


@dataclasses.dataclass(frozen=True)
class AlignedOverlap:
    """Overlap of two networks up to the order of their hidden units.

    Alignment finds agreement in anything: its overlap is a finding only beside that of random masks that were
    aligned in the same way.

    Parameters
    ----------
    on
        What was brought to agree.
    overlap
        What the masks have in common afterwards. Its z and p-values are those of masks that were not aligned, and do
        not hold here.
    groups
        Number of groups of hidden units that can be permuted.
    sweeps
        How often all groups were gone through.
    start
        The start that led furthest (`masktools.structure.alignment.starts.STARTS`).
    """

    on: AlignOn
    overlap: Overlap
    groups: int
    sweeps: int
    start: str

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name, without what does not hold after alignment."""
        rows = ("name", "size", "active_a", "active_b", "intersection", "jaccard", "share", "kappa")
        overlap = self.overlap.to_dict()
        return {
            "on": self.on,
            "groups": self.groups,
            "sweeps": self.sweeps,
            "start": self.start,
            "layers": [{key: layer[key] for key in rows} for layer in overlap["layers"]],
            "total": {key: overlap["total"][key] for key in rows},
        }


def aligned_overlap(
    masks_a: Masks,
    masks_b: Masks,
    topology: Topology,
    weights_a: Weights | None = None,
    weights_b: Weights | None = None,
) -> AlignedOverlap:
    """Permute the hidden units of B so that it agrees best with A, and return what the masks then have in common.

    Parameters
    ----------
    masks_a, masks_b
        Boolean masks, exactly the layers of the graph.
    topology
        The operator graph of both.
    weights_a, weights_b
        Values to align by, of which only active ones count; None aligns the masks themselves.

    Raises
    ------
    StructureError
        If graph, masks and weights do not fit.
    """
    by_weights = weights_a is not None and weights_b is not None
    if weights_a is not None and weights_b is not None:
        a = {name: weights_a[name] * mask for name, mask in masks_a.items()}
        b = {name: weights_b[name] * mask for name, mask in masks_b.items()}
        found = align(a, b, topology)
    else:
        found = align(masks_a, masks_b, topology)
    moved = found.apply(masks_b)
    overlap = overlap_of(
        {name: PackedMask.from_bool(mask) for name, mask in masks_a.items()},
        {name: PackedMask.from_bool(moved[name]) for name in masks_a},
    )
    return AlignedOverlap("weights" if by_weights else "masks", overlap, len(found.groups), found.sweeps, found.start)
