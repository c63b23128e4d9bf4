"""Random masks that keep what a real mask has in numbers and lose how it is arranged."""

import numpy as np
from numpy.typing import NDArray

from masktools.errors import StructureError

__all__ = ["layer_shuffle"]


def layer_shuffle(mask: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Draw a mask with as many active weights as a layer's, every such mask equally likely.

    The second rung of the null ladder (global shuffle, *layer shuffle*, per-neuron shuffle, degree-preserving swaps,
    kernel-tap shuffle): it keeps the density of the layer, and nothing else.

    Parameters
    ----------
    mask
        Boolean mask of one layer, of any shape; it is not changed.
    rng
        Source of randomness.

    Returns
    -------
    ndarray
        A new boolean array of the same shape with exactly the same number of active weights.

    Raises
    ------
    StructureError
        If `mask` is not boolean.
    """
    if mask.dtype != np.bool_:
        raise StructureError(f"a mask is boolean, got {mask.dtype}")
    shuffled = np.zeros(mask.size, dtype=np.bool_)
    # Which weights are active is all there is to a mask; their order within the draw does not matter.
    shuffled[rng.choice(mask.size, int(np.count_nonzero(mask)), replace=False, shuffle=False)] = True
    return shuffled.reshape(mask.shape)
