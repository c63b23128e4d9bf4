"""Early-bird tickets: when a mask stops moving, told without knowing where it ends."""

import collections
import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from masktools.errors import StructureError
from masktools.masks import PackedMask
from masktools.statistics.chance import Chance, stratified_kappa

__all__ = ["HAMMING_LIMIT", "EarlyBird", "EarlyBirdCounter", "WindowPoint"]

HAMMING_LIMIT = 0.1
"""Normalised Hamming distance below which You et al. take a mask as settled."""


@dataclasses.dataclass(frozen=True)
class WindowPoint:
    """One mask beside the masks just before it, all layers together.

    Parameters
    ----------
    epoch
        Number of finished epochs.
    kappa
        Smallest kappa with any of the masks before it in the window; None where one of them is undefined.
    hamming
        Largest share of weights that differ.
    expected_hamming
        Largest share that would differ between independent masks with these numbers of active weights, layer by
        layer.
    """

    epoch: int
    kappa: float | None
    hamming: float | None
    expected_hamming: float | None


@dataclasses.dataclass(frozen=True)
class EarlyBird:
    """When the mask settled, by two rules.

    Parameters
    ----------
    window
        Number of masks that have to agree, the newest among them.
    threshold
        Kappa that counts as agreeing.
    epoch
        First epoch whose mask has at least that kappa with each of the ``window - 1`` masks before it; None if there
        is none.
    hamming_limit
        Normalised Hamming distance that counts as agreeing in the original rule.
    hamming_epoch
        First epoch by the original rule; None if there is none.
    layers
        First epoch by the kappa rule for each layer.
    points
        From the first full window on, one an epoch.
    """

    window: int
    threshold: float
    epoch: int | None
    hamming_limit: float
    hamming_epoch: int | None
    layers: Mapping[str, int | None]
    points: tuple[WindowPoint, ...]

    @property
    def hamming(self) -> float | None:
        """Hamming distance where the original rule decided: at its epoch, or at the last one if it never agreed."""
        return self._decided.hamming if self._decided else None

    @property
    def expected_hamming(self) -> float | None:
        """Chance level of `hamming`."""
        return self._decided.expected_hamming if self._decided else None

    @property
    def vacuous(self) -> bool | None:
        """Whether independent masks would meet the original rule, at its epoch or at the end; None without a window."""
        return None if self.expected_hamming is None else self.expected_hamming <= self.hamming_limit

    @property
    def _decided(self) -> WindowPoint | None:
        last = self.points[-1] if self.points else None
        return next((point for point in self.points if point.epoch == self.hamming_epoch), last)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON-ready values."""
        return {
            "window": self.window,
            "threshold": self.threshold,
            "epoch": self.epoch,
            "hamming_limit": self.hamming_limit,
            "hamming_epoch": self.hamming_epoch,
            "hamming": self.hamming,
            "expected_hamming": self.expected_hamming,
            "vacuous": self.vacuous,
            "points": [dataclasses.asdict(point) for point in self.points],
        }


class EarlyBirdCounter:
    """Finds when masks settle while they go by, one snapshot after the other.

    Parameters
    ----------
    names
        Names of the layers.
    window
        Number of masks that have to agree, at least 2.
    threshold
        Kappa that counts as agreeing.

    Raises
    ------
    StructureError
        If the window is shorter than 2.

    Notes
    -----
    You et al., Drawing Early-Bird Tickets, arXiv 1909.11957, stop when the largest Hamming distance between the newest
    mask and those before it, among the last 5, is at most 0.1 of all weights. That depends on the density: independent
    masks of density p are 2 p (1 - p) apart, less than 0.1 for p below about 0.053, so that at high sparsity any masks
    meet it. Since kappa is 1 - (Hamming distance) / (its chance level), the rule "kappa at least 0.9" asks for
    at most a tenth of what independent masks would differ by, at any density.

    The rule looks back only. A mask that stands still for a window and moves again later has been called an early
    bird; and one that is pruned at intervals stands still between them.
    """

    def __init__(self, names: tuple[str, ...], window: int, threshold: float) -> None:
        if window < 2:
            raise StructureError(f"an early-bird window needs at least 2 masks, got {window}")
        self._names = names
        self._window = window
        self._threshold = threshold
        self._past: collections.deque[Mapping[str, PackedMask]] = collections.deque(maxlen=window - 1)
        self._layers: dict[str, int | None] = dict.fromkeys(names)
        self._points: list[WindowPoint] = []

    def add(self, epoch: int, masks: Mapping[str, PackedMask]) -> None:
        """Take the masks of the next snapshot."""
        if len(self._past) == self._window - 1:
            self._compare(epoch, masks)
        self._past.append(masks)

    def _compare(self, epoch: int, masks: Mapping[str, PackedMask]) -> None:
        size = sum(mask.size for mask in masks.values())
        totals, hamming, expected = [], [], []
        lowest: dict[str, list[float | None]] = {name: [] for name in self._names}
        for past in self._past:
            pairs = []
            for name in self._names:
                now, then = masks[name], past[name]
                pairs.append((Chance(now.size, now.active, then.active), now.intersection(then)))
                lowest[name].append(pairs[-1][0].kappa(pairs[-1][1]))
            totals.append(stratified_kappa(pairs))
            hamming.append(sum(c.active_a + c.active_b - 2 * shared for c, shared in pairs))
            expected.append(math.fsum(c.room for c, _ in pairs))
        self._points.append(
            WindowPoint(
                epoch,
                _smallest(totals),
                max(hamming) / size if size else None,
                max(expected) / size if size else None,
            )
        )
        for name, kappas in lowest.items():
            if self._layers[name] is None and _agrees(_smallest(kappas), self._threshold):
                self._layers[name] = epoch

    def result(self) -> EarlyBird:
        """Return when the masks so far settled."""
        met = (point.epoch for point in self._points if _agrees(point.kappa, self._threshold))
        near = (p.epoch for p in self._points if p.hamming is not None and p.hamming <= HAMMING_LIMIT)
        return EarlyBird(
            self._window,
            self._threshold,
            next(met, None),
            HAMMING_LIMIT,
            next(near, None),
            dict(self._layers),
            tuple(self._points),
        )


def _smallest(kappas: list[float | None]) -> float | None:
    """Return the smallest; an undefined one leaves no smallest."""
    defined = [kappa for kappa in kappas if kappa is not None]
    return min(defined) if defined and len(defined) == len(kappas) else None


def _agrees(kappa: float | None, threshold: float) -> bool:
    return kappa is not None and kappa >= threshold
