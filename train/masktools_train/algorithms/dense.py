"""No mask: the control."""

from __future__ import annotations

from typing import TYPE_CHECKING

from masktools.errors import RecipeError
from masktools_train.algorithms.base import Algorithm

if TYPE_CHECKING:
    from masktools_train.masked_layers import MaskedLayers

__all__ = ["Dense"]


class Dense(Algorithm):
    """Train all weights."""

    name = "dense"
    summary = "no mask, the control"
    distributions = ("uniform",)

    def start(self, masked: MaskedLayers) -> None:
        """Keep every mask full.

        Raises
        ------
        RecipeError
            If a density below 1 was asked for.
        """
        if masked.density != 1:
            raise RecipeError(f"algorithm 'dense' has density 1, not {masked.density}")
