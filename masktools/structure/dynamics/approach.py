"""Overlap with the final mask, collected while masks go by: as it is, and given the first mask."""

from collections.abc import Mapping

from masktools.masks import PackedMask
from masktools.statistics.chance import Chance
from masktools.structure.dynamics.beyond_initial import initial_strata, kappa_beyond_initial

__all__ = ["ApproachCounter"]


class ApproachCounter:
    """Compares masks with the final ones, one snapshot after the other.

    Parameters
    ----------
    final
        The final masks by layer name.

    Attributes
    ----------
    kappa, kappa_beyond_initial
        For each layer, kappa with its final mask at each snapshot so far, and the same given its first mask.
    """

    def __init__(self, final: Mapping[str, PackedMask]) -> None:
        self._final = final
        self._first: Mapping[str, PackedMask] | None = None
        self.kappa: dict[str, list[float | None]] = {name: [] for name in final}
        self.kappa_beyond_initial: dict[str, list[float | None]] = {name: [] for name in final}

    def add(self, masks: Mapping[str, PackedMask]) -> tuple[list[tuple[Chance, int]], float | None]:
        """Take the masks of the next snapshot.

        Returns
        -------
        tuple
            For each layer the chance of its mask (A) and the final one (B) with what they share, and kappa beyond
            the first mask over all layers.
        """
        first = self._first = self._first or masks
        pairs: list[tuple[Chance, int]] = []
        strata: list[tuple[Chance, int]] = []
        for name, last in self._final.items():
            mask = masks[name]
            chance, shared = Chance(last.size, mask.active, last.active), mask.intersection(last)
            halves = initial_strata(mask, last, first[name])
            self.kappa[name].append(chance.kappa(shared))
            self.kappa_beyond_initial[name].append(kappa_beyond_initial(halves))
            pairs.append((chance, shared))
            strata += halves
        return pairs, kappa_beyond_initial(strata)
