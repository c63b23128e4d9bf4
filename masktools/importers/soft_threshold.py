"""Soft threshold weight reparameterisation (STR): every weight is shrunk towards 0 by a trained threshold."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masktools.errors import CheckpointError
from masktools.importers.checkpoint import Checkpoint
from masktools.importers.parts import ImportFormat, Parts
from masktools.snapshot.streamed import StreamedArray

__all__ = ["SOFT_THRESHOLD"]

_THRESHOLD = "sparseThreshold"


def _recognises(checkpoint: Checkpoint) -> bool:
    return any(name.rpartition(".")[2] == _THRESHOLD for name in checkpoint.arrays)


def _parts(checkpoint: Checkpoint) -> Parts:
    arrays = {name: array for name, array in checkpoint.arrays.items() if name.rpartition(".")[2] != _THRESHOLD}
    masks: dict[str, StreamedArray | None] = {}
    for name, threshold in checkpoint.arrays.items():
        if name.rpartition(".")[2] != _THRESHOLD:
            continue
        weight = f"{name.removesuffix(_THRESHOLD)}weight"
        if weight not in arrays or threshold.size != 1:
            raise CheckpointError(f"{checkpoint.name}: {name}: is no single number beside a weight")
        arrays[weight] = _shrunk(arrays[weight], threshold)
        masks[weight] = arrays[weight].mapped(lambda piece: piece != 0, np.bool_)
    return Parts(arrays, masks)


def _shrunk(weight: StreamedArray, threshold: StreamedArray) -> StreamedArray:
    """Return ``sign(w) relu(|w| - sigmoid(s))``."""

    def pieces() -> Iterator[NDArray[Any]]:
        raw = threshold.read().reshape(())
        by = (1 / (1 + np.exp(-raw))).astype(weight.dtype)
        for piece in weight.pieces():
            yield np.sign(piece) * np.maximum(np.abs(piece) - by, 0)

    return StreamedArray(weight.shape, weight.dtype, pieces)


SOFT_THRESHOLD = ImportFormat(
    "STR",
    "`MODULE.weight` and `MODULE.sparseThreshold`; the weights are those that it computes with, active where not 0",
    _recognises,
    _parts,
)
"""Source: ``STRConv`` in https://github.com/RAIVNLab/STR, with the sigmoid that its recipes use."""
