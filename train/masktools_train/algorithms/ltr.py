"""Lottery tickets with rewinding: iterated magnitude pruning."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING

import pydantic

from masktools_train.algorithms.base import Algorithm
from masktools_train.durations import DURATION, steps_of

if TYPE_CHECKING:
    from masktools_train.masked_layers import MaskedLayers

__all__ = ["LTR"]


class LTR(Algorithm):
    """Train, prune a share of the remaining weights globally, rewind to an early step, and repeat.

    Rewinding restores weights, learning-rate schedule and data order of that step; the optimizer starts
    afresh. Each level prunes exactly ``floor(rate * remaining)`` weights, the last one what is left to the
    target.

    References
    ----------
    Frankle et al., Linear Mode Connectivity and the Lottery Ticket Hypothesis, arXiv 1912.05671.
    """

    name = "ltr"
    summary = "prune globally by magnitude, rewind, repeat"
    distributions = ("global",)

    prune_rate: float = pydantic.Field(0.2, gt=0, lt=1)
    rewind: str = pydantic.Field("1ep", pattern=DURATION)
    """Where to rewind to: ``2ep`` (epochs) or ``500it`` (iterations)."""

    def start(self, masked: MaskedLayers) -> None:
        """Begin dense."""

    def rewind_step(self, steps_per_epoch: int) -> int:
        """Return the step to rewind to."""
        return steps_of(self.rewind, steps_per_epoch, "rewind")

    def level_counts(self, size: int, target: int) -> list[int]:
        """Return the remaining weights level by level, from all of them to the target."""
        rate = Fraction(repr(self.prune_rate))
        counts = [size]
        while counts[-1] > target:
            counts.append(max(target, counts[-1] - max(1, math.floor(rate * counts[-1]))))
        return counts
