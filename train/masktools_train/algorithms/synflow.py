"""SynFlow: prune before training and without data, by the paths that run through each weight."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pydantic
import torch

from masktools_train.algorithms.base import Algorithm
from masktools_train.algorithms.scoring import keep_highest, require_finite

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from masktools_train.masked_layers import MaskedLayers
    from masktools_train.probe import Probe

__all__ = ["SynFlow"]


class SynFlow(Algorithm):
    """Iterative synaptic flow pruning.

    The network is taken with the magnitudes of all parameters and buffers, in evaluation mode and in double
    precision (single precision overflows in deep networks), and sees an input of ones; the score of a weight is
    ``|w dR/dw|`` with R the sum of the outputs. Iteration i of n keeps the share ``d ** ((i + 1) / n)``. Of the data
    only the shape of an input is used. The mask is fixed from then on.

    References
    ----------
    Tanaka et al., Pruning neural networks without any data by iteratively conserving synaptic flow, arXiv 2006.05467,
    and its code.
    """

    name = "synflow"
    summary = "prune at the start by synaptic flow, without data"
    distributions = ("global", "uniform", "erk")

    iterations: int = pydantic.Field(100, ge=1)

    def start(self, masked: MaskedLayers) -> None:
        """Score and prune, again and again."""
        probe = masked.probe
        inputs, _ = probe.batch(self.name)
        ones = torch.ones_like(inputs[:1], dtype=torch.float64)
        for number in range(self.iterations):
            scores = _flow(probe, [layer.mask for layer in masked.layers], masked.parameters(), ones)
            require_finite(scores, self.name)
            keep_highest(masked, scores, lambda size, target, number=number: self.kept(size, target, number))  # type: ignore[misc]

    def kept(self, size: int, target: int, number: int) -> int:
        """Return how many of `size` weights stay at an iteration, from 0 on; `target` at the last."""
        if number + 1 >= self.iterations or target == 0:
            return target
        return max(target, math.ceil(size * math.pow(target / size, (number + 1) / self.iterations)))


def _flow(probe: Probe, masks: Sequence[Tensor], weights: Sequence[Tensor], ones: Tensor) -> list[Tensor]:
    """Return the scores of the weights under their masks."""
    with probe.looking(evaluating=True) as model:
        values: dict[str, Tensor] = {}
        for name, value in (*model.named_parameters(), *model.named_buffers()):
            values[name] = value.detach().double().abs() if value.is_floating_point() else value
        names = {id(value): name for name, value in model.named_parameters()}
        places = [names[id(weight)] for weight in weights]
        for place, mask in zip(places, masks, strict=True):
            values[place] = (values[place] * mask).requires_grad_()
        return _scores(model, values, places, ones)


def _scores(model: torch.nn.Module, values: Mapping[str, Tensor], places: Sequence[str], ones: Tensor) -> list[Tensor]:
    outputs = torch.func.functional_call(model, dict(values), (ones,))
    leaves = [values[place] for place in places]
    gradients = torch.autograd.grad(outputs.sum(), leaves, allow_unused=True, materialize_grads=True)
    return [(leaf.detach() * gradient).abs() for leaf, gradient in zip(leaves, gradients, strict=True)]
