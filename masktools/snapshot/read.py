"""Read a snapshot file, lazily: opening reads the header, a mask is read when it is asked for."""

import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
from numpy.typing import NDArray

from masktools.errors import SnapshotError, StructureError
from masktools.masks import PackedMask
from masktools.snapshot import checks, layout
from masktools.snapshot.content import LayerContent
from masktools.snapshot.header import Header, Layer, read_header
from masktools.topology.graph import Topology

if TYPE_CHECKING:
    import networkx as nx
    from scipy.sparse import csr_array

    from masktools.topology.neuron_graph import NeuronGraph

__all__ = ["Layer", "Snapshot"]


class Snapshot:
    """One snapshot file.

    Parameters
    ----------
    path
        The file. It is opened for each reading and closed at once, so a run of any length holds no file open.
    expected_epoch
        The epoch that the file must be of, for example because its name says so.

    Raises
    ------
    SnapshotError
        On first access, if the file is missing, damaged, hostile or too new. The message names file and key.
    """

    def __init__(self, path: str | Path, expected_epoch: int | None = None) -> None:
        self.path = Path(path)
        self._expected_epoch = expected_epoch

    def __repr__(self) -> str:
        return f"Snapshot({str(self.path)!r})"

    @functools.cached_property
    def _header(self) -> Header:
        return read_header(self.path, self._expected_epoch)

    @property
    def epoch(self) -> int:
        """Number of finished epochs; 0 is the initialisation."""
        return self._header.epoch

    @property
    def step(self) -> int:
        """Number of optimizer steps taken before this snapshot."""
        return self._header.step

    @property
    def config(self) -> dict[str, Any]:
        """The configuration that the writer recorded."""
        return dict(self._header.config)

    @property
    def extra(self) -> dict[str, Any]:
        """Further facts about this moment, for example the level of an iterated method."""
        return dict(self._header.extra)

    @property
    def layers(self) -> Mapping[str, Layer]:
        """The layers by name, in network order."""
        return MappingProxyType(self._header.layers)

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
        return self._header.tensors

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
            return self._packed(checks.dataset(self.path, file, layout.MASKS, name), layer)

    def _packed(self, item: h5py.Dataset, layer: Layer) -> PackedMask:
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
        layers = self.layers
        with checks.opened(self.path) as file:
            found = checks.datasets(self.path, file, layout.MASKS, layers)
            return {name: self._packed(found[name], layer) for name, layer in layers.items()}

    def weight(self, name: str) -> NDArray[Any]:
        """Return the weight of a layer in full shape; inactive weights are 0 unless the file is dense.

        Raises
        ------
        SnapshotError
            If the snapshot holds no weights.
        """
        return self._full(self.layer(name))

    def weights(self) -> dict[str, NDArray[Any]]:
        """Return the weights of all layers in full shape.

        Raises
        ------
        SnapshotError
            If the snapshot holds no weights of a layer.
        """
        return {name: self._full(layer) for name, layer in self.layers.items()}

    def _full(self, layer: Layer) -> NDArray[Any]:
        content = self._content(layer)
        if content.values is None:
            raise SnapshotError(f"{self.path}: was written without weights (layer {layer.name!r})")
        if layer.weights == "dense":
            return content.values
        full = np.zeros(layer.shape, dtype=content.values.dtype)
        full[content.mask.to_bool()] = content.values
        return full

    def _content(self, layer: Layer) -> LayerContent:
        with checks.opened(self.path) as file:
            mask = self._packed(checks.dataset(self.path, file, layout.MASKS, layer.name), layer)
            values = None
            if layer.weights != "none":
                item = checks.dataset(self.path, file, layout.WEIGHTS, layer.name)
                if item.dtype.str not in layout.FLOATS:
                    raise SnapshotError(f"{self.path}: {item.name}: weights are floating-point, not {item.dtype}")
                values = checks.values(self.path, item, (layer.active,) if layer.weights == "active" else layer.shape)
        return LayerContent(layer.name, mask, values, layer.weights, axes=layer.axes, prunable=layer.prunable)

    def contents(self) -> Iterator[LayerContent]:
        """Yield mask and stored values layer by layer, as a writer takes them."""
        return map(self._content, self.layers.values())

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Return every parameter and buffer that is no layer (biases, batch norm)."""
        names = self.tensor_names
        with checks.opened(self.path) as file:
            found = checks.datasets(self.path, file, layout.TENSORS, names)
            return {name: checks.values(self.path, item) for name, item in found.items()}

    @functools.cached_property
    def topology(self) -> Topology | None:
        """The operator graph, or None if the writer did not know it.

        Raises
        ------
        SnapshotError
            If there is a graph that cannot be read or that names layers the snapshot does not hold.
        """
        if not self._header.has_topology:
            return None
        with checks.opened(self.path) as file:
            item = checks.dataset(self.path, file, layout.TOPOLOGY)
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

    def to_networkx(self) -> "nx.DiGraph[tuple[str, int]]":
        """Return the neuron graph for networkx: nodes ``(layer, unit)``, edges with ``taps``, their number of weights.

        What is a unit and what is an edge is said in `masktools.topology.neuron_graph`.

        Raises
        ------
        SnapshotError
            If the file cannot be read.
        StructureError
            If it holds no operator graph, or one that does not fit its layers. The message names the file.
        """
        return self._neurons().to_networkx()

    def to_scipy(self) -> "tuple[csr_array, list[tuple[str, int]]]":
        """Return the neuron graph as an adjacency matrix, from row to column, and the ``(layer, unit)`` of each row.

        Entries are numbers of weights.

        Raises
        ------
        SnapshotError, StructureError
            As for `to_networkx`.
        """
        return self._neurons().to_scipy()

    def _neurons(self) -> "NeuronGraph":
        from masktools.snapshot.neurons import snapshot_neurons

        axes = {name: layer.axes for name, layer in self.layers.items()}
        return snapshot_neurons(self.path, self.topology, self.masks(), axes)
