"""Whether a linear layer is faster sparse: tried out, on this machine, at this density and batch size."""

import time
from collections.abc import Callable

import torch
from torch import nn

from masktools_train.execution.sparse_linear import SparseLinear

__all__ = ["measured_ratio"]

_ROUNDS = 5


@torch.no_grad()
def measured_ratio(layer: SparseLinear, inputs: int, input_gradient: bool) -> float:
    """Return the time of a sparse training step of one layer as a ratio to the time of a masked one.

    Products and the passes over the weights that come with them are timed in turn, the fastest of several rounds each,
    because whatever else runs on the machine can only add. Neither weights nor random numbers are touched.

    Parameters
    ----------
    layer
        The layer.
    inputs
        Number of inputs in a batch.
    input_gradient
        Whether the gradient of the inputs is needed, as it is in all but the first layer.
    """
    weight, mask = layer.weight.detach(), layer.mask
    pattern, values = layer.refresh(), layer.values.detach()
    fan_out, fan_in = weight.shape
    batch = torch.linspace(-1, 1, inputs * fan_in, dtype=weight.dtype).view(inputs, fan_in)
    gradient = torch.linspace(-1, 1, inputs * fan_out, dtype=weight.dtype).view(inputs, fan_out)
    scratch = torch.zeros_like(weight)

    def masked() -> None:
        nn.functional.linear(batch, weight)
        if input_gradient:
            _ = gradient @ weight
        # Gradient masked, weight and one state of the optimizer updated, weight masked.
        scratch.copy_(gradient.t() @ batch).mul_(mask)
        scratch.add_(scratch).add_(weight).mul_(mask)

    def sparse() -> None:
        columns = batch.t().contiguous()
        _ = pattern.times(values, columns).t().contiguous()
        rows = gradient.t().contiguous()
        if input_gradient:
            _ = pattern.transposed_times(values, rows).t().contiguous()
        sampled = pattern.sampled(rows, columns.t())
        # Gradient, weight and state are written where others read them.
        for _round in range(3):
            pattern.scatter(sampled, scratch)
        pattern.gather(scratch).add_(values)

    times = {masked: float("inf"), sparse: float("inf")}
    masked()
    sparse()
    for _ in range(_ROUNDS):
        for kind in times:
            times[kind] = min(times[kind], _seconds(kind))
    return times[sparse] / times[masked]


def _seconds(kind: Callable[[], None]) -> float:
    begun = time.perf_counter()
    kind()
    return time.perf_counter() - begun
