"""Shuffles within strata: of the whole network, of each layer, of each unit's inputs, of each kernel's taps."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from masktools.errors import StructureError
from masktools.nulls.choice import choose

__all__ = ["Masks", "global_shuffle", "layer_shuffle", "neuron_shuffle", "shuffled", "tap_shuffle"]

Masks = Mapping[str, NDArray[np.bool_]]
"""Boolean mask by layer name, axes (out, in, kernel ...)."""


def shuffled(mask: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Draw a mask with as many active weights as another one, every such mask equally likely.

    Parameters
    ----------
    mask
        Boolean mask of any shape; it is not changed.
    rng
        Source of randomness.

    Returns
    -------
    ndarray
        A new boolean array of the same shape.

    Raises
    ------
    StructureError
        If `mask` is not boolean.
    """
    if mask.dtype != np.bool_:
        raise StructureError(f"a mask is boolean, got {mask.dtype}")
    drawn = np.zeros(mask.size, dtype=np.bool_)
    # Which weights are active is all there is to a mask; their order within the draw does not matter.
    drawn[rng.choice(mask.size, int(np.count_nonzero(mask)), replace=False, shuffle=False)] = True
    return drawn.reshape(mask.shape)


def global_shuffle(masks: Masks, rng: np.random.Generator) -> dict[str, NDArray[np.bool_]]:
    """Draw masks with as many active weights in all: not even the densities of the layers stay.

    Parameters
    ----------
    masks
        Boolean masks; they are not changed.
    rng
        Source of randomness.
    """
    if not masks:
        return {}
    drawn = shuffled(np.concatenate([mask.reshape(-1) for mask in masks.values()]), rng)
    parts = np.split(drawn, np.cumsum([mask.size for mask in masks.values()])[:-1])
    return {name: part.reshape(masks[name].shape) for name, part in zip(masks, parts, strict=True)}


def layer_shuffle(masks: Masks, rng: np.random.Generator) -> dict[str, NDArray[np.bool_]]:
    """Draw masks with as many active weights in every layer.

    Parameters
    ----------
    masks, rng
        As for `global_shuffle`.
    """
    return {name: shuffled(mask, rng) for name, mask in masks.items()}


def neuron_shuffle(masks: Masks, rng: np.random.Generator) -> dict[str, NDArray[np.bool_]]:
    """Draw masks with as many active weights at every output unit: its fan-in stays, its inputs do not.

    Parameters
    ----------
    masks, rng
        As for `global_shuffle`.
    """
    return {name: _within(mask, (len(mask), mask.size // max(1, len(mask))), rng) for name, mask in masks.items()}


def tap_shuffle(masks: Masks, rng: np.random.Generator) -> dict[str, NDArray[np.bool_]]:
    """Draw masks with as many active taps in every kernel: which channels are joined stays, and how often.

    Layers without a kernel stay as they are.

    Parameters
    ----------
    masks, rng
        As for `global_shuffle`.
    """
    drawn = {}
    for name, mask in masks.items():
        kernels = int(np.prod(mask.shape[:2]))
        drawn[name] = _within(mask, (kernels, mask.size // max(1, kernels)), rng) if mask.ndim > 2 else mask.copy()
    return drawn


def _within(mask: NDArray[np.bool_], shape: tuple[int, int], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Shuffle each row of the mask seen in this shape."""
    counts = np.count_nonzero(mask.reshape(shape), axis=1)
    return choose(counts, np.full(shape[0], shape[1]), rng).reshape(mask.shape)
