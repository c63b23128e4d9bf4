"""How deep the densest part of a layer, and of the network, is."""

from masktools.nulls.trial import TOTAL, Numbers
from masktools.structure.measures.family import Family, Term
from masktools.structure.measures.network import Network
from masktools.structure.wiring.cores import cores, layer_cores

__all__ = ["FAMILY"]


def _measure(network: Network) -> Numbers:
    numbers: dict[tuple[str, str], float | None] = {}
    for layer in network.layers:
        found = layer_cores(network.masks[layer], network.groups[layer])
        numbers["degeneracy", layer] = float(found.degeneracy)
        numbers["core_units", layer] = float(found.core_inputs + found.core_outputs)
    graph = network.neurons.adjacency.astype(bool)
    whole = cores((graph + graph.T).tocsr())
    numbers["degeneracy", TOTAL], numbers["core_units", TOTAL] = float(whole.degeneracy), float(whole.core_size)
    return numbers


FAMILY = Family(
    "cores",
    "the largest k for which a layer, or the whole neuron graph, has a k-core, and how many units that has",
    (Term("degeneracy", "largest k"), Term("core_units", "units of it")),
    _measure,
)
