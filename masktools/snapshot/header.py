"""What a snapshot says of itself, without its masks and weights."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from masktools.errors import SnapshotError
from masktools.snapshot import attributes, checks, layout

__all__ = ["Header", "Layer", "read_header"]


@dataclasses.dataclass(frozen=True)
class Layer:
    """What a snapshot says about a layer without reading its mask.

    Parameters
    ----------
    name
        Name of the weight parameter.
    shape
        Shape of the weight.
    axes
        Meaning of the axes, for example ``out,in,kh,kw``.
    active
        Number of active weights.
    prunable
        False for a layer that is kept dense by choice.
    weights
        Which weight values are stored: ``active``, ``dense`` or ``none``.
    """

    name: str
    shape: tuple[int, ...]
    axes: str
    active: int
    prunable: bool
    weights: str

    @property
    def size(self) -> int:
        """Number of weights."""
        return math.prod(self.shape)

    @property
    def density(self) -> float:
        """Share of active weights; NaN for a layer without weights."""
        return self.active / self.size if self.size else float("nan")


@dataclasses.dataclass(frozen=True)
class Header:
    """What is read at the first access: all but masks, weights, tensors and the operator graph.

    Parameters
    ----------
    epoch, step, config, extra
        The root attributes.
    layers
        By name, in network order.
    tensors
        Names of the parameters and buffers that are no layers.
    has_topology
        Whether there is an operator graph.
    """

    epoch: int
    step: int
    config: dict[str, Any]
    extra: dict[str, Any]
    layers: dict[str, Layer]
    tensors: tuple[str, ...]
    has_topology: bool


def read_header(path: Path, expected_epoch: int | None = None) -> Header:
    """Read what a snapshot says of itself.

    Parameters
    ----------
    path
        The file.
    expected_epoch
        The epoch that it must be of; None for any.

    Raises
    ------
    SnapshotError
        If the file is missing, damaged, hostile, too new, or of another epoch.
    """
    with checks.opened(path) as file:
        epoch = attributes.integer(path, file, "epoch")
        if expected_epoch not in (None, epoch):
            raise SnapshotError(f"{path}: is of epoch {epoch}, its name says {expected_epoch}")
        found = checks.datasets(path, file, layout.MASKS, checks.members(path, file, layout.MASKS))
        positions = {attributes.integer(path, item, "position"): name for name, item in found.items()}
        if sorted(positions) != list(range(len(found))):
            raise SnapshotError(f"{path}: /{layout.MASKS}: the positions of the layers do not count from 0 on")
        names = [positions[position] for position in range(len(found))]
        return Header(
            epoch=epoch,
            step=attributes.integer(path, file, "step"),
            config=attributes.json_object(path, file, "config"),
            extra=attributes.json_object(path, file, "extra"),
            layers={name: _layer(path, found[name], name) for name in names},
            tensors=checks.members(path, file, layout.TENSORS),
            has_topology=checks.has(file, layout.TOPOLOGY),
        )


def _layer(path: Path, item: h5py.Dataset, name: str) -> Layer:
    shape = attributes.shape(path, item, "shape")
    order = attributes.text(path, item, "bitorder")
    if order != layout.BIT_ORDER:
        raise SnapshotError(f"{path}: {item.name}: bitorder {order!r} is not known")
    prunable = attributes.integer(path, item, "prunable")
    layer = Layer(
        name=name,
        shape=shape,
        axes=attributes.text(path, item, "axes"),
        active=attributes.integer(path, item, "active"),
        prunable=bool(prunable),
        weights=attributes.text(path, item, "weights"),
    )
    if item.dtype != np.uint8 or item.shape != ((layer.size + 7) // 8,):
        raise SnapshotError(f"{path}: {item.name}: {item.dtype} {item.shape} does not fit weights {shape}")
    if layer.active > layer.size or layer.weights not in layout.KINDS or prunable > 1:
        raise SnapshotError(
            f"{path}: {item.name}: says active {layer.active} of {layer.size}, "
            f"weights {layer.weights!r}, prunable {prunable}"
        )
    if not layout.axes_fit(layer.axes, len(shape)):
        raise SnapshotError(f"{path}: {item.name}: axes {layer.axes!r} do not fit the shape {shape}")
    return layer
