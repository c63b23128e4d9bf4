"""A masked network, and what several measures need of it, computed once."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from masktools.nulls.shuffles import Masks
from masktools.nulls.trial import Weights
from masktools.topology.fields import Field
from masktools.topology.graph import Topology
from masktools.topology.layer_edges import EdgeCache
from masktools.topology.reach import backward, effective_of, forward

if TYPE_CHECKING:
    from masktools.topology.neuron_graph import NeuronGraph

__all__ = ["Network"]


@dataclasses.dataclass(frozen=True, eq=False)
class Network:
    """An operator graph under masks.

    Parameters
    ----------
    topology
        The operator graph.
    masks
        Boolean mask by layer name, each of its weight's shape; exactly the layers of the graph.
    weights
        Values by layer name, if they are known.

    Raises
    ------
    StructureError
        At first use, if graph and masks do not fit; the message names the layer.
    """

    topology: Topology
    masks: Masks
    weights: Weights | None = None

    @functools.cached_property
    def reached(self) -> tuple[Field, ...]:
        """What the input reaches, a field for each node."""
        return forward(self.topology, self.masks)

    @functools.cached_property
    def reaching(self) -> tuple[Field, ...]:
        """What reaches the output, a field for each node."""
        return backward(self.topology, self.masks, self.reached)

    @functools.cached_property
    def effective(self) -> dict[str, NDArray[np.bool_]]:
        """The weights on a path from input to output."""
        return effective_of(self.topology, self.masks, self.reached, self.reaching)

    @functools.cached_property
    def edges(self) -> EdgeCache:
        """The edges of each layer in the channel graph."""
        return EdgeCache(self.topology, self.masks)

    @functools.cached_property
    def effective_edges(self) -> EdgeCache:
        """The same of the effective weights."""
        return EdgeCache(self.topology, self.effective, self.edges)

    @functools.cached_property
    def neurons(self) -> "NeuronGraph":
        """The graph of units under all active weights."""
        from masktools.topology.neuron_graph import neuron_graph

        return neuron_graph(self.topology, self.masks, self.edges)

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers, in network order."""
        return self.topology.layers

    @property
    def groups(self) -> Mapping[str, int]:
        """Number of channel groups of each layer."""
        return self.topology.groups
