"""One epoch of a run beside its end: overlap with the final mask, and turnover since the snapshot before."""

import dataclasses
import math
from collections.abc import Iterable, Sequence
from typing import Any

from masktools.statistics.chance import Chance, stratified_kappa
from masktools.structure.dynamics.turnover import Turnover

__all__ = ["CurvePoint", "curve_point", "emergence_epoch"]


@dataclasses.dataclass(frozen=True)
class CurvePoint:
    """All layers of one epoch against the final mask, and against the snapshot before.

    Parameters
    ----------
    epoch
        Number of finished epochs.
    lr
        Learning rate that was recorded for this epoch; None where there is none.
    kappa
        Agreement with the final mask above chance, summed over layers; None where it is undefined.
    kappa_beyond_initial
        The same given the first mask, see `masktools.structure.dynamics.beyond_initial`; None where it is undefined.
    jaccard
        Jaccard index with the final mask; None if both are empty.
    intersection_share
        Share of the final mask's weights that are active at this epoch; None if the final mask is empty.
    expected_share
        That share for an independent mask with this epoch's counts, layer by layer: its chance level.
    turnover
        What changed since the snapshot before, and what was explored so far.
    """

    epoch: int
    lr: float | None
    kappa: float | None
    kappa_beyond_initial: float | None
    jaccard: float | None
    intersection_share: float | None
    expected_share: float | None
    turnover: Turnover

    @property
    def active(self) -> int:
        """Number of active weights."""
        return self.turnover.active

    @property
    def births(self) -> int | None:
        """Weights that became active since the snapshot before; None for the first one."""
        return self.turnover.births

    @property
    def deaths(self) -> int | None:
        """Weights that became inactive since the snapshot before; None for the first one."""
        return self.turnover.deaths

    def to_dict(self) -> dict[str, Any]:
        """Return all numbers by name, those of the turnover among them."""
        own = {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name != "turnover"}
        return own | self.turnover.to_dict()


def curve_point(
    epoch: int,
    layers: Iterable[tuple[Chance, int]],
    turnover: Turnover,
    kappa_beyond_initial: float | None = None,
    lr: float | None = None,
) -> CurvePoint:
    """Return one epoch's point.

    Parameters
    ----------
    epoch
        Number of finished epochs.
    layers
        For each layer the chance of this epoch's mask (A) and the final one (B), and what they share.
    turnover
        What changed since the snapshot before, all layers together.
    kappa_beyond_initial
        Kappa with the final mask given the first mask.
    lr
        Learning rate of this epoch.
    """
    pairs = list(layers)
    final = sum(chance.active_b for chance, _ in pairs)
    shared = sum(intersection for _, intersection in pairs)
    union = sum(chance.active_a for chance, _ in pairs) + final - shared
    return CurvePoint(
        epoch=epoch,
        lr=lr,
        kappa=stratified_kappa(pairs),
        kappa_beyond_initial=kappa_beyond_initial,
        jaccard=shared / union if union else None,
        intersection_share=shared / final if final else None,
        expected_share=math.fsum(chance.mean for chance, _ in pairs) / final if final else None,
        turnover=turnover,
    )


def emergence_epoch(epochs: Sequence[int], kappas: Sequence[float | None], threshold: float) -> int | None:
    """Return the first epoch from which on kappa stays at the threshold or above.

    Parameters
    ----------
    epochs
        Ascending.
    kappas
        Kappa with the final mask at each epoch. An undefined kappa (None) has not arrived: it ends a
        stretch as a low value does, and at the last epoch it makes the result undefined.
    threshold
        Kappa that counts as having arrived.

    Returns
    -------
    int or None
        None if the last kappa is undefined or below the threshold.

    Examples
    --------
    >>> emergence_epoch([0, 1, 2, 3], [0.2, 0.95, 0.8, 1.0], 0.9)
    3
    """
    found: int | None = None
    for epoch, kappa in zip(reversed(epochs), reversed(kappas), strict=True):
        if kappa is None or kappa < threshold:
            break
        found = epoch
    return found
