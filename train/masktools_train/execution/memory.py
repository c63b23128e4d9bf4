"""Whether somebody else has changed a tensor, or holds its memory."""

import torch
from torch import Tensor

__all__ = ["held", "version"]


def version(tensor: Tensor) -> int:
    """Return how often a tensor was changed in place, by whatever name: autograd counts for its own sake.

    Changes by way of ``.data`` are not counted, there as here.
    """
    return tensor._version  # noqa: SLF001


def _users(tensor: Tensor) -> int:
    count: int = torch._C._storage_Use_Count(tensor.untyped_storage()._cdata)  # noqa: SLF001
    return count


_CAN_TELL = hasattr(torch._C, "_storage_Use_Count")  # noqa: SLF001
_ALONE = _users(torch.zeros(1)) if _CAN_TELL else 0
"""Users of the memory of a tensor that no other shares, the asking included."""


def held(tensor: Tensor) -> bool:
    """Whether another tensor uses the memory of this one; also where this build of torch cannot tell."""
    return not _CAN_TELL or _users(tensor) > _ALONE
