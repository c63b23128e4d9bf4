"""The neuron graph of a snapshot."""

from collections.abc import Mapping
from pathlib import Path

from masktools.errors import StructureError
from masktools.masks import PackedMask
from masktools.snapshot.content import AXES
from masktools.topology.graph import Topology
from masktools.topology.neuron_graph import NeuronGraph, neuron_graph

__all__ = ["snapshot_neurons"]


def snapshot_neurons(
    path: Path, topology: Topology | None, packed: Mapping[str, PackedMask], axes: Mapping[str, str]
) -> NeuronGraph:
    """Build the neuron graph of the masks of a snapshot.

    Parameters
    ----------
    path
        The file, for messages.
    topology
        Its operator graph, if it holds one.
    packed, axes
        Mask by layer name, and how its axes are called.

    Raises
    ------
    StructureError
        If there is no operator graph, or one that does not fit the layers. The message names the file.
    """
    if topology is None:
        raise StructureError(f"{path}: holds no operator graph, so what its layers feed is unknown")
    masks = {}
    for name, mask in packed.items():
        found, wanted = (text.split(",") for text in (axes[name], AXES.get(len(mask.shape), "")))
        if sorted(found) != sorted(wanted):
            raise StructureError(f"{path}: layer {name}: axes {axes[name]!r} are no order of {','.join(wanted)!r}")
        masks[name] = mask.to_bool().transpose([found.index(axis) for axis in wanted])
    try:
        return neuron_graph(topology, masks)
    except StructureError as error:
        raise StructureError(f"{path}: {error}") from None
