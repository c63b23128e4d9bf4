"""How many weights each layer may keep: exact counts from one overall density."""

import math
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

from masktools.errors import RecipeError

__all__ = ["DISTRIBUTIONS", "erk", "exact_density", "global_count", "layer_counts", "named_layers", "uniform"]

Shapes = Mapping[str, Sequence[int]]


def exact_density(density: float) -> Fraction:
    """Return a density as the decimal fraction that was written: 0.02 is 1/50, not its binary neighbour.

    Raises
    ------
    RecipeError
        If it is not above 0 and at most 1.
    """
    if not 0 < density <= 1:
        raise RecipeError(f"density must be above 0 and at most 1, got {density}")
    return Fraction(repr(float(density)))


def uniform(shapes: Shapes, density: float) -> dict[str, int]:
    """Give every layer the same density: ``N - floor((1 - density) N)`` weights.

    Parameters
    ----------
    shapes
        Weight shape of each layer.
    density
        Share of weights to keep, ``0 < density <= 1``.

    Returns
    -------
    dict
        Number of weights to keep of each layer, in the order of `shapes`.

    Raises
    ------
    RecipeError
        If the density is out of range.
    """
    share = exact_density(density)
    return {name: math.ceil(share * math.prod(shape)) for name, shape in shapes.items()}


def erk(shapes: Shapes, density: float) -> dict[str, int]:
    """Give each layer a density in proportion to the sum over the product of its dimensions.

    Erdős-Rényi-Kernel, with the rule of the RigL reference code: layers whose share would exceed 1 become
    dense, those of the largest ratio first, and the rest is solved again. Rational arithmetic throughout, so
    that counts do not depend on rounding.

    Parameters
    ----------
    shapes
        Weight shape of each layer.
    density
        Share of all weights to keep, ``0 < density <= 1``.

    Returns
    -------
    dict
        Number of weights to keep of each layer, in the order of `shapes`.

    Raises
    ------
    RecipeError
        If the density is out of range.

    References
    ----------
    Evci et al., Rigging the Lottery, arXiv 1911.11134.
    """
    share = exact_density(density)
    size = {name: math.prod(shape) for name, shape in shapes.items()}
    ratio = {name: Fraction(sum(shape), size[name]) for name, shape in shapes.items()}
    pruned = {name: math.floor((1 - share) * n) for name, n in size.items()}
    dense: set[str] = set()
    while True:
        sparse = [name for name in shapes if name not in dense]
        if not sparse:
            return dict(size)
        budget = sum(size[name] - pruned[name] for name in sparse) - sum(pruned[name] for name in dense)
        scale = Fraction(budget) / sum(ratio[name] * size[name] for name in sparse)
        largest = max(ratio[name] for name in sparse)
        if largest * scale <= 1:
            break
        dense |= {name for name in sparse if ratio[name] == largest}
    return {name: n if name in dense else n - math.floor((1 - scale * ratio[name]) * n) for name, n in size.items()}


def global_count(shapes: Shapes, density: float) -> int:
    """Return the number of weights to keep over all layers together."""
    share = exact_density(density)
    return math.ceil(share * sum(math.prod(shape) for shape in shapes.values()))


DISTRIBUTIONS = {"uniform": uniform, "erk": erk}
"""Rules that give every layer a fixed count. ``global`` is none of them: there the layers compete."""


def named_layers(names: Iterable[str], layers: Sequence[str], option: str = "dense layer") -> tuple[str, ...]:
    """Return names of layers with the layers' own names in place of ``first`` and ``last``.

    Parameters
    ----------
    names
        What was asked for.
    layers
        All layers, in network order.
    option
        What the error calls them.

    Raises
    ------
    RecipeError
        If there is no such layer; the message names it.
    """
    ends = {"first": layers[0], "last": layers[-1]}
    found = tuple(name if name in layers else ends.get(name, name) for name in names)
    unknown = sorted(set(found) - set(layers))
    if unknown:
        raise RecipeError(f"{option} {unknown[0]!r} is no layer; layers are {', '.join(layers)}")
    return found


def layer_counts(
    shapes: Shapes,
    density: float,
    distribution: str,
    dense_layers: Sequence[str] = (),
    layer_densities: Mapping[str, float] | None = None,
) -> dict[str, int]:
    """Return how many weights each layer keeps.

    Parameters
    ----------
    shapes
        Weight shape of each layer, in network order.
    density
        Share of weights to keep in the layers that are in neither of the following.
    distribution
        A key of `DISTRIBUTIONS`.
    dense_layers
        Layers that keep all their weights.
    layer_densities
        Layers with a density of their own.

    Raises
    ------
    RecipeError
        If the distribution is unknown, a density is out of range, or a layer has two.
    """
    if distribution not in DISTRIBUTIONS:
        raise RecipeError(f"distribution {distribution!r} is unknown; choose from {', '.join(DISTRIBUTIONS)}")
    own = dict.fromkeys(dense_layers, 1.0)
    for name, share in (layer_densities or {}).items():
        if name in own:
            raise RecipeError(f"layer_densities: {name!r} is among dense_layers already")
        own[name] = share
    exact_density(density)  # out of range is an error even where every layer has its own
    free = {name: shape for name, shape in shapes.items() if name not in own}
    counts = DISTRIBUTIONS[distribution](free, density) if free else {}
    for name, share in own.items():
        counts |= uniform({name: shapes[name]}, share)
    return {name: counts[name] for name in shapes}
