"""SET: drop the smallest weights, grow at random."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pydantic
import torch

from masktools_train.algorithms.base import Algorithm
from masktools_train.algorithms.rigl import exchange
from masktools_train.durations import DURATION, steps_of
from masktools_train.seeding import generator

if TYPE_CHECKING:
    from masktools_train.masked_layers import MaskedLayers

__all__ = ["SET"]


class SET(Algorithm):
    """Sparse evolutionary training.

    At the end of every epoch (or every so many steps) each layer drops ``int(zeta * active)`` of its smallest
    weights and grows as many, uniformly at random among all that it did not keep. A weight that was just
    dropped may grow back and then keeps its value and momentum; other new weights start at 0 with cleared
    optimizer state. Nothing is exchanged after the last step: new weights would stay untrained.

    References
    ----------
    Mocanu et al., Scalable training of artificial neural networks with adaptive sparse connectivity inspired by
    network science, Nature Communications 9, 2383 (2018); magnitudes and zeros as in Evci et al., arXiv 1911.11134.
    """

    name = "set"
    summary = "drop by magnitude, grow at random"
    distributions = ("erk", "uniform")
    dynamic = True

    zeta: float = pydantic.Field(0.3, gt=0, le=1)
    interval: str = pydantic.Field("1ep", pattern=DURATION)
    """How often: ``1ep`` (epochs) or ``100it`` (iterations)."""

    @pydantic.field_validator("interval")
    @classmethod
    def _takes_time(cls, interval: str) -> str:
        if not int(interval[:-2]):
            raise ValueError("an interval is at least 1ep or 1it")
        return interval

    def start(self, masked: MaskedLayers) -> None:
        """Draw the first masks at random."""
        steps_of(self.interval, masked.steps_per_epoch, "algorithm 'set'")
        masked.draw_random_masks()

    @torch.no_grad()
    def after_step(self, masked: MaskedLayers) -> None:
        """Exchange weights in every layer that is not dense, where it is time."""
        step = masked.step + 1
        if step % steps_of(self.interval, masked.steps_per_epoch, "algorithm 'set'") or step >= masked.total_steps:
            return
        for index, layer in enumerate(masked.layers):
            if layer.count < layer.size:
                random = generator(layer.mask.device, masked.seed, "grow", step, index)
                lots = torch.rand(layer.mask.shape, generator=random, device=layer.mask.device)
                k = int(self.zeta * layer.count)
                masked.set_mask(layer, exchange(layer.mask, layer.parameter, lots, layer.count, k), layer.count)
