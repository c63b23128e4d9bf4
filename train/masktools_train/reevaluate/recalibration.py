"""Batch norm after pruning: running statistics estimated anew."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import TypeAlias

import torch
from torch import Tensor, nn

from masktools_train.evaluation_mode import evaluating
from masktools_train.kept_buffers import kept_buffers

__all__ = ["BatchNorm", "equal_batches", "recalibrated", "tracking_norms"]

BatchNorm: TypeAlias = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d | nn.SyncBatchNorm


def tracking_norms(model: nn.Module) -> list[BatchNorm]:
    """Return the batch norms of a model that keep running statistics."""
    return [module for module in model.modules() if isinstance(module, BatchNorm) and module.running_mean is not None]


def equal_batches(inputs: Tensor, batch_size: int) -> tuple[Tensor, ...]:
    """Split inputs into batches that differ by one example at most, because each will count the same.

    Parameters
    ----------
    inputs
        Examples along the first axis.
    batch_size
        Least number of examples of a batch, unless there are fewer in all. A batch of one has no variance, so it is 2
        at least.
    """
    return inputs.tensor_split(max(1, len(inputs) // max(2, batch_size)))


@contextlib.contextmanager
def recalibrated(model: nn.Module, batches: Sequence[Tensor]) -> Iterator[None]:
    """Lend a model with running statistics estimated on batches; afterwards it is what it was.

    Mean and variance are plain averages over the batches (``momentum=None``), each with the statistics of its own that
    it is normalised by. Every other module is in evaluation mode: dropout drops nothing.

    Parameters
    ----------
    model
        A network with batch norms, as `tracking_norms` finds them.
    batches
        Inputs, on the model's device.
    """
    norms = tracking_norms(model)
    momenta = [norm.momentum for norm in norms]
    # All buffers and not those of the norms alone: a model may count its calls.
    with kept_buffers(model):
        try:
            with evaluating(model), torch.no_grad():
                for norm in norms:
                    norm.reset_running_stats()
                    norm.momentum = None
                    norm.training = True
                for batch in batches:
                    model(batch)
            yield
        finally:
            for norm, momentum in zip(norms, momenta, strict=True):
                norm.momentum = momentum
