"""Four-cycles of a layer: whether units that share one partner share others."""

from masktools.nulls.trial import Numbers
from masktools.structure.measures.family import Family, Term
from masktools.structure.measures.network import Network
from masktools.structure.wiring.clustering import clustering

__all__ = ["FAMILY"]


def _measure(network: Network) -> Numbers:
    numbers: dict[tuple[str, str], float | None] = {}
    for layer in network.layers:
        found = clustering(network.masks[layer], network.groups[layer])
        numbers["four_cycles", layer] = float(found.cycles)
        numbers["cycle_ratio", layer] = found.cycle_ratio
        numbers["clustering", layer] = found.coefficient
    return numbers


FAMILY = Family(
    "cycles",
    "four-cycles of the channel graph of a layer, beside those of a random one with as many edges (ratio), and the "
    "share of paths of three edges that they close (clustering)",
    (Term("four_cycles"), Term("cycle_ratio", "ratio"), Term("clustering", "clustering")),
    _measure,
)
