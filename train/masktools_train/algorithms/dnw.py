"""Discovering Neural Wirings: the top weights of a network whose weights all keep training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from masktools_train.algorithms.base import Algorithm
from masktools_train.carried_selection import carried_top_k_mask

if TYPE_CHECKING:
    from masktools_train.masked_layers import MaskedLayers

__all__ = ["DNW"]


class DNW(Algorithm):
    """Use the largest weights of each layer in every forward pass; train all of them, straight through.

    With the distribution ``global`` the layers compete for one common count.

    References
    ----------
    Wortsman et al., Discovering Neural Wirings, arXiv 1906.00586.
    """

    name = "dnw"
    summary = "top magnitudes at every step, all weights keep training"
    distributions = ("uniform", "erk", "global")
    dynamic = True
    trains_dense = True

    def start(self, masked: MaskedLayers) -> None:
        """Select among the initial weights."""
        self._select(masked)

    def after_step(self, masked: MaskedLayers) -> None:
        """Select again among the weights as the optimizer left them."""
        self._select(masked)

    @torch.no_grad()
    def _select(self, masked: MaskedLayers) -> None:
        if masked.distribution == "global":
            masked.keep_largest_globally(masked.target)
            return
        for layer in masked.layers:
            if layer.count < layer.size:
                mask, layer.band = carried_top_k_mask(layer.dense_values.abs(), layer.count, layer.band)
                masked.set_mask(layer, mask, layer.count)
