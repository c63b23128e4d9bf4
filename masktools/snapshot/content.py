"""What one snapshot holds, in memory, before it is written."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masktools.errors import SnapshotError
from masktools.masks import PackedMask
from masktools.snapshot import layout
from masktools.topology.graph import Topology

__all__ = ["AXES", "LayerContent", "SnapshotContent", "axis_order"]

AXES: Mapping[int, str] = {2: "out,in", 3: "out,in,k", 4: "out,in,kh,kw", 5: "out,in,kd,kh,kw"}
"""Meaning of a weight's axes by their number, when nothing else is said (PyTorch's layout)."""


def axis_order(axes: str, rank: int) -> list[int] | None:
    """Return how to transpose a layer into PyTorch's order, or None where its axes are no order of that.

    Parameters
    ----------
    axes
        Names of its axes, separated by commas.
    rank
        Number of its axes.
    """
    found, wanted = axes.split(","), AXES.get(rank, "").split(",")
    return [found.index(axis) for axis in wanted] if sorted(found) == sorted(wanted) else None


@dataclasses.dataclass(frozen=True)
class LayerContent:
    """Mask and weights of one layer.

    Parameters
    ----------
    name
        Name of the parameter, for example ``layer1.0.conv1.weight``.
    mask
        Which weights are active; a mask is given, never derived from ``weights != 0``.
    values
        Weight values: of the active weights in C order (``kind="active"``, shape ``(active,)``), of all
        weights (``kind="dense"``, shape of the mask), or None (``kind="none"``).
    kind
        ``"active"``, ``"dense"`` or ``"none"``.
    axes
        Meaning of the axes; filled in from their number when empty.
    prunable
        False for a layer that is kept dense by choice.

    Raises
    ------
    SnapshotError
        If the values do not fit the mask, or a name or text cannot be stored.
    """

    name: str
    mask: PackedMask
    values: NDArray[Any] | None
    kind: str = "active"
    axes: str = ""
    prunable: bool = True

    def __post_init__(self) -> None:
        shapes = dict(zip(layout.KINDS, ((self.mask.active,), self.mask.shape, None), strict=True))
        if self.kind not in shapes:
            raise SnapshotError(f"layer {self.name}: weights are active, dense or none, not {self.kind!r}")
        found = None if self.values is None else self.values.shape
        if found != shapes[self.kind]:
            raise SnapshotError(f"layer {self.name}: {self.kind} weights need shape {shapes[self.kind]}, got {found}")
        if self.values is not None and _element(self.values) not in layout.FLOATS:
            raise SnapshotError(
                f"layer {self.name}: weights are stored as float16, float32 or float64, not {self.values.dtype}"
            )
        if self.mask.size > layout.MAX_WEIGHTS:
            raise SnapshotError(f"layer {self.name}: {self.mask.size} weights are more than a snapshot holds")
        if not self.axes:
            object.__setattr__(self, "axes", AXES.get(len(self.mask.shape), ""))
        if not layout.axes_fit(self.axes, len(self.mask.shape)):
            raise SnapshotError(f"layer {self.name}: axes {self.axes!r} do not fit the shape {self.mask.shape}")

    @classmethod
    def from_dense(
        cls, name: str, mask: NDArray[np.bool_], weight: NDArray[Any] | None, kind: str = "active", **rest: Any
    ) -> "LayerContent":
        """Take what `kind` asks for out of a full-shape weight.

        Parameters
        ----------
        name, kind, rest
            As for the class.
        mask
            Boolean, shape of the layer.
        weight
            All weights, shape of the layer; None only with ``kind="none"``.
        """
        values = None if weight is None or kind == "none" else weight[mask] if kind == "active" else weight
        return cls(name, PackedMask.from_bool(mask), values, kind, **rest)


@dataclasses.dataclass(frozen=True)
class SnapshotContent:
    """Everything that one snapshot file records.

    Parameters
    ----------
    epoch
        Number of finished epochs; 0 is the initialisation.
    step
        Number of optimizer steps taken so far.
    layers
        Mask and weights of every layer, in network order.
    config
        The resolved configuration, JSON-serialisable.
    tensors
        Every other parameter and buffer (biases, batch norm), by name.
    topology
        The operator graph, where it is known.
    extra
        Further numbers and texts about this moment, for example ``{"level": 3}``.

    Raises
    ------
    SnapshotError
        If a name is used twice or cannot be stored, or a number or tensor does not fit the format.
    """

    epoch: int
    step: int
    layers: tuple[LayerContent, ...]
    config: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    tensors: Mapping[str, NDArray[Any]] = dataclasses.field(default_factory=dict)
    topology: Topology | None = None
    extra: Mapping[str, int | float | str] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        for key in ("epoch", "step"):
            value = getattr(self, key)
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 0:
                raise SnapshotError(f"{key} {value!r} is not a number of at least 0")
            object.__setattr__(self, key, int(value))
        names = [*(layer.name for layer in self.layers), *self.tensors]
        if len(set(names)) != len(names):
            raise SnapshotError(f"two parameters have the same name: {min(n for n in names if names.count(n) > 1)}")
        for name in names:
            if not layout.named(name):
                raise SnapshotError(f"{name!r} cannot name a parameter in a snapshot")
        for name, tensor in self.tensors.items():
            if _element(tensor) not in layout.ELEMENTS:
                raise SnapshotError(f"{name}: {tensor.dtype} cannot be stored in a snapshot")

    @property
    def active(self) -> int:
        """Number of active weights over all layers."""
        return sum(layer.mask.active for layer in self.layers)

    @property
    def size(self) -> int:
        """Number of weights over all layers."""
        return sum(math.prod(layer.mask.shape) for layer in self.layers)


def _element(values: NDArray[Any]) -> str:
    return values.dtype.newbyteorder("<").str
