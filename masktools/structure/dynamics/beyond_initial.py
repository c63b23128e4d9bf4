"""How much of the agreement with the final mask the first mask does not explain."""

from collections.abc import Iterable

from masktools.masks import PackedMask
from masktools.statistics.chance import Chance, stratified_kappa, stratified_z

__all__ = ["initial_strata", "kappa_beyond_initial"]


def initial_strata(mask: PackedMask, final: PackedMask, first: PackedMask) -> tuple[tuple[Chance, int], ...]:
    """Split a layer into what was active at first and what was not, and count what two masks share in each.

    Parameters
    ----------
    mask, final
        The masks to compare, of one layer.
    first
        The first mask of the run, of the same layer.

    Returns
    -------
    tuple
        For the weights inside and outside the first mask: the chance of the two masks, and what they share.
    """
    size, inside = mask.size, first.active
    here, there = _within(mask, first), _within(final, first)
    shared = mask.intersection(final)
    shared_inside = here.intersection(there)
    return (
        (Chance(inside, here.active, there.active), shared_inside),
        (
            Chance(size - inside, mask.active - here.active, final.active - there.active),
            shared - shared_inside,
        ),
    )


def _within(mask: PackedMask, other: PackedMask) -> PackedMask:
    return PackedMask(mask.bits & other.bits, mask.shape)


def kappa_beyond_initial(strata: Iterable[tuple[Chance, int]]) -> float | None:
    """Return kappa of two masks given how much either has in common with the first mask.

    Parameters
    ----------
    strata
        What `initial_strata` returns, for one layer or for several.

    Returns
    -------
    float or None
        2 sum(X - mean) / sum(K1 + K2 - 2 mean) over the strata: 0 where the two masks agree no more than masks that
        keep and add as many weights at random, 1 where they are equal. None where in every stratum one of the masks is
        dense or empty, so that there is nothing to agree on: always for the first mask itself, and at every epoch of a
        run that ends with the mask it began with.

    Notes
    -----
    Some algorithms begin with a mask that predicts the final one. The first mask of Discovering Neural Wirings
    (Wortsman et al., arXiv 1906.00586) holds the largest initial weights of every layer, and a large initial weight
    is likelier to be large in the end, whatever is learnt. Kappa with the final mask then begins far above 0, and part
    of what it shows at any epoch was there before the first step. Within the strata "inside" and "outside" of the first
    mask that part is constant: what agrees beyond it was found in training.

    An edge that was in the first mask, left and came back counts as inside, as one that never left does.
    """
    pairs = list(strata)
    return None if stratified_z(pairs) is None else stratified_kappa(pairs)
