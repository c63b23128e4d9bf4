"""Buffers that are afterwards what they were, whatever running a model does to them."""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

__all__ = ["kept_buffers"]


@contextlib.contextmanager
def kept_buffers(model: nn.Module) -> Iterator[None]:
    """Let buffers change inside the block, and put each back: the tensor itself, its values, and none beside.

    Parameters
    ----------
    model
        A module may write into a buffer (batch norm), put another tensor in its place, or make one that was None.
    """
    held = [vars(module)["_buffers"] for module in model.modules()]
    before = [dict(buffers) for buffers in held]
    # Into one that is expanded, whose entries share memory, torch lets nobody write.
    values = [(buffer, buffer.detach().clone()) for buffer in model.buffers() if not _is_expanded(buffer)]
    try:
        yield
    finally:
        for buffers, known in zip(held, before, strict=True):
            buffers.clear()
            buffers.update(known)
        with torch.no_grad():
            for buffer, value in values:
                buffer.copy_(value)


def _is_expanded(buffer: Tensor) -> bool:
    if buffer.layout != torch.strided:
        return False
    return any(stride == 0 and size > 1 for stride, size in zip(buffer.stride(), buffer.shape, strict=True))
