"""How the paths through the network are spread over the weights of a layer."""

from masktools.nulls.trial import Numbers
from masktools.structure.measures.family import Family, Term
from masktools.structure.measures.network import Network
from masktools.structure.wiring.throughput import throughput

__all__ = ["FAMILY"]


def _measure(network: Network) -> Numbers:
    numbers: dict[tuple[str, str], float | None] = {}
    for layer, found in throughput(network.topology, network.effective, edges=network.effective_edges).items():
        numbers["largest_path_share", layer] = found.largest_share
        numbers["path_edges", layer] = found.edges
    return numbers


FAMILY = Family(
    "throughput",
    "the share of all paths that use the busiest edge of a layer, and over how many equally busy edges they are "
    "spread (participation ratio)",
    (Term("largest_path_share", "busiest edge"), Term("path_edges", "edges in effect")),
    _measure,
    wide=True,
)
