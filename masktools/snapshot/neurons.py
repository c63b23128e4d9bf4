"""The neuron graph of a snapshot."""

from typing import TYPE_CHECKING

from masktools.errors import StructureError
from masktools.snapshot.content import AXES
from masktools.topology.neuron_graph import NeuronGraph, neuron_graph

if TYPE_CHECKING:
    from masktools.snapshot.read import Snapshot

__all__ = ["snapshot_neurons"]


def snapshot_neurons(snapshot: "Snapshot") -> NeuronGraph:
    """Build the neuron graph of the masks of a snapshot.

    Raises
    ------
    SnapshotError
        If the file cannot be read.
    StructureError
        If it holds no operator graph, or one that does not fit its layers. The message names the file.
    """
    topology = snapshot.topology
    if topology is None:
        raise StructureError(f"{snapshot.path}: holds no operator graph, so what its layers feed is unknown")
    masks = {}
    for name, packed in snapshot.masks().items():
        found, wanted = (axes.split(",") for axes in (snapshot.layer(name).axes, AXES.get(len(packed.shape), "")))
        if sorted(found) != sorted(wanted):
            axes = snapshot.layer(name).axes
            raise StructureError(f"{snapshot.path}: layer {name}: axes {axes!r} are no order of {','.join(wanted)!r}")
        masks[name] = packed.to_bool().transpose([found.index(axis) for axis in wanted])
    try:
        return neuron_graph(topology, masks)
    except StructureError as error:
        raise StructureError(f"{snapshot.path}: {error}") from None
