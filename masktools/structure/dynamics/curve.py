"""One epoch of a run beside its end: overlap with the final mask, and turnover since the snapshot before."""

import dataclasses
import math
from collections.abc import Iterable, Mapping

from masktools.masks import PackedMask
from masktools.statistics.chance import Chance, stratified_kappa

__all__ = ["CurvePoint", "curve_point"]


@dataclasses.dataclass(frozen=True)
class CurvePoint:
    """All layers of one epoch against the final mask, and against the snapshot before.

    Parameters
    ----------
    epoch
        Number of finished epochs.
    kappa
        Agreement with the final mask above chance, summed over layers; None where it is undefined.
    jaccard
        Jaccard index with the final mask; None if both are empty.
    intersection_share
        Share of the final mask's weights that are active at this epoch; None if the final mask is empty.
    expected_share
        That share for an independent mask with this epoch's counts, layer by layer: its chance level.
    active
        Number of active weights.
    births, deaths
        Weights that became active, or inactive, since the snapshot before; None for the first one.
    """

    epoch: int
    kappa: float | None
    jaccard: float | None
    intersection_share: float | None
    expected_share: float | None
    active: int
    births: int | None
    deaths: int | None


def curve_point(
    epoch: int,
    layers: Iterable[tuple[Chance, int]],
    masks: Mapping[str, PackedMask],
    before: Mapping[str, PackedMask] | None = None,
) -> CurvePoint:
    """Return one epoch's point.

    Parameters
    ----------
    epoch
        Number of finished epochs.
    layers
        For each layer the chance of this epoch's mask (A) and the final one (B), and what they share.
    masks
        This epoch's masks by layer name.
    before
        The masks of the snapshot before, of the same layers; None for the first one.
    """
    pairs = list(layers)
    active = sum(chance.active_a for chance, _ in pairs)
    final = sum(chance.active_b for chance, _ in pairs)
    shared = sum(intersection for _, intersection in pairs)
    births = deaths = None
    if before is not None:
        kept = sum(mask.intersection(before[name]) for name, mask in masks.items())
        births, deaths = active - kept, sum(mask.active for mask in before.values()) - kept
    union = active + final - shared
    return CurvePoint(
        epoch=epoch,
        kappa=stratified_kappa(pairs),
        jaccard=shared / union if union else None,
        intersection_share=shared / final if final else None,
        expected_share=math.fsum(chance.mean for chance, _ in pairs) / final if final else None,
        active=active,
        births=births,
        deaths=deaths,
    )
