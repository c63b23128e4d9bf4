"""Linear layers under a fixed mask: the gradient of active weights and of no others."""

import functools
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from masktools_train.execution.pattern import Pattern

__all__ = ["restrict_gradient", "restrictable"]


class _ActiveGradient(torch.autograd.Function):
    """``inputs @ weight.T + bias`` whose weight gradient is computed at the pattern only."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor | None, pattern: Pattern) -> Tensor:
        ctx.save_for_backward(inputs, weight)
        ctx.pattern = pattern
        return nn.functional.linear(inputs, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        inputs, weight = ctx.saved_tensors
        pattern: Pattern = ctx.pattern
        # Under autocast the layer computes in half precision between inputs and weights that need not.
        gradient = gradient.to(weight.dtype)
        rows = gradient.reshape(-1, gradient.shape[-1])
        columns = inputs.reshape(-1, inputs.shape[-1]).to(weight.dtype)
        for_inputs = (gradient @ weight).to(inputs.dtype) if ctx.needs_input_grad[0] else None
        for_weight = None
        if ctx.needs_input_grad[1]:
            for_weight = torch.zeros_like(weight)
            pattern.scatter(pattern.sampled(rows.t().contiguous(), columns), for_weight)
        for_bias = rows.sum(0) if ctx.needs_input_grad[2] else None
        return for_inputs, for_weight, for_bias, None


def restrictable(module: nn.Module) -> bool:
    """Whether a module's weight gradient can be restricted: a linear layer in single or double precision on a CPU.

    Convolutions have no such kernel: their gradient is computed in full and masked before the optimizer sees it.
    """
    return (
        type(module) is nn.Linear
        and module.weight.device.type == "cpu"
        and module.weight.dtype in (torch.float32, torch.float64)
    )


def restrict_gradient(module: nn.Linear, mask: Tensor) -> None:
    """Let a linear layer compute the gradient of active weights only, from now on.

    The forward pass and the gradients of inputs and bias are those of the layer; the gradient of an inactive
    weight is exactly 0 and costs nothing.

    Parameters
    ----------
    module
        A layer that is `restrictable`.
    mask
        Non-zero where active, shape of the weight; it must not change any more.
    """
    module.forward = functools.partial(_forward, module, Pattern(mask))  # type: ignore[method-assign]


def _forward(module: nn.Linear, pattern: Pattern, inputs: Tensor) -> Tensor:
    return _ActiveGradient.apply(inputs, module.weight, module.bias, pattern)  # type: ignore[no-untyped-call, no-any-return]
