"""Read a snapshot file, lazily: opening reads the header, a mask is read when it is asked for."""

import dataclasses
import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from masktools.errors import SnapshotError, StructureError
from masktools.masks import PackedMask
from masktools.snapshot import checks, layout
from masktools.snapshot.content import LayerContent
from masktools.topology.graph import Topology

__all__ = ["Layer", "Snapshot"]

_KINDS = ("active", "dense", "none")


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
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def density(self) -> float:
        """Share of active weights; NaN for a layer without weights."""
        return self.active / self.size if self.size else float("nan")


class Snapshot:
    """One snapshot file.

    Parameters
    ----------
    path
        The file. It is opened for each reading and closed at once, so a run of any length holds no file open.

    Raises
    ------
    SnapshotError
        On first access, if the file is missing, damaged, hostile or too new. The message names file and key.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def __repr__(self) -> str:
        return f"Snapshot({str(self.path)!r})"

    @functools.cached_property
    def _header(self) -> dict[str, Any]:
        with checks.opened(self.path) as file:
            header: dict[str, Any] = {key: checks.integer(self.path, file, key) for key in ("epoch", "step")}
            header["config"] = checks.json_attribute(self.path, file, "config", dict)
            header["extra"] = checks.json_attribute(self.path, file, "extra", dict)
            names = checks.json_attribute(self.path, file, "layers", list)
            stored = checks.members(self.path, file, layout.MASKS)
            if not all(isinstance(name, str) for name in names) or sorted(names) != sorted(stored):
                raise SnapshotError(f"{self.path}: attribute 'layers' does not list the members of /{layout.MASKS}")
            header["layers"] = {name: self._layer(file, name) for name in names}
            header["tensors"] = checks.members(self.path, file, layout.TENSORS)
            header["has_topology"] = layout.TOPOLOGY in file
        return header

    def _layer(self, file: h5py.File, name: str) -> Layer:
        item = checks.dataset(self.path, file, layout.MASKS, name)
        shape = checks.integers(self.path, item, "shape")
        order = checks.attribute(self.path, item, "bitorder", str)
        if order != "big":
            raise SnapshotError(f"{self.path}: {item.name}: bitorder {order!r} is not known")
        layer = Layer(
            name=name,
            shape=shape,
            axes=checks.attribute(self.path, item, "axes", str),
            active=checks.integer(self.path, item, "active"),
            prunable=bool(checks.integer(self.path, item, "prunable")),
            weights=checks.attribute(self.path, item, "weights", str),
        )
        if item.dtype != np.uint8 or item.shape != ((layer.size + 7) // 8,):
            raise SnapshotError(f"{self.path}: {item.name}: {item.dtype} {item.shape} does not fit weights {shape}")
        if layer.active > layer.size or layer.weights not in _KINDS:
            raise SnapshotError(f"{self.path}: {item.name}: says {layer.active} active, {layer.weights} weights")
        return layer

    @property
    def epoch(self) -> int:
        """Number of finished epochs; 0 is the initialisation."""
        return int(self._header["epoch"])

    @property
    def step(self) -> int:
        """Number of optimizer steps taken before this snapshot."""
        return int(self._header["step"])

    @property
    def config(self) -> dict[str, Any]:
        """The configuration that the writer recorded."""
        return dict(self._header["config"])

    @property
    def extra(self) -> dict[str, Any]:
        """Further facts about this moment, for example the level of an iterated method."""
        return dict(self._header["extra"])

    @property
    def layers(self) -> Mapping[str, Layer]:
        """The layers by name, in network order."""
        return MappingProxyType(self._header["layers"])

    @property
    def active(self) -> int:
        """Number of active weights over all layers."""
        return sum(layer.active for layer in self.layers.values())

    @property
    def size(self) -> int:
        """Number of weights over all layers."""
        return sum(layer.size for layer in self.layers.values())

    @property
    def density(self) -> float:
        """Share of active weights over all layers."""
        return self.active / self.size if self.size else float("nan")

    @property
    def tensor_names(self) -> tuple[str, ...]:
        """Names of the parameters and buffers that are no layers."""
        return tuple(self._header["tensors"])

    def layer(self, name: str) -> Layer:
        """Return what is known about a layer.

        Raises
        ------
        SnapshotError
            If there is no such layer.
        """
        if name not in self.layers:
            raise SnapshotError(f"{self.path}: no layer {name!r}; layers are {', '.join(self.layers)}")
        return self.layers[name]

    def packed(self, name: str) -> PackedMask:
        """Return the mask of a layer as packed bits."""
        layer = self.layer(name)
        with checks.opened(self.path) as file:
            return self._packed(file, layer)

    def _packed(self, file: h5py.File, layer: Layer) -> PackedMask:
        item = checks.dataset(self.path, file, layout.MASKS, layer.name)
        try:
            mask = PackedMask(checks.values(self.path, item, ((layer.size + 7) // 8,)), layer.shape)
        except StructureError as error:
            raise SnapshotError(f"{self.path}: {item.name}: {error}") from None
        if mask.active != layer.active:
            raise SnapshotError(f"{self.path}: {item.name}: {mask.active} weights are active, {layer.active} recorded")
        return mask

    def mask(self, name: str) -> NDArray[np.bool_]:
        """Return the mask of a layer as a boolean array of its weight's shape."""
        return self.packed(name).to_bool()

    def masks(self) -> dict[str, PackedMask]:
        """Return the packed masks of all layers, reading the file once."""
        with checks.opened(self.path) as file:
            return {layer.name: self._packed(file, layer) for layer in self.layers.values()}

    def weight(self, name: str) -> NDArray[Any]:
        """Return the weight of a layer in full shape; inactive weights are 0 unless the file is dense.

        Raises
        ------
        SnapshotError
            If the snapshot holds no weights.
        """
        layer = self.layer(name)
        with checks.opened(self.path) as file:
            return self._weight(file, layer)

    def _weight(self, file: h5py.File, layer: Layer) -> NDArray[Any]:
        if layer.weights == "none":
            raise SnapshotError(f"{self.path}: was written without weights (layer {layer.name!r})")
        item = checks.dataset(self.path, file, layout.WEIGHTS, layer.name)
        if item.dtype.kind != "f":
            raise SnapshotError(f"{self.path}: {item.name}: weights are floating-point, not {item.dtype}")
        if layer.weights == "dense":
            return checks.values(self.path, item, layer.shape)
        mask = self._packed(file, layer).to_bool()
        values = checks.values(self.path, item, (layer.active,))
        full = np.zeros(layer.shape, dtype=values.dtype)
        full[mask] = values
        return full

    def weights(self) -> dict[str, NDArray[Any]]:
        """Return the weights of all layers in full shape, reading the file once."""
        with checks.opened(self.path) as file:
            return {layer.name: self._weight(file, layer) for layer in self.layers.values()}

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Return every parameter and buffer that is no layer (biases, batch norm)."""
        with checks.opened(self.path) as file:
            return {
                name: checks.values(self.path, checks.dataset(self.path, file, layout.TENSORS, name))
                for name in self.tensor_names
            }

    @functools.cached_property
    def topology(self) -> Topology | None:
        """The operator graph, or None if the writer did not know it.

        Raises
        ------
        SnapshotError
            If there is a graph that cannot be read or that names layers the snapshot does not hold.
        """
        if not self._header["has_topology"]:
            return None
        with checks.opened(self.path) as file:
            item = checks.dataset(self.path, file, layout.TOPOLOGY, "")
            if item.dtype != np.uint8 or len(item.shape) != 1:
                raise SnapshotError(f"{self.path}: /{layout.TOPOLOGY}: is not text stored as bytes")
            text = checks.values(self.path, item).tobytes()
        try:
            topology = Topology.from_json(text.decode())
        except (StructureError, UnicodeDecodeError) as error:
            raise SnapshotError(f"{self.path}: /{layout.TOPOLOGY}: {error}") from None
        missing = [name for name in topology.layers if name not in self.layers]
        if missing:
            raise SnapshotError(f"{self.path}: /{layout.TOPOLOGY}: layer {missing[0]!r} is not in the snapshot")
        return topology

    def contents(self) -> Iterator[LayerContent]:
        """Yield mask and stored values layer by layer, as a writer takes them."""
        weights = self.weights() if all(layer.weights != "none" for layer in self.layers.values()) else {}
        for name, mask in self.masks().items():
            layer = self.layers[name]
            yield LayerContent.from_dense(
                name, mask.to_bool(), weights.get(name), layer.weights, axes=layer.axes, prunable=layer.prunable
            )
