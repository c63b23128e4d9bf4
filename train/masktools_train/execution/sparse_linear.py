"""Linear layers that compute with their active weights alone, forward and backward."""

import functools
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from masktools_train.execution.memory import held, version
from masktools_train.execution.pattern import Pattern

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["SparseLinear", "run_sparse"]


class SparseLinear:
    """What a linear layer under a mask keeps to compute sparsely: the active weights in a row, and where they belong.

    The dense parameter is what everything else reads and writes: after every step it holds what was trained here.
    What was derived from it is made anew when somebody has changed it since, or the mask.

    Parameters
    ----------
    weight
        The parameter, shape (outputs, inputs), contiguous; it is 0 where the mask is.
    mask
        0 or 1, in the weight's dtype. It may change.

    Attributes
    ----------
    enabled
        Whether to compute sparsely at present.
    dense_gradient
        Whether the gradient of inactive weights is asked for at present.
    undecided
        Called before the next training pass with the number of inputs and whether their gradient is needed, to
        decide on `enabled`; None where that is decided.
    values
        The active weights, for an optimizer to train; valid after `refresh`.
    """

    def __init__(self, weight: nn.Parameter, mask: Tensor) -> None:
        self.weight, self.mask = weight, mask
        self.enabled, self.dense_gradient = True, False
        self.undecided: Callable[[int, bool], None] | None = None
        self._forget()

    def _forget(self) -> None:
        self._pattern: Pattern | None = None
        self._seen: tuple[int, ...] = ()
        self._buffer: Tensor | None = None
        self._clean = -1
        self.values = nn.Parameter(self.weight.new_empty(0))

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what was derived: the versions of a copy start anew, and would tell nothing."""
        kept = ("weight", "mask", "enabled", "dense_gradient")
        return {name: getattr(self, name) for name in kept}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take up what was kept."""
        self.__dict__.update(state)
        self.undecided = None
        self._forget()

    def refresh(self) -> Pattern:
        """Bring pattern and values up to date with mask and weight."""
        state = (version(self.mask), version(self.weight), self.weight.data_ptr())
        if self._pattern is None or self._seen != state:
            # What is made here outlives the mode in which a caller happens to be.
            with torch.inference_mode(False), torch.no_grad():
                if self._pattern is None or self._seen[0] != state[0]:
                    self._pattern, self._buffer = Pattern(self.mask), None
                    self.values = nn.Parameter(self._pattern.gather(self.weight))
                else:
                    self.values.copy_(self._pattern.gather(self.weight))
            self._seen = state
        return self._pattern

    def write_back(self) -> None:
        """Bring the weight up to date with the values, after these were trained."""
        self.pattern_of_values.scatter(self.values.detach(), self.weight)
        self._seen = (version(self.mask), version(self.weight), self.weight.data_ptr())

    @property
    def pattern_of_values(self) -> Pattern:
        """The pattern to which `values` belong, whatever has become of the mask."""
        assert self._pattern is not None  # noqa: S101  (values are made together with it)
        return self._pattern

    def spread(self, pattern: Pattern, values: Tensor) -> Tensor:
        """Return a gradient of the weight's shape: `values` at the pattern, 0 elsewhere.

        The memory of the last gradient is used again, so that nothing of the weight's size is written or even allocated
        in a step: unless that gradient is still held somewhere, or was changed in place since.
        """
        buffer = self._buffer
        if buffer is None or pattern is not self._pattern or held(buffer) or version(buffer) != self._clean:
            buffer = torch.zeros_like(self.weight)
        pattern.scatter(values, buffer)
        if pattern is self._pattern:
            self._buffer, self._clean = buffer, version(buffer)
        # A tensor of its own that shares the memory: autograd takes over what nobody else holds, else it copies.
        return buffer.detach()


class _Linear(torch.autograd.Function):
    """``inputs @ weight.T + bias`` by way of the active weights."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor | None, layer: SparseLinear) -> Tensor:
        del weight
        pattern = layer.refresh()
        values = layer.values.detach()
        columns = inputs.detach().reshape(-1, inputs.shape[-1]).t().contiguous()
        outputs = pattern.times(values, columns)
        if bias is not None:
            outputs += bias.unsqueeze(1)
        ctx.save_for_backward(columns, values)
        ctx.layer, ctx.pattern, ctx.shape, ctx.dense = layer, pattern, inputs.shape, layer.dense_gradient
        return _rows(outputs, inputs.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        columns, values = ctx.saved_tensors
        layer: SparseLinear = ctx.layer
        pattern: Pattern = ctx.pattern
        rows = gradient.reshape(-1, gradient.shape[-1]).t().contiguous()
        for_inputs = for_weight = None
        if ctx.needs_input_grad[0]:
            for_inputs = _rows(pattern.transposed_times(values, rows), ctx.shape)
        if ctx.needs_input_grad[1] and ctx.dense:
            for_weight = rows @ columns.t()
        elif ctx.needs_input_grad[1]:
            for_weight = layer.spread(pattern, pattern.sampled(rows, columns.t()))
        for_bias = rows.sum(1) if ctx.needs_input_grad[2] else None
        return for_inputs, for_weight, for_bias, None


def _rows(columns: Tensor, shape: torch.Size) -> Tensor:
    """Return what was computed for a batch with one column an example, with one row an example as in `shape`.

    A matrix stays in memory as it is, one feature after the other: that is how the next sparse layer wants it, and what
    lies between keeps it so. With more dimensions the usual order is made, on which code with ``view`` relies.
    """
    rows = columns.t()
    return rows if len(shape) == 2 else rows.contiguous().view(*shape[:-1], rows.shape[-1])


def run_sparse(module: nn.Linear, layer: SparseLinear) -> None:
    """Let a linear layer compute sparsely from now on, whenever `layer` is enabled."""
    module.forward = functools.partial(_forward, module, layer)  # type: ignore[method-assign]


def _forward(module: nn.Linear, layer: SparseLinear, inputs: Tensor) -> Tensor:
    # Autocast and odd dtypes are the dense layer's business, and so is a weight that was put in place of the known one.
    usual = torch.is_autocast_enabled("cpu") or inputs.dtype != layer.weight.dtype or not inputs.numel()
    if not usual and layer.undecided is not None and torch.is_grad_enabled():
        layer.undecided(inputs.numel() // inputs.shape[-1], inputs.requires_grad)
    if usual or not layer.enabled or module.weight is not layer.weight:
        return nn.functional.linear(inputs, module.weight, module.bias)
    return _Linear.apply(inputs, module.weight, module.bias, layer)  # type: ignore[no-untyped-call, no-any-return]
