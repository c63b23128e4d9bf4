"""Units and weights whose loss cuts an input or an output off."""

from masktools.nulls.trial import TOTAL, Numbers
from masktools.structure.measures.family import Family, Term
from masktools.structure.measures.network import Network
from masktools.topology.bottlenecks import bottlenecks

__all__ = ["FAMILY"]

_COUNTS = ("class_cut_units", "input_cut_units", "cut_weights")


def _measure(network: Network) -> Numbers:
    found = bottlenecks(network.topology, network.effective, network.effective_edges)
    numbers: dict[tuple[str, str], float | None] = {
        (name, layer.name): float(getattr(layer, name)) for layer in found.layers for name in _COUNTS
    }
    numbers |= {(name, TOTAL): float(getattr(found.total, name)) for name in _COUNTS}
    for name in ("classes_on_unit", "classes_on_weight", "inputs_on_unit", "inputs_on_weight", "worst_classes"):
        numbers[name, TOTAL] = float(getattr(found, name))
    return numbers


FAMILY = Family(
    "bottlenecks",
    "units whose loss cuts a class off from every input (class cuts), units whose loss cuts an input off from every "
    "class (input cuts), and single weights that do either",
    (
        Term("class_cut_units", "class cuts"),
        Term("input_cut_units", "input cuts"),
        Term("cut_weights", "weights"),
        Term("classes_on_unit"),
        Term("classes_on_weight"),
        Term("inputs_on_unit"),
        Term("inputs_on_weight"),
        Term("worst_classes"),
    ),
    _measure,
    wide=True,
)
