"""SNIP: prune once before training, by what each connection does to the loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from masktools_train.algorithms.base import Algorithm
from masktools_train.algorithms.scoring import keep_highest, require_finite

if TYPE_CHECKING:
    from masktools_train.masked_layers import MaskedLayers

__all__ = ["SNIP"]


class SNIP(Algorithm):
    """Single-shot network pruning.

    The score of a weight is the magnitude of the derivative of the loss by its mask, ``|w g|``, on the first
    batch. The mask is fixed from then on.

    References
    ----------
    Lee, Ajanthan and Torr, SNIP, arXiv 1810.02340.
    """

    name = "snip"
    summary = "prune once at the start by |weight x gradient|"
    distributions = ("global", "uniform", "erk")

    def start(self, masked: MaskedLayers) -> None:
        """Score the initial weights and keep the highest."""
        probe, weights = masked.probe, masked.parameters()
        inputs, targets = probe.batch(self.name)
        with probe.looking() as model:
            loss = probe.loss(model(inputs), targets)
            gradients = torch.autograd.grad(loss, weights, allow_unused=True, materialize_grads=True)
        scores = [(w.detach() * g).abs() for w, g in zip(weights, gradients, strict=True)]
        require_finite(scores, self.name)
        keep_highest(masked, scores)
