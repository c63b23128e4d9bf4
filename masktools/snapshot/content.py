"""What one snapshot holds, in memory, before it is written."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from masktools.errors import SnapshotError
from masktools.masks import PackedMask
from masktools.snapshot import layout
from masktools.topology.graph import Topology

__all__ = [
    "AXES",
    "LayerContent",
    "SnapshotContent",
    "axis_order",
    "check_layer",
    "check_moment",
    "check_name",
    "check_tensor",
    "known_axes",
]

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
        if not self.axes:
            object.__setattr__(self, "axes", known_axes(len(self.mask.shape)))
        check_layer(self.name, self.mask, self.values, self.kind, self.axes)

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
            object.__setattr__(self, key, check_moment(key, getattr(self, key)))
        names = [*(layer.name for layer in self.layers), *self.tensors]
        if len(set(names)) != len(names):
            raise SnapshotError(f"two parameters have the same name: {min(n for n in names if names.count(n) > 1)}")
        for name in names:
            check_name(name)
        for name, tensor in self.tensors.items():
            check_tensor(name, tensor.dtype)

    @property
    def active(self) -> int:
        """Number of active weights over all layers."""
        return sum(layer.mask.active for layer in self.layers)

    @property
    def size(self) -> int:
        """Number of weights over all layers."""
        return sum(math.prod(layer.mask.shape) for layer in self.layers)


class _Typed(Protocol):
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...


def known_axes(rank: int) -> str:
    """Return the meaning of axes by their number, empty where nothing is usual."""
    return AXES.get(rank, "")


def check_layer(name: str, mask: PackedMask, values: _Typed | None, kind: str, axes: str) -> None:
    """Check that the values of a layer fit its mask, as `LayerContent` does; `values` has a shape and an element type.

    Raises
    ------
    SnapshotError
        If they do not.
    """
    shapes = dict(zip(layout.KINDS, ((mask.active,), mask.shape, None), strict=True))
    if kind not in shapes:
        raise SnapshotError(f"layer {name}: weights are active, dense or none, not {kind!r}")
    found = None if values is None else values.shape
    if found != shapes[kind]:
        raise SnapshotError(f"layer {name}: {kind} weights need shape {shapes[kind]}, got {found}")
    if values is not None and _element(values.dtype) not in layout.FLOATS:
        raise SnapshotError(f"layer {name}: weights are stored as float16, float32 or float64, not {values.dtype}")
    if mask.size > layout.MAX_WEIGHTS:
        raise SnapshotError(f"layer {name}: {mask.size} weights are more than a snapshot holds")
    if not layout.axes_fit(axes, len(mask.shape)):
        raise SnapshotError(f"layer {name}: axes {axes!r} do not fit the shape {mask.shape}")


def check_moment(key: str, value: Any) -> int:
    """Return an epoch or a step as a plain number.

    Raises
    ------
    SnapshotError
        If it is none, or below 0.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 0:
        raise SnapshotError(f"{key} {value!r} is not a number of at least 0")
    return int(value)


def check_name(name: str) -> None:
    """Check that a parameter can have this name.

    Raises
    ------
    SnapshotError
        If it cannot.
    """
    if not layout.named(name):
        raise SnapshotError(f"{name!r} cannot name a parameter in a snapshot")


def check_tensor(name: str, dtype: np.dtype[Any]) -> None:
    """Check that a tensor has an element type of the format.

    Raises
    ------
    SnapshotError
        If it has not.
    """
    if _element(dtype) not in layout.ELEMENTS:
        raise SnapshotError(f"{name}: {dtype} cannot be stored in a snapshot")


def _element(dtype: np.dtype[Any]) -> str:
    return dtype.newbyteorder("<").str
