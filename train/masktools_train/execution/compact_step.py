"""Let an optimizer step on the active weights alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, optim

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from masktools_train.execution.pattern import Pattern
    from masktools_train.execution.sparse_linear import SparseLinear

__all__ = ["CompactStep", "steps_elementwise"]

_ELEMENTWISE = (
    optim.SGD, optim.Adam, optim.AdamW, optim.Adamax, optim.NAdam, optim.RAdam, optim.RMSprop, optim.Adagrad,
)  # fmt: skip
"""Optimizers that treat every weight on its own, so that it does not matter in what shape they come."""


def steps_elementwise(optimizer: Optimizer) -> bool:
    """Whether the optimizer may be given active weights in a row; others see the whole weights as ever."""
    return type(optimizer) in _ELEMENTWISE


class CompactStep:
    """One layer's part in an optimizer's steps.

    Between `begin` and `end` the optimizer finds the active weights where the parameter was, with their gradient and
    state. Afterwards the parameter is dense again and up to date. Its state stays as compact as it is (which saves its
    memory too) until `settle` makes it dense.

    Parameters
    ----------
    layer
        The layer.
    """

    def __init__(self, layer: SparseLinear) -> None:
        self._layer = layer
        self._open = False
        self._of: Pattern | None = None

    def begin(self, optimizer: Optimizer) -> bool:
        """Put the active weights in the place of the parameter; return False where there is no gradient."""
        layer, gradient = self._layer, self._layer.weight.grad
        if gradient is None:
            self.settle(optimizer)
            return False
        pattern = layer.refresh()
        if pattern is not self._of:
            self.settle(optimizer)
            self._of = pattern
        values = layer.values
        # Not what the backward pass left: a gradient scaler changes gradients past autograd's count of changes.
        values.grad = pattern.gather(gradient)
        state = optimizer.state.pop(layer.weight, {})
        for key, value in state.items():
            if isinstance(value, Tensor) and value.shape == layer.weight.shape:
                state[key] = pattern.gather(value)
        optimizer.state[values] = state
        self._swap(optimizer, layer.weight, values)
        self._open = True
        return True

    def end(self, optimizer: Optimizer) -> None:
        """Put the parameter back, with what was trained; nothing where that was done."""
        if not self._open:
            return
        self._open = False
        layer = self._layer
        values = layer.values
        self._swap(optimizer, values, layer.weight)
        values.grad = None
        state = optimizer.state.pop(values, {})
        if state:
            optimizer.state[layer.weight] = state
        layer.write_back()

    def settle(self, optimizer: Optimizer) -> None:
        """Make the optimizer's state of this layer dense: 0 wherever no weight was active in its last step."""
        state = optimizer.state.get(self._layer.weight)
        if state is None or self._of is None:
            return
        for key, value in state.items():
            # Of another shape are such as Adam's count of steps.
            if isinstance(value, Tensor) and value.shape == self._of.flat.shape:
                state[key] = torch.zeros_like(self._layer.weight, dtype=value.dtype)
                self._of.scatter(value, state[key])

    @staticmethod
    def _swap(optimizer: Optimizer, old: Tensor, new: Tensor) -> None:
        for group in optimizer.param_groups:
            for number, parameter in enumerate(group["params"]):
                if parameter is old:
                    group["params"][number] = new
                    return
