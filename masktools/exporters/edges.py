"""The edges of a network as rows, layer by layer: between channels, or a row for each active weight."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masktools.errors import StructureError
from masktools.exporters.parameters import Parameter, parameters
from masktools.structure.source import Recorded

__all__ = ["COLUMNS", "LayerEdges", "edges_of"]

COLUMNS = {
    "channels": ("layer", "out", "in", "taps"),
    "weights": ("layer", "out", "in", "kernel", "value"),
}
"""By what an edge is, the columns of its rows."""


@dataclasses.dataclass(frozen=True)
class LayerEdges:
    """The edges of one layer.

    Parameters
    ----------
    layer
        Name of its weight.
    numbers
        One array a column, without the first column (the layer) and without values; shape ``(edges,)`` each.
    values
        The value of each weight, shape ``(edges,)``; None where an edge is no single weight, or none was recorded.
    """

    layer: str
    numbers: tuple[NDArray[np.int64], ...]
    values: NDArray[Any] | None = None

    def __len__(self) -> int:
        return len(self.numbers[0])


def edges_of(moment: Recorded, graph: str) -> Iterator[LayerEdges]:
    """Yield the edges of each layer, ordered by output, input and place in the kernel.

    Outputs and inputs are counted along the first two axes of the weight: in a grouped convolution, inputs within
    their group.

    Parameters
    ----------
    moment
        The network at one moment.
    graph
        ``channels``: an edge for every pair of channels with an active weight between them, and how many there are
        (``taps``). ``weights``: an edge for every active weight, with its place in the flattened kernel.

    Raises
    ------
    StructureError
        If a layer has no axes for outputs and inputs; the message names file and layer.
    SnapshotError
        If the snapshot cannot be read.
    """
    return map(_channels if graph == "channels" else _weights, parameters(moment))


def _kernels(parameter: Parameter) -> NDArray[np.bool_]:
    """Return a mask with its kernel in one axis."""
    mask = parameter.mask
    if mask.ndim < 2:
        raise StructureError(
            f"{parameter.moment.snapshot.path}: layer {parameter.name} of shape {mask.shape} has no inputs and "
            "outputs, so no edges"
        )
    return mask.reshape(*mask.shape[:2], -1) if mask.size else mask.reshape(*mask.shape[:2], 0)


def _channels(parameter: Parameter) -> LayerEdges:
    taps = np.count_nonzero(_kernels(parameter), axis=2)
    out, fed = np.nonzero(taps)
    return LayerEdges(parameter.name, (out, fed, taps[out, fed]))


def _weights(parameter: Parameter) -> LayerEdges:
    kernels = _kernels(parameter)
    found = np.nonzero(kernels)
    stored = parameter.stored
    return LayerEdges(parameter.name, found, None if stored is None else stored.reshape(kernels.shape)[found])
