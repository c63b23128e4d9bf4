"""The channel graph of a layer: which input units are joined to which output units, by any kernel tap."""

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from masktools.errors import StructureError

__all__ = ["channel_adjacency", "channel_blocks"]


def channel_blocks(mask: NDArray[np.bool_], groups: int = 1) -> NDArray[np.bool_]:
    """Return which units of a layer are joined, group by group: no weight joins units of different groups.

    Parameters
    ----------
    mask
        Boolean, axes (out, in per group, kernel ...).
    groups
        Number of groups of a convolution.

    Returns
    -------
    ndarray
        Boolean, shape (groups, outputs per group, inputs per group): whether any tap is active. A view of the mask
        where there is one tap.

    Raises
    ------
    StructureError
        If the mask is not boolean or has fewer than two axes, or the outputs do not split into the groups.
    """
    if mask.dtype != np.bool_:
        raise StructureError(f"a mask is boolean, got {mask.dtype}")
    if len(mask.shape) < 2:
        raise StructureError(f"a mask of shape {mask.shape} has no input and output units")
    outputs, inputs, *kernel = mask.shape
    if groups < 1 or outputs % groups:
        raise StructureError(f"{outputs} outputs do not split into {groups} groups")
    blocks = mask.reshape(groups, outputs // groups, inputs, int(np.prod(kernel)))
    return blocks[..., 0] if blocks.shape[3] == 1 else np.asarray(blocks.any(axis=3))


def channel_adjacency(mask: NDArray[np.bool_], groups: int = 1) -> scipy.sparse.csr_array:
    """Return the adjacency matrix of the channel graph, whose edges have no direction and count once.

    Parameters
    ----------
    mask, groups
        As for `channel_blocks`.

    Returns
    -------
    scipy.sparse.csr_array
        Boolean and symmetric, shape (inputs + outputs,) * 2: the input units of all groups, then the output units.

    Raises
    ------
    StructureError
        As for `channel_blocks`.
    """
    blocks = channel_blocks(mask, groups)
    _, outputs, inputs = blocks.shape
    group, out, into = np.nonzero(blocks)
    source = (group * inputs + into).astype(np.int32)
    target = (group * outputs + out + groups * inputs).astype(np.int32)
    size = groups * (inputs + outputs)
    ends = np.concatenate((source, target)), np.concatenate((target, source))
    return scipy.sparse.csr_array((np.ones(2 * source.size, dtype=np.bool_), ends), shape=(size, size))
