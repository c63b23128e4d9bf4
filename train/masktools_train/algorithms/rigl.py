"""RigL: drop the smallest weights, grow where the dense gradient is largest."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pydantic
import torch

from masktools_train.algorithms.base import Algorithm
from masktools_train.selection import top_k_mask

if TYPE_CHECKING:
    from torch import Tensor

    from masktools_train.masked_layers import MaskedLayers

__all__ = ["RigL"]


class RigL(Algorithm):
    """Rigging the Lottery.

    Every `delta_t` steps each layer drops ``k = int(active * alpha / 2 * (1 + cos(pi t / T_end)))`` of its
    smallest weights and grows the ``k`` weights of largest gradient among all that it did not keep. A weight
    that was just dropped may grow back and then keeps its value and momentum; other new weights start at 0
    with cleared optimizer state. The update takes the place of that optimizer step.

    References
    ----------
    Evci et al., Rigging the Lottery: Making All Tickets Winners, arXiv 1911.11134.
    """

    name = "rigl"
    summary = "drop by magnitude, grow by dense gradient"
    distributions = ("erk", "uniform")
    dynamic = True

    alpha: float = pydantic.Field(0.3, gt=0, le=1)
    delta_t: int = pydantic.Field(100, ge=1)
    t_end: float = pydantic.Field(0.75, gt=0, le=1)

    def start(self, masked: MaskedLayers) -> None:
        """Draw the first masks at random."""
        masked.draw_random_masks()

    def reads_dense_gradient(self, step: int, total_steps: int) -> bool:
        """Return whether the masks are updated at this step: every `delta_t`, before `t_end` of training."""
        return step % self.delta_t == 0 and step < self.t_end * total_steps

    def exchanged(self, active: int, step: int, total_steps: int) -> int:
        """Return how many weights a layer exchanges at a step (`k` above)."""
        return int(active * self.alpha / 2 * (1 + math.cos(math.pi * step / (self.t_end * total_steps))))

    @torch.no_grad()
    def replace_step(self, masked: MaskedLayers) -> bool:
        """Exchange weights in every layer that is not dense."""
        step, total = masked.step + 1, masked.total_steps
        if not self.reads_dense_gradient(step, total):
            return False
        for layer in masked.layers:
            if layer.count < layer.size and layer.parameter.grad is not None:
                k = self.exchanged(layer.count, step, total)
                mask = exchange(layer.mask, layer.parameter, layer.parameter.grad, layer.count, k)
                masked.set_mask(layer, mask, layer.count)
        return True


def exchange(mask: Tensor, weight: Tensor, gradient: Tensor, count: int, k: int, grown: int | None = None) -> Tensor:
    """Return the mask after dropping the `k` smallest active weights and growing `k` by gradient.

    Parameters
    ----------
    mask
        0 or 1, with `count` ones.
    weight, gradient
        Dense values, shape of the mask.
    count, k
        Active weights, and how many of them to drop.
    grown
        How many to grow, if not as many.

    Returns
    -------
    Tensor
        Boolean, exactly ``count - k + grown`` true.
    """
    active = mask.bool()
    kept = top_k_mask(torch.where(active, weight.abs(), -1.0), count - k)
    new = top_k_mask(torch.where(kept, -1.0, gradient.abs()), k if grown is None else grown)
    return kept | new
