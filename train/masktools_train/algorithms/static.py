"""A fixed random mask."""

from __future__ import annotations

from typing import TYPE_CHECKING

from masktools_train.algorithms.base import Algorithm

if TYPE_CHECKING:
    from masktools_train.masked_layers import MaskedLayers

__all__ = ["Static"]


class Static(Algorithm):
    """Draw a mask at random with the layer budget and never change it."""

    name = "static"
    summary = "fixed random mask"
    distributions = ("erk", "uniform")

    def start(self, masked: MaskedLayers) -> None:
        """Draw the masks."""
        masked.draw_random_masks()
