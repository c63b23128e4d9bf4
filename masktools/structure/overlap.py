"""How much two masks have in common, layer by layer and in all, each number beside its chance level."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from masktools.errors import StructureError
from masktools.frames import ToFrame
from masktools.masks import PackedMask
from masktools.statistics.chance import Chance, stratified_kappa, stratified_z
from masktools.statistics.stratified import stratified_p_value

__all__ = ["LayerOverlap", "Overlap", "check_same_layers", "overlap_of"]


@dataclasses.dataclass(frozen=True)
class LayerOverlap:
    """Overlap of two masks in one layer, or in all layers together.

    Parameters
    ----------
    name
        Name of the layer; ``total`` for all layers together.
    size
        Number of weights.
    active_a, active_b
        Numbers of active weights of either mask.
    intersection
        Number of weights that are active in both.
    jaccard
        Intersection over union; None if both masks are empty.
    expected_intersection
        Intersection of independent masks with these counts; for the total the sum over layers.
    expected_jaccard
        Jaccard index at the expected intersection; None if both masks are empty.
    z
        Intersection above its expectation, in standard deviations; None where chance leaves no freedom.
    kappa
        Agreement above chance: 0 at chance, 1 for equal masks; None where dense in both or empty in both.
    share, expected_share
        Intersection over the smaller number of active weights, and at the expected intersection; None if a mask is
        empty.
    hamming, expected_hamming
        Share of weights that differ, and at the expected intersection; None for a layer without weights.
    p_value
        Two-sided and exact: hypergeometric of a layer, for the total the sum of independent ones.
    """

    name: str
    size: int
    active_a: int
    active_b: int
    intersection: int
    jaccard: float | None
    expected_intersection: float
    expected_jaccard: float | None
    z: float | None
    kappa: float | None
    share: float | None
    expected_share: float | None
    hamming: float | None
    expected_hamming: float | None
    p_value: float | None

    @property
    def density_a(self) -> float | None:
        """Share of active weights of the first mask; None for a layer without weights."""
        return _ratio(self.active_a, self.size)

    @property
    def density_b(self) -> float | None:
        """Share of active weights of the second mask; None for a layer without weights."""
        return _ratio(self.active_b, self.size)

    @property
    def density_difference(self) -> float | None:
        """Density of the second mask minus that of the first; None for a layer without weights."""
        return _ratio(self.active_b - self.active_a, self.size)

    def to_dict(self) -> dict[str, Any]:
        """Return all numbers by name, densities included."""
        return {
            **dataclasses.asdict(self),
            "density_a": self.density_a,
            "density_b": self.density_b,
            "density_difference": self.density_difference,
        }


@dataclasses.dataclass(frozen=True)
class Overlap(ToFrame):
    """Overlap of two sets of masks.

    Parameters
    ----------
    layers
        One entry a layer, in network order.
    total
        All layers together. Chance is summed over layers, never pooled: kappa and z ask whether the masks
        agree beyond their layer-wise densities.
    """

    layers: tuple[LayerOverlap, ...]
    total: LayerOverlap

    def to_dict(self) -> dict[str, Any]:
        """Return ``{"layers": [..], "total": {..}}``."""
        return {"layers": [layer.to_dict() for layer in self.layers], "total": self.total.to_dict()}


def overlap_of(
    masks_a: Mapping[str, PackedMask], masks_b: Mapping[str, PackedMask], labels: tuple[str, str] = ("A", "B")
) -> Overlap:
    """Return what two sets of masks have in common.

    Parameters
    ----------
    masks_a, masks_b
        Masks by layer name. Both have the same layers of the same shapes, in any order.
    labels
        What the two are called in an error.

    Returns
    -------
    Overlap
        Each layer in network order, and all together beside chance.

    Raises
    ------
    StructureError
        If the layers differ; the message names the first layer that does not match, and both sides.

    Notes
    -----
    The intersection of two independent masks with K1 and K2 of N active weights is hypergeometric, with
    mean K1 K2 / N and variance mean (N - K1) (N - K2) / (N (N - 1)). Kappa is Cohen's (1960) for the two
    labels active and inactive; over layers both its numerator and its denominator are summed.

    Examples
    --------
    >>> import numpy as np
    >>> a = {"fc": PackedMask.from_bool(np.array([True, True, False, False]))}
    >>> b = {"fc": PackedMask.from_bool(np.array([True, False, True, False]))}
    >>> total = overlap_of(a, b).total
    >>> total.intersection, total.expected_intersection, total.kappa
    (1, 1.0, 0.0)
    """
    check_same_layers(masks_a, masks_b, labels)
    pairs = {
        name: (Chance(mask.size, mask.active, masks_b[name].active), mask.intersection(masks_b[name]))
        for name, mask in masks_a.items()
    }
    return Overlap(
        tuple(_layer(name, chance, shared) for name, (chance, shared) in pairs.items()), _total(list(pairs.values()))
    )


def check_same_layers(
    masks_a: Mapping[str, PackedMask], masks_b: Mapping[str, PackedMask], labels: tuple[str, str]
) -> None:
    """Raise unless both sets of masks have the same layers of the same shapes, and at least one.

    Raises
    ------
    StructureError
        Naming the first layer that does not match, and both labels.
    """
    a, b = labels
    if not masks_a and not masks_b:
        raise StructureError(f"{a} and {b}: no layers to compare")
    for here, there, present, absent in ((masks_a, masks_b, a, b), (masks_b, masks_a, b, a)):
        for name, mask in here.items():
            if name not in there:
                raise StructureError(f"layer {name!r} is in {present} but not in {absent}")
            if mask.shape != there[name].shape:
                raise StructureError(
                    f"layer {name!r} has shape {_shape(mask)} in {present} but {_shape(there[name])} in {absent}"
                )


def _shape(mask: PackedMask) -> str:
    return "x".join(str(extent) for extent in mask.shape) or "()"


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _layer(name: str, chance: Chance, shared: int) -> LayerOverlap:
    size, a, b = chance.size, chance.active_a, chance.active_b
    return LayerOverlap(
        name=name,
        size=size,
        active_a=a,
        active_b=b,
        intersection=shared,
        jaccard=_ratio(shared, a + b - shared),
        expected_intersection=chance.mean,
        expected_jaccard=chance.jaccard,
        z=chance.z(shared),
        kappa=chance.kappa(shared),
        share=_ratio(shared, min(a, b)),
        expected_share=_ratio(chance.mean, min(a, b)),
        hamming=_ratio(a + b - 2 * shared, size),
        expected_hamming=_ratio(chance.room, size),
        p_value=chance.p_value(shared),
    )


def _total(pairs: Sequence[tuple[Chance, int]]) -> LayerOverlap:
    size = sum(chance.size for chance, _ in pairs)
    a = sum(chance.active_a for chance, _ in pairs)
    b = sum(chance.active_b for chance, _ in pairs)
    shared = sum(intersection for _, intersection in pairs)
    mean = math.fsum(chance.mean for chance, _ in pairs)
    z = stratified_z(pairs)
    return LayerOverlap(
        name="total",
        size=size,
        active_a=a,
        active_b=b,
        intersection=shared,
        jaccard=_ratio(shared, a + b - shared),
        expected_intersection=mean,
        expected_jaccard=mean / (a + b - mean) if a + b else None,
        z=z,
        kappa=stratified_kappa(pairs),
        share=_ratio(shared, min(a, b)),
        expected_share=_ratio(mean, min(a, b)),
        hamming=_ratio(a + b - 2 * shared, size),
        expected_hamming=_ratio(math.fsum(chance.room for chance, _ in pairs), size),
        p_value=stratified_p_value(pairs),
    )
