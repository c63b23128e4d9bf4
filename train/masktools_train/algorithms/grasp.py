"""GraSP: prune once before training, so that gradients keep flowing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pydantic
import torch

from masktools_train.algorithms.base import Algorithm
from masktools_train.algorithms.scoring import keep_highest, require_finite

if TYPE_CHECKING:
    from masktools_train.masked_layers import MaskedLayers

__all__ = ["GraSP"]


class GraSP(Algorithm):
    """Gradient signal preservation.

    With the gradient ``g`` and the Hessian ``H`` of the loss by all prunable weights, the weights of largest
    ``-w * (H g)`` are removed; the sign counts. Outputs are divided by `temperature`, and the loss is the mean
    over the first `per_class` examples of every class, taken in parts of the size of a batch. The mask is fixed from
    then on.

    References
    ----------
    Wang, Zhang and Grosse, Picking Winning Tickets Before Training by Preserving Gradient Flow, arXiv 2002.07376, and
    its code.
    """

    name = "grasp"
    summary = "prune once at the start so that the gradient keeps its norm"
    distributions = ("global", "uniform", "erk")

    temperature: float = pydantic.Field(200.0, gt=0)
    per_class: int = pydantic.Field(25, ge=1)

    def start(self, masked: MaskedLayers) -> None:
        """Score the initial weights and keep those that gradient flow needs most."""
        probe, weights = masked.probe, masked.parameters()
        inputs, targets, size = probe.examples(self.name, self.per_class)
        parts = [
            (part, labels, len(labels) / len(targets))
            for part, labels in zip(torch.split(inputs, size), torch.split(targets, size), strict=True)
        ]
        gradient = [torch.zeros_like(weight) for weight in weights]
        product = [torch.zeros_like(weight) for weight in weights]
        with probe.looking() as model:
            for part, labels, share in parts:
                loss = share * probe.loss(model(part) / self.temperature, labels)
                found = torch.autograd.grad(loss, weights, allow_unused=True, materialize_grads=True)
                torch._foreach_add_(gradient, found)
            for part, labels, share in parts:
                loss = share * probe.loss(model(part) / self.temperature, labels)
                found = torch.autograd.grad(loss, weights, create_graph=True, allow_unused=True, materialize_grads=True)
                # The derivative of g(w) . g, the second g held, is H g.
                along = torch.stack([(f * g).sum() for f, g in zip(found, gradient, strict=True)]).sum()
                found = torch.autograd.grad(along, weights, allow_unused=True, materialize_grads=True)
                torch._foreach_add_(product, found)
        scores = [weight.detach() * hg for weight, hg in zip(weights, product, strict=True)]
        require_finite(scores, self.name)
        keep_highest(masked, scores)
