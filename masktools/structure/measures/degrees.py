"""How unequal the degrees of the units of a layer are."""

from masktools.nulls.trial import Numbers
from masktools.structure.measures.family import Family, Term
from masktools.structure.measures.network import Network
from masktools.structure.wiring.degree_shape import degree_shapes

__all__ = ["FAMILY"]


def _measure(network: Network) -> Numbers:
    numbers: dict[tuple[str, str], float | None] = {}
    for layer in network.layers:
        shapes = degree_shapes(network.masks[layer], network.groups[layer])
        for side, shape in (("fan_in", shapes.fan_in), ("fan_out", shapes.fan_out)):
            numbers[f"{side}_mean", layer] = shape.mean
            numbers[f"{side}_cv", layer] = shape.cv
            numbers[f"{side}_gini", layer] = shape.gini
    return numbers


FAMILY = Family(
    "degrees",
    "mean, coefficient of variation and Gini coefficient of the active weights of each output unit (fan-in) and input "
    "unit (fan-out)",
    (
        Term("fan_in_mean"),
        Term("fan_in_cv"),
        Term("fan_in_gini", "Gini fan-in"),
        Term("fan_out_mean"),
        Term("fan_out_cv"),
        Term("fan_out_gini", "Gini fan-out"),
    ),
    _measure,
)
