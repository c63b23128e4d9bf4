"""The neuron graph of a snapshot."""

from collections.abc import Mapping
from pathlib import Path

from masktools.errors import StructureError
from masktools.masks import PackedMask
from masktools.snapshot.content import AXES, axis_order
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
        rank = len(mask.shape)
        order = axis_order(axes[name], rank)
        if order is None:
            raise StructureError(f"{path}: layer {name}: axes {axes[name]!r} are no order of {AXES.get(rank, '')!r}")
        masks[name] = mask.to_bool().transpose(order)
    try:
        return neuron_graph(topology, masks)
    except StructureError as error:
        raise StructureError(f"{path}: {error}") from None
