"""Neural persistence of the weights of a layer."""

from masktools.nulls.trial import TOTAL, Numbers
from masktools.structure.measures.family import Family, Term
from masktools.structure.measures.network import Network
from masktools.structure.wiring.persistence import network_persistence

__all__ = ["FAMILY"]


def _measure(network: Network) -> Numbers:
    if network.weights is None:
        return {}
    found = network_persistence(network.weights, network.masks, network.groups)
    numbers: dict[tuple[str, str], float | None] = {("neural_persistence", TOTAL): found.mean}
    for layer, value in found.layers.items():
        numbers["neural_persistence", layer] = value.normalised
        numbers["neural_persistence_joined", layer] = value.joined_normalised
    return numbers


FAMILY = Family(
    "persistence",
    "neural persistence of the weights (Rieck et al. 2019), normalised: of all units, and of the merges by active "
    "weights only; random masks carry the same weights to other places",
    (Term("neural_persistence", "persistence"), Term("neural_persistence_joined", "merges only")),
    _measure,
    wide=True,
    weighted=True,
)
