"""The spectrum of a layer: how well it spreads what enters it."""

from masktools.nulls.trial import Numbers
from masktools.structure.measures.family import Family, Term
from masktools.structure.measures.network import Network
from masktools.structure.wiring.imdb import layer_bound_difference
from masktools.structure.wiring.non_backtracking import layer_non_backtracking
from masktools.structure.wiring.spectrum import layer_spectrum

__all__ = ["FAMILY"]

_WORK = 2e8
"""Effort for the second eigenvalue of B; in a large random layer no effort tells it from the next ones."""


def _measure(network: Network) -> Numbers:
    numbers: dict[tuple[str, str], float | None] = {}
    for layer in network.layers:
        mask, groups = network.masks[layer], network.groups[layer]
        found = layer_spectrum(mask, groups)
        numbers["sigma_1", layer], numbers["sigma_2", layer] = found.sigma_1, found.sigma_2
        numbers["ramanujan_ratio", layer] = found.ratio
        numbers["bound_difference", layer] = layer_bound_difference(mask, groups).difference
        walks = layer_non_backtracking(mask, groups, work=_WORK)
        numbers["non_backtracking_ratio", layer] = walks.ratio
        numbers["non_backtracking_real_ratio", layer] = walks.real_ratio
    return numbers


FAMILY = Family(
    "spectrum",
    "second singular value of the channel graph over the Ramanujan bound of its mean degrees, the same for irregular "
    "degrees (from the non-backtracking matrix B: above 1, it has a second real eigenvalue above √λ₁), and "
    "|λ₂(B)|/√λ₁; all smaller where a layer is the better expander",
    (
        Term("sigma_1"),
        Term("sigma_2"),
        Term("ramanujan_ratio", "σ₂/bound"),
        Term("bound_difference"),
        Term("non_backtracking_real_ratio", "irregular"),
        Term("non_backtracking_ratio", "|λ₂|/√λ₁"),
    ),
    _measure,
)
