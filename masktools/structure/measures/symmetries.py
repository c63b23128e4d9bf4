"""How many permutations of hidden units leave the masks as they are."""

from masktools.nulls.trial import TOTAL, Numbers
from masktools.structure.measures.family import Family, Term
from masktools.structure.measures.network import Network
from masktools.structure.symmetries import log10_symmetries

__all__ = ["FAMILY"]


def _measure(network: Network) -> Numbers:
    found = log10_symmetries(network.topology, network.masks)
    # A group is called by the layer that makes its units.
    groups = {("log10_symmetries", group.name): group.log10_symmetries for group in found.groups}
    distinct = {("distinct_units", group.name): float(group.distinct) for group in (*found.groups, found.total)}
    return {**groups, ("log10_symmetries", TOTAL): found.total.log10_symmetries, **distinct}


FAMILY = Family(
    "symmetries",
    "logarithm to base 10 of the number of permutations of hidden units that leave the masks as they are, and the "
    "number of kinds of units that cannot be exchanged; a set of units is called by the layer that makes it",
    (Term("log10_symmetries", "log10"), Term("distinct_units", "kinds")),
    _measure,
    wide=True,
)
