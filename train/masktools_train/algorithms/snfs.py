"""SNFS: drop the smallest weights, grow where the momentum is largest, in the layers where it is large."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import pydantic
import torch

from masktools.errors import RecipeError
from masktools_train.algorithms.base import Algorithm
from masktools_train.algorithms.redistribution import redistributed
from masktools_train.algorithms.rigl import exchange

if TYPE_CHECKING:
    from torch import Tensor

    from masktools_train.masked_layers import MaskedLayers
    from masktools_train.sparse_layer import SparseLayer

__all__ = ["SNFS"]

_EPSILON = 1e-8


class SNFS(Algorithm):
    """Sparse networks from scratch: sparse momentum.

    At the end of every epoch but the last each layer drops ``ceil(rate * active)`` of its smallest weights;
    `rate` falls from `rate` to `rate_end` as a cosine. As many weights are grown over all layers, where the
    momentum is largest among those not kept: each layer's share is in proportion to the mean magnitude of the
    momentum of its active weights, and never more than .99 of its free places. The optimizer therefore
    sees dense gradients at every step and keeps its state of inactive weights up to date; the weights
    themselves stay exactly 0. The momentum of Adam is ``exp_avg / (sqrt(exp_avg_sq) + 1e-8)``.

    References
    ----------
    Dettmers and Zettlemoyer, Sparse Networks from Scratch, arXiv 1907.04840, and its code.
    """

    name = "snfs"
    summary = "drop by magnitude, grow by momentum, shift weights between layers"
    distributions = ("erk", "uniform")
    dynamic = True
    keeps_dense_state = True

    rate: float = pydantic.Field(0.5, gt=0, le=1)
    rate_end: float = pydantic.Field(0.005, ge=0, le=1)
    redistribution: Literal["momentum", "none"] = "momentum"
    """``none`` grows in each layer what it dropped."""

    def start(self, masked: MaskedLayers) -> None:
        """Draw the first masks at random."""
        if masked.steps_per_epoch is None:
            raise RecipeError("algorithm 'snfs' counts in epochs: give steps_per_epoch=")
        if masked.optimizer is not None and any(
            "betas" not in group and not group.get("momentum") for group in masked.optimizer.param_groups
        ):
            raise RecipeError("algorithm 'snfs' grows by momentum: it needs an optimizer with momentum above 0")
        masked.draw_random_masks()

    def reads_dense_gradient(self, step: int, total_steps: int) -> bool:
        """Return True: the momentum of inactive weights is made of their gradients."""
        del step, total_steps
        return True

    def dropped(self, active: int, step: int, total_steps: int) -> int:
        """Return how many weights a layer drops at a step."""
        cosine = (1 + math.cos(math.pi * step / total_steps)) / 2
        return math.ceil(active * (self.rate_end + (self.rate - self.rate_end) * cosine))

    @torch.no_grad()
    def after_step(self, masked: MaskedLayers) -> None:
        """Exchange weights within and between all layers that are not dense, where an epoch ends."""
        step, total = masked.step + 1, masked.total_steps
        if step % (masked.steps_per_epoch or total) or step >= total:
            return
        layers, momenta = [], []
        for layer in masked.layers:
            momentum = _momentum(masked, layer)
            if layer.prunable and 0 < layer.count < layer.size and momentum is not None:
                layers.append(layer)
                momenta.append(momentum)
        drops = [self.dropped(layer.count, step, total) for layer in layers]
        grows = drops
        if self.redistribution == "momentum" and layers:
            # Counts are needed on the host; the wait is once an epoch, which ends with reading the loss anyway.
            means = torch.stack(
                [
                    (m.abs() * layer.mask).sum(dtype=torch.float64) / layer.count
                    for layer, m in zip(layers, momenta, strict=True)
                ]
            )
            free = [layer.size - layer.count + k for layer, k in zip(layers, drops, strict=True)]
            grows = redistributed(sum(drops), means.tolist(), free)
        for layer, momentum, drop, grow in zip(layers, momenta, drops, grows, strict=True):
            mask = exchange(layer.mask, layer.parameter, momentum, layer.count, drop, grow)
            masked.set_mask(layer, mask, layer.count - drop + grow, keep_state=True)


def _momentum(masked: MaskedLayers, layer: SparseLayer) -> Tensor | None:
    """Return the momentum of all weights of a layer; None where the optimizer has none of it yet."""
    state: dict[str, Tensor] = masked.optimizer.state.get(layer.parameter, {}) if masked.optimizer is not None else {}
    if "exp_avg_sq" in state:
        return state["exp_avg"] / (state["exp_avg_sq"].sqrt() + _EPSILON)
    return state.get("momentum_buffer")
