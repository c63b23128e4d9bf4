"""Edge-popup: weights stay as they were drawn, scores decide which of them are used."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from masktools_train.algorithms.base import Algorithm
from masktools_train.seeding import generator
from masktools_train.selection import top_k_mask

if TYPE_CHECKING:
    from torch import Tensor

    from masktools_train.masked_layers import MaskedLayers
    from masktools_train.sparse_layer import SparseLayer

__all__ = ["EdgePopup"]


class EdgePopup(Algorithm):
    """Find a subnetwork of random weights.

    Every weight has a score, drawn Kaiming-uniform with a = sqrt(5), that is uniform within ``1 / sqrt(fan in)``. Each
    layer uses the weights of largest score magnitude; `density` is the share that is *kept* (the papers give it as
    the percentage of weights). The optimizer trains the scores, straight through: the derivative by a score is
    ``g w sign(score)`` with ``g`` that of the effective weight. Weights keep their initial values for ever, and so do
    biases and all other parameters unless `train_others` is set.

    References
    ----------
    Ramanujan et al., What's Hidden in a Randomly Weighted Neural Network?, arXiv 1911.13299, and its code.
    """

    name = "edge-popup"
    summary = "frozen random weights, trained scores choose among them"
    distributions = ("uniform", "erk")
    dynamic = True
    trains_dense = True

    train_others: bool = False

    @classmethod
    def why_not_frozen(cls) -> str | None:
        """Return that nothing would be left to train."""
        return "algorithm 'edge-popup' trains nothing but its mask"

    def start(self, masked: MaskedLayers) -> None:
        """Draw the scores and select by them."""
        self._select(masked)

    @torch.no_grad()
    def expose(self, masked: MaskedLayers) -> None:
        """Put the scores and their gradients where the optimizer looks for weights and theirs."""
        weights = masked.parameters()
        for index, (layer, weight) in enumerate(zip(masked.layers, masked.dense_weights(), strict=True)):
            scores = _scores(masked, index, layer)
            if layer.parameter.grad is not None:
                layer.parameter.grad.mul_(weight).mul_(scores.sign())
            layer.parameter.detach().copy_(scores)
        if not self.train_others and masked.optimizer is not None:
            known = {id(weight) for weight in weights}
            for group in masked.optimizer.param_groups:
                for parameter in group["params"]:
                    if id(parameter) not in known:
                        parameter.grad = None

    @torch.no_grad()
    def conceal(self, masked: MaskedLayers) -> None:
        """Take the scores out again and put the weights back."""
        for index, (layer, weight) in enumerate(zip(masked.layers, masked.dense_weights(), strict=True)):
            _scores(masked, index, layer).copy_(layer.parameter.detach())
            layer.parameter.detach().copy_(weight)

    def after_step(self, masked: MaskedLayers) -> None:
        """Select by the scores as the optimizer left them."""
        self._select(masked)

    @torch.no_grad()
    def _select(self, masked: MaskedLayers) -> None:
        for index, layer in enumerate(masked.layers):
            scores = _scores(masked, index, layer)
            if layer.target is not None and layer.target < layer.size:
                masked.set_mask(layer, top_k_mask(scores.abs(), layer.target), layer.target)


def _scores(masked: MaskedLayers, index: int, layer: SparseLayer) -> Tensor:
    """Return the scores of a layer, drawn when they are needed first: the same on every device."""
    if layer.scores is None:
        shape = layer.parameter.shape
        bound = 1 / math.sqrt(math.prod(shape[1:]))
        random = generator("cpu", masked.seed, "scores", index)
        drawn = (2 * torch.rand(shape, generator=random, dtype=torch.float64) - 1) * bound
        layer.scores = drawn.to(layer.parameter.device, layer.parameter.dtype)
    return layer.scores
