"""Prune to the layer budget by a score: what the methods share that rank weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from masktools.errors import TrainingError
from masktools_train.selection import top_k_mask

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from masktools_train.masked_layers import MaskedLayers

__all__ = ["keep_highest", "require_finite", "whole"]


def whole(size: int, target: int) -> int:
    """Return the target: prune all that has to go at once."""
    del size
    return target


@torch.no_grad()
def keep_highest(masked: MaskedLayers, scores: Sequence[Tensor], count: Callable[[int, int], int] = whole) -> None:
    """Keep the active weights of highest score: of all layers together where they compete, else layer by layer.

    Parameters
    ----------
    masked
        The layers.
    scores
        One tensor a layer, shape of its weight.
    count
        From the number of weights that compete and how many of them stay in the end to how many stay now.
    """
    # Whatever its score, a weight that is not active cannot be kept: it would come back untrained.
    scores = [
        torch.where(layer.mask.bool(), score, -torch.inf) for layer, score in zip(masked.layers, scores, strict=True)
    ]
    if masked.distribution == "global":
        dense = sum(layer.size for layer in masked.layers if not layer.prunable)
        masked.keep_highest_globally(scores, dense + count(masked.size - dense, masked.target - dense))
        return
    for layer, score in zip(masked.layers, scores, strict=True):
        if layer.target is not None and layer.target < layer.size:
            kept = count(layer.size, layer.target)
            masked.set_mask(layer, top_k_mask(score, kept), kept)


def require_finite(scores: Sequence[Tensor], algorithm: str) -> None:
    """Raise a `TrainingError` where a score is not finite: no order, no mask."""
    if not all(bool(torch.isfinite(score).all()) for score in scores):
        raise TrainingError(f"algorithm {algorithm!r}: the scores of the initial weights are not finite")
